"""The IAM policy of a mount: what the bucket's owner has to allow, and nothing more."""

from __future__ import annotations

import json
import sys

from vfsmount.cli import complain
from vfsmount.config import checks, urls


def main(bucket: str, prefix: str | None, read_only: bool) -> int:
    """Print the policy as JSON; returns the exit code."""
    try:
        if checks.has_scheme(bucket):
            fields = urls.mount_fields(bucket)
            bucket = str(fields["bucket_name"])
            prefix = prefix or str(fields.get("key_prefix") or "")
        checks.bucket_name(bucket)
        if checks.has_scheme(bucket):
            raise ValueError(f"bucket_name: {bucket!r} is not a bucket of S3")
        if prefix:
            checks.key_prefix(prefix)
    except ValueError as error:
        return complain(error)
    sys.stdout.write(json.dumps(policy(bucket, prefix or "", read_only=read_only), indent=2) + "\n")
    return 0


def policy(bucket: str, prefix: str = "", *, read_only: bool = False) -> dict[str, object]:
    """The policy document. With ``prefix``, nothing outside it can be listed or touched."""
    arn = f"arn:aws:s3:::{bucket}"
    listing: dict[str, object] = {
        "Sid": "VfsmountListBucketAccess",
        "Effect": "Allow",
        "Action": ["s3:ListBucket"],
        "Resource": [arn],
    }
    if prefix:
        listing["Condition"] = {"StringLike": {"s3:prefix": [f"{_literal(prefix)}*"]}}
    actions = ["s3:GetObject"]
    if not read_only:
        actions += ["s3:PutObject", "s3:AbortMultipartUpload", "s3:DeleteObject"]
    objects = {
        "Sid": "VfsmountBucketAccess",
        "Effect": "Allow",
        "Action": actions,
        "Resource": [f"{arn}/{_literal(prefix)}*"],
    }
    return {"Version": "2012-10-17", "Statement": [listing, objects]}


def _literal(text: str) -> str:
    """``text`` with what IAM would read as a wildcard or variable written as itself."""
    special = {"$": "${$}", "*": "${*}", "?": "${?}"}
    return "".join(special.get(letter, letter) for letter in text)
