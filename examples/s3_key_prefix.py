"""Only the keys below one path of a bucket; the prefix names a directory, so it ends in a slash."""

import os
import subprocess

import vfsmount
from vfsmount import CloudBucketMount, Secret

s3_bucket_name = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")
prefix = "path/to/dir/"
s3_access_credentials = Secret.from_dict(
    {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "..."),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "..."),
    }
)

with vfsmount.activate(
    {
        "/my-mount": CloudBucketMount(
            bucket_name=s3_bucket_name,
            bucket_endpoint_url=os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT"),  # None: AWS itself.
            key_prefix=prefix,
            secret=s3_access_credentials,
        )
    }
):
    with open("/my-mount/note.txt", "w") as file:  # the object path/to/dir/note.txt
        file.write("below the prefix\n")
    subprocess.run(["ls", "/my-mount"], check=True)
