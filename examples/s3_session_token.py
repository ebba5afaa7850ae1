"""Temporary credentials, as `aws configure export-credentials --format env` prints them.

    eval "$(aws configure export-credentials --format env)" && python s3_session_token.py

All three variables are needed. Keys that were given as values stop working when they expire; `Secret.from_env` is read
again whenever new ones are needed, and `Secret.from_callable` can fetch them.
"""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.

credentials = Secret.from_env()  # AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION

with vfsmount.activate({"/my-mount": CloudBucketMount(bucket, bucket_endpoint_url=endpoint, secret=credentials)}):
    print(os.listdir("/my-mount"))
