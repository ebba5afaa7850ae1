"""CPython's own tests, run with a mount active, and inside one.

They are imported from the ``test`` package of the interpreter at hand; none of them is part of this project.
"""
