"""How a Python program that a session's process starts comes to have the same mounts.

This directory stands first in the ``PYTHONPATH`` of such a program, so that its ``sitecustomize`` runs before anything
of the user's. It holds no other module that a program could import by a plain name.
"""
