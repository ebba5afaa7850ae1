"""Measurements of vfsmount beside its peers; ``python -m benchmarks --help``."""
