"""Mounts that a file describes."""

import os
from pathlib import Path

import vfsmount

config = os.environ.get("VFSMOUNT_EXAMPLE_CONFIG", str(Path(__file__).with_name("vfsmount.toml")))

with vfsmount.activate(config):
    for name in sorted(os.listdir("/data")):
        print(name, os.path.getsize(f"/data/{name}"))
    with open("/results/summary.txt", "w") as file:
        file.write(f"{len(os.listdir('/data'))} files\n")
