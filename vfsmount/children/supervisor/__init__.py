"""Child programs on Linux see the mounts: their system calls on paths are answered through seccomp user notification.

This is no security boundary: a program that wants to get around it can. Imports ``vfs``, never ``shim``.
"""
