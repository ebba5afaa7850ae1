"""Libraries that open files natively: each gets a file object, which Python opened, in place of a path on a mount.

A library is touched when it is imported, or at activation where it is imported already, and put back with the last
session.
"""
