"""A Google Cloud Storage bucket through Google's own interface.

The credentials are the ambient ones: those of `gcloud auth application-default login`, the machine's service account,
or the file that $GOOGLE_APPLICATION_CREDENTIALS names.
"""

import os

import vfsmount

bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "my-gcs-bucket")
query = os.environ.get("VFSMOUNT_EXAMPLE_QUERY", "")  # "?endpoint_url=...&anonymous=true" for a server on this machine

with vfsmount.activate({"/my-mount": f"gs://{bucket}{query}"}):
    with open("/my-mount/gcs.txt", "w") as file:
        file.write("kept in Google Cloud Storage\n")
    print(open("/my-mount/gcs.txt").read(), end="")
    print(os.listdir("/my-mount"))
