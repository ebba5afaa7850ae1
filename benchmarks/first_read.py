"""From a bare interpreter to the bytes of a small object: ``first_read.py CONTENDER ENDPOINT BUCKET KEY POINT``.

A script of its own that imports nothing first: what a library imports of the standard library is part of its cost.
"""

import sys
import time


def read(contender: str, endpoint: str, bucket: str, key: str, point: str) -> bytes:
    if contender == "vfsmount":
        import vfsmount

        secret = vfsmount.Secret.from_dict({"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"})
        mount = vfsmount.CloudBucketMount(bucket, endpoint, secret=secret, region="us-east-1", force_path_style=True)
        vfsmount.activate({point: mount})
        with open(f"{point}/{key}", "rb") as file:
            return file.read()
    if contender == "obstore":
        import obstore
        from obstore.store import S3Store

        store = S3Store(
            bucket,
            endpoint=endpoint,
            access_key_id="AK",
            secret_access_key="SK",
            region="us-east-1",
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
        )
        return bytes(obstore.get(store, key).bytes())
    if contender == "s3fs":
        import s3fs

        fs = s3fs.S3FileSystem(key="AK", secret="SK", endpoint_url=endpoint, client_kwargs={"region_name": "us-east-1"})
        with fs.open(f"{bucket}/{key}", "rb") as file:
            return file.read()
    if contender == "smart_open":
        import boto3
        import smart_open

        client = _boto3(boto3, endpoint)
        with smart_open.open(f"s3://{bucket}/{key}", "rb", transport_params={"client": client}) as file:
            return file.read()
    if contender == "boto3":
        import boto3

        return _boto3(boto3, endpoint).get_object(Bucket=bucket, Key=key)["Body"].read()
    import os

    os.environ |= {"AWS_ACCESS_KEY_ID": "AK", "AWS_SECRET_ACCESS_KEY": "SK"}
    from s3torchconnectorclient._mountpoint_s3_client import MountpointS3Client

    client = MountpointS3Client(region="us-east-1", endpoint=endpoint, force_path_style=True)
    return b"".join(client.get_object(bucket, key))


def _boto3(boto3, endpoint):
    return boto3.client(
        "s3", endpoint_url=endpoint, region_name="us-east-1", aws_access_key_id="AK", aws_secret_access_key="SK"
    )


before = time.perf_counter()
try:
    data = read(*sys.argv[1:])
    seconds = time.perf_counter() - before
    said = '{"seconds": %r}' % seconds if len(data) == 1000 else '{"error": "wrong length"}'  # noqa: UP031 - no import
except ImportError as error:
    said = f'{{"error": "not installed: {error.name}"}}'
import os  # noqa: E402

print("\n" + said, flush=True)
os._exit(0)
