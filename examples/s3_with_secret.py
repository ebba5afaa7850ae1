"""An S3 bucket as the directory /my-mount, with the keys given here."""

import os
import subprocess

import vfsmount
from vfsmount import CloudBucketMount, Secret

s3_bucket_name = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")  # The bucket's name, not its ARN.
s3_access_credentials = Secret.from_dict(
    {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "..."),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "..."),
        "AWS_REGION": "us-east-1",
    }
)
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.

with vfsmount.activate(
    {"/my-mount": CloudBucketMount(s3_bucket_name, bucket_endpoint_url=endpoint, secret=s3_access_credentials)}
):
    with open("/my-mount/hello.txt", "w") as file:
        file.write("hello from a bucket\n")
    with open("/my-mount/hello.txt") as file:
        print(file.read(), end="")
    print(os.listdir("/my-mount"))
    subprocess.run(["ls", "/my-mount"], check=True)
