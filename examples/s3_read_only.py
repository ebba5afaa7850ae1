"""A mount that refuses every change, so that it needs no permission to make one."""

import errno
import os
import subprocess

import vfsmount
from vfsmount import CloudBucketMount, Secret

s3_bucket_name = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")
s3_access_credentials = Secret.from_dict(
    {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "..."),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "..."),
    }
)
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.

with vfsmount.activate(
    {
        "/my-mount": CloudBucketMount(
            s3_bucket_name, bucket_endpoint_url=endpoint, secret=s3_access_credentials, read_only=True
        )
    }
):
    subprocess.run(["ls", "/my-mount"], check=True)
    try:
        open("/my-mount/new.txt", "w")
    except OSError as error:
        print(errno.errorcode[error.errno], error)
