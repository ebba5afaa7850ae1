"""The bucket as /my-mount on every worker of a Dask cluster, also on those that start later."""

import os

from dask.distributed import Client, LocalCluster

from vfsmount import CloudBucketMount, Secret
from vfsmount.contrib.dask import MountPlugin

s3_bucket_name = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")  # The bucket's name, not its ARN.
endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.
# Read on each worker, from its own environment: no key is sent anywhere.
mount = CloudBucketMount(s3_bucket_name, bucket_endpoint_url=endpoint, secret=Secret.from_env(), region="us-east-1")


def size(name):
    with open(f"/my-mount/{name}", "rb") as file:
        return len(file.read())


if __name__ == "__main__":
    with LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster, Client(cluster) as client:
        client.register_plugin(MountPlugin({"/my-mount": mount}))
        print(client.gather(client.map(size, ["there.txt"])))
