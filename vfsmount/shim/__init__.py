"""The part that stands between Python programs and the mount table: what is patched, and how."""
