"""Uses each permission of iam_policy.json, and shows that nothing else is needed.

A read-only mount needs only s3:ListBucket and s3:GetObject.
"""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.
mount = CloudBucketMount(
    bucket, bucket_endpoint_url=endpoint, secret=Secret.from_env(), region="us-east-1", on_error="abort"
)


class Interrupted(Exception):
    pass


with vfsmount.activate({"/my-mount": mount}):
    print("s3:ListBucket", os.listdir("/my-mount"))
    with open("/my-mount/small.bin", "wb") as file:
        file.write(b"one request")
    with open("/my-mount/large.bin", "wb") as file:  # in parts
        for _ in range(20):
            file.write(bytes(1 << 20))
    print("s3:PutObject", os.path.getsize("/my-mount/large.bin"))
    try:
        with open("/my-mount/unfinished.bin", "wb") as file:
            for _ in range(20):
                file.write(bytes(1 << 20))
            raise Interrupted
    except Interrupted:
        print("s3:AbortMultipartUpload", os.path.exists("/my-mount/unfinished.bin"))
    with open("/my-mount/small.bin", "rb") as file:
        print("s3:GetObject", file.read())
    os.remove("/my-mount/small.bin")
    os.remove("/my-mount/large.bin")
    print("s3:DeleteObject", os.listdir("/my-mount"))
