"""How programs that this process starts come to see the mounts."""
