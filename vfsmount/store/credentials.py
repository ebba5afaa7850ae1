"""Who signs S3 requests: the configured secret, a web identity, or the ambient chain.

Order of the chain as the AWS SDKs have it: environment, web identity, profile files, container, instance. obstore does
the last two itself; botocore is imported only where a profile is named or profile files exist.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Any, Final

from vfsmount import real
from vfsmount.errors import Unauthenticated, Unavailable
from vfsmount.store import region as regions
from vfsmount.store.options import Credentials, StoreOptions

BOTOCORE_TTL: Final = 900.0
"""Seconds after which botocore is asked again; by itself it renews what expires in 15 minutes."""
_STS: Final = "{https://sts.amazonaws.com/doc/2011-06-15/}"

Source = Callable[[], Credentials]


def resolve(options: StoreOptions) -> Source | None:
    """What to ask for keys; None where obstore's own chain (container, instance) or no signature is the answer."""
    if options.anonymous:
        return None
    if options.credentials is not None:
        return options.credentials
    token = options.web_identity_token or _token_file()
    if options.role_arn is not None and token is not None:
        return WebIdentity(options, options.role_arn, token)
    if options.profile is not None:
        return _botocore(options.profile)
    if os.environ.get("AWS_ACCESS_KEY_ID") and os.environ.get("AWS_SECRET_ACCESS_KEY"):
        return _environment
    role = os.environ.get("AWS_ROLE_ARN")
    if role and token is not None:
        return WebIdentity(options, role, token)
    if os.environ.get("AWS_PROFILE") or _profile_files():
        return _botocore(None)
    return None


def has_metadata_service(options: StoreOptions) -> bool:
    """Whether a container's or the instance's metadata service may offer keys; at most one second, no credentials read.

    Asked only for AWS, where nothing else offered any: its absence makes the requests unsigned.
    """
    if options.provider != "aws":
        return False
    if any(name.startswith("AWS_CONTAINER_CREDENTIALS_") for name in os.environ):
        return True
    if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
        return False
    import http.client
    from urllib.parse import urlsplit

    url = urlsplit(os.environ.get("AWS_METADATA_ENDPOINT") or "http://169.254.169.254")
    connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=1.0)
    try:
        connection.request("PUT", "/latest/api/token", headers={"X-aws-ec2-metadata-token-ttl-seconds": "60"})
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _environment() -> Credentials:
    token = os.environ.get("AWS_SESSION_TOKEN") or None
    return Credentials(os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"], token)


def _token_file() -> Callable[[], str] | None:
    path = os.environ.get("AWS_WEB_IDENTITY_TOKEN_FILE")
    if not path:
        return None

    def read() -> str:
        with real.FileIO(path) as file:
            return file.readall().decode().strip()

    return read


def _profile_files() -> bool:
    paths = (
        os.environ.get("AWS_SHARED_CREDENTIALS_FILE") or "~/.aws/credentials",
        os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config",
    )
    return any(real.access(os.path.expanduser(path), os.R_OK) for path in paths)


def _botocore(profile: str | None) -> Source | None:
    with real.passthrough():
        import botocore.exceptions
        import botocore.session

        try:
            session: Any = botocore.session.Session(profile=profile)
            found = session.get_credentials()
        except botocore.exceptions.BotoCoreError as error:
            raise Unauthenticated(f"profile {profile or 'default'}: {error}", operation="sign") from None
    if found is None:
        if profile is not None:
            raise Unauthenticated(f"profile {profile} has no credentials", operation="sign")
        return None

    def ask() -> Credentials:
        try:
            with real.passthrough():
                frozen = found.get_frozen_credentials()
        except (botocore.exceptions.BotoCoreError, RuntimeError) as error:  # the latter: renewed, and expired again
            raise Unauthenticated(f"profile {profile or 'default'}: {error}", operation="sign") from error
        return Credentials(frozen.access_key, frozen.secret_key, frozen.token, time.time() + BOTOCORE_TTL)

    return ask


class WebIdentity:
    """Temporary keys of a role, in exchange for a web identity token (STS AssumeRoleWithWebIdentity).

    One unsigned request to STS each time it is called.
    """

    __slots__ = ("_options", "_role", "_token")

    def __init__(self, options: StoreOptions, role: str, token: Callable[[], str]) -> None:
        self._options = options
        self._role = role
        self._token = token

    def __call__(self) -> Credentials:
        import http.client
        from urllib.parse import urlencode, urlsplit

        region = regions.configured(self._options) or regions.DEFAULT_REGION
        target = os.environ.get("AWS_ENDPOINT_URL_STS") or f"https://sts.{region}.amazonaws.com"
        url = urlsplit(target)
        body = urlencode(
            {
                "Action": "AssumeRoleWithWebIdentity",
                "Version": "2011-06-15",
                "RoleArn": self._role,
                "RoleSessionName": os.environ.get("AWS_ROLE_SESSION_NAME") or "vfsmount",
                "WebIdentityToken": self._token(),
            }
        )
        connection = regions.connect(url.scheme, url.hostname or "", url.port, self._options)
        try:
            headers = {"Content-Type": "application/x-www-form-urlencoded"}
            connection.request("POST", url.path or "/", body=body, headers=headers)
            response = connection.getresponse()
            answer = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise Unavailable(f"{target}: {error}", operation="assume role", bucket=self._options.bucket) from None
        finally:
            connection.close()
        return self._parse(response.status, answer)

    def _parse(self, status: int, answer: bytes) -> Credentials:
        import calendar
        from xml.etree import ElementTree

        try:
            root = ElementTree.fromstring(answer)
        except ElementTree.ParseError:
            root = ElementTree.Element("none")
        found = next(root.iter(f"{_STS}Credentials"), None)
        if status != 200 or found is None:
            code = next((item.text for item in root.iter() if item.tag.endswith("Code")), None)
            message = next((item.text for item in root.iter() if item.tag.endswith("Message")), None)
            raise Unauthenticated(
                f"the role {self._role} was not given (HTTP {status}): {message or 'no reason told'}",
                operation="assume role",
                bucket=self._options.bucket,
                code=code,
            )
        text = {item.tag.removeprefix(_STS): item.text or "" for item in found}
        expires = calendar.timegm(time.strptime(text["Expiration"][:19], "%Y-%m-%dT%H:%M:%S"))
        return Credentials(text["AccessKeyId"], text["SecretAccessKey"], text["SessionToken"], float(expires))
