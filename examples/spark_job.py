"""The bucket as /my-mount in every Python worker of a Spark job.

Spark's workers are started by its executors, so each mounts for itself, once, before its first record. Give the
executors what their mounts need: the package (in the image, or by ``--py-files``), and credentials, best by a role of
the machine or the pod. Where keys it must be, on Kubernetes:

    --conf spark.kubernetes.executor.secretKeyRef.AWS_ACCESS_KEY_ID=bucket-keys:AWS_ACCESS_KEY_ID
    --conf spark.kubernetes.executor.secretKeyRef.AWS_SECRET_ACCESS_KEY=bucket-keys:AWS_SECRET_ACCESS_KEY

and elsewhere ``spark.executorEnv.AWS_ACCESS_KEY_ID`` and so on, which Spark shows in its web interface but for names
that ``spark.redaction.regex`` knows.
"""

import os

import vfsmount
from vfsmount import CloudBucketMount, Secret


def mounted():
    """Mount in this worker process, which serves one task after another.

    Each task comes with functions of its own, so what one of them remembers is not known to the next.
    """
    if vfsmount.is_active():
        return
    bucket = os.environ.get("VFSMOUNT_EXAMPLE_BUCKET", "s3-bucket-name")  # The bucket's name, not its ARN.
    endpoint = os.environ.get("VFSMOUNT_EXAMPLE_ENDPOINT")  # None: AWS itself.
    mount = CloudBucketMount(bucket, bucket_endpoint_url=endpoint, secret=Secret.from_env(), region="us-east-1")
    vfsmount.activate({"/my-mount": mount})


def sizes(names):
    mounted()
    for name in names:
        with open(f"/my-mount/{name}", "rb") as file:
            yield name, len(file.read())


if __name__ == "__main__":
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.appName("sizes").getOrCreate()
    print(spark.sparkContext.parallelize(["there.txt", "there.txt"], 2).mapPartitions(sizes).collect())
    spark.stop()
