"""A Cloudflare R2 bucket.

The API token needs to read, write and list objects of this bucket, and nothing else; leave "Client IP Address
Filtering" off.
"""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "my-r2-bucket")
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT", "https://<ACCOUNT ID>.r2.cloudflarestorage.com")
credentials = Secret.from_dict(
    {
        "AWS_ACCESS_KEY_ID": os.environ.get("AWS_ACCESS_KEY_ID", "..."),
        "AWS_SECRET_ACCESS_KEY": os.environ.get("AWS_SECRET_ACCESS_KEY", "..."),
    }
)

# The endpoint's host tells that this is R2; `provider` is needed only behind a host name of your own.
mount = CloudBucketMount(bucket, bucket_endpoint_url=endpoint, secret=credentials, provider="r2")

with vfsmount.activate({"/my-mount": mount}):
    with open("/my-mount/r2.txt", "w") as file:
        file.write("kept in R2\n")
    print(open("/my-mount/r2.txt").read(), end="")
