"""Saying which region a bucket is in.

Without it vfsmount asks the bucket, which costs one request at activation. Say it where that question cannot be
answered (a policy or an endpoint in between), in the secret or as an option; the option wins.
"""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.
keys = {
    "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "..."),
    "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "..."),
}

in_the_secret = CloudBucketMount(
    bucket, bucket_endpoint_url=endpoint, secret=Secret.from_dict({**keys, "AWS_REGION": "us-east-1"})
)
as_an_option = CloudBucketMount(bucket, bucket_endpoint_url=endpoint, secret=Secret.from_dict(keys), region="us-east-1")

with vfsmount.activate({"/one": in_the_secret, "/two": as_an_option}):
    print(os.listdir("/one") == os.listdir("/two"))
