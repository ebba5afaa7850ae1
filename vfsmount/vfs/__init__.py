"""The file system over a store: names, look-ups, listings, handles, and the table of mounts. Knows nothing of Python's
``open`` or of patching."""
