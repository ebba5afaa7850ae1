"""The same mounts on every worker of a cluster, so that a path means the same on every machine."""
