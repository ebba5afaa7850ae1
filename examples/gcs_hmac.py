"""A Google Cloud Storage bucket through Google's S3 interface, with a pair of HMAC keys."""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "my-gcs-bucket")
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT", "https://storage.googleapis.com")
credentials = Secret.from_dict(
    {
        "GOOGLE_ACCESS_KEY_ID": os.environ.get("GOOGLE_ACCESS_KEY_ID", "..."),
        "GOOGLE_ACCESS_KEY_SECRET": os.environ.get("GOOGLE_ACCESS_KEY_SECRET", "..."),
    }
)

# The endpoint's host tells that this is Google's; `provider` is needed only behind a host name of your own.
mount = CloudBucketMount(bucket, bucket_endpoint_url=endpoint, secret=credentials, provider="gcs")

with vfsmount.activate({"/my-mount": mount}):
    with open("/my-mount/gcs.txt", "w") as file:
        file.write("kept in Google Cloud Storage\n")
    print(open("/my-mount/gcs.txt").read(), end="")
