"""Where credentials come from, without ever showing them."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import ClassVar, Final, NoReturn

from vfsmount.config import checks
from vfsmount.config.dotenv import parse_dotenv
from vfsmount.config.units import closest
from vfsmount.errors import Unauthenticated
from vfsmount.store.options import Credentials

_AWS: Final = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")
_GOOGLE: Final = ("GOOGLE_ACCESS_KEY_ID", "GOOGLE_ACCESS_KEY_SECRET")
_TOKEN: Final = "AWS_SESSION_TOKEN"
_REGIONS: Final = ("AWS_REGION", "AWS_DEFAULT_REGION")
_EXPIRY: Final = ("expires_at", "Expiration", "AWS_CREDENTIAL_EXPIRATION")
_ACCOUNTS: Final = ("SERVICE_ACCOUNT_JSON", "GOOGLE_APPLICATION_CREDENTIALS_JSON", "GOOGLE_APPLICATION_CREDENTIALS")

KNOWN_KEYS: Final = (*_AWS, _TOKEN, *_REGIONS, *_GOOGLE, *_ACCOUNTS)
"""What is read of a secret; other keys are tolerated, because one secret often serves several programs."""

# The spelling of STS, of the container and instance services, and of boto3.
_SPELLINGS: Final = {
    "AccessKeyId": "AWS_ACCESS_KEY_ID",
    "SecretAccessKey": "AWS_SECRET_ACCESS_KEY",
    "SessionToken": "AWS_SESSION_TOKEN",
    "Token": "AWS_SESSION_TOKEN",
    "aws_access_key_id": "AWS_ACCESS_KEY_ID",
    "aws_secret_access_key": "AWS_SECRET_ACCESS_KEY",
    "aws_session_token": "AWS_SESSION_TOKEN",
}

CallableResult = Mapping[str, "str | int | float | datetime | None"]
"""What the function of ``from_callable`` returns: keys as in ``from_dict``, or as STS spells them, and an expiry."""


@dataclass(frozen=True, slots=True)
class SecretValues:
    """One reading of a secret, checked. Its repr shows nothing."""

    source: str
    items: Mapping[str, str]
    expires_at: float | None = None

    def __post_init__(self) -> None:
        for pair in (_AWS, _GOOGLE):
            have = [name for name in pair if self.items.get(name)]
            if len(have) == 1:
                missing = next(name for name in pair if name not in have)
                raise ValueError(f"{self.source}: {have[0]} is given but {missing} is missing; both are needed")
        if self.items.get(_TOKEN) and not self.items.get(_AWS[0]):
            raise ValueError(
                f"{self.source}: {_TOKEN} is given but {_AWS[0]} and {_AWS[1]} are missing; all are needed"
            )

    def __repr__(self) -> str:
        return f"<SecretValues of {self.source}>"

    @property
    def has_google_keys(self) -> bool:
        return bool(self.items.get(_GOOGLE[0]))

    @property
    def has_aws_keys(self) -> bool:
        return bool(self.items.get(_AWS[0]))

    @property
    def region(self) -> str | None:
        return next((self.items[name] for name in _REGIONS if self.items.get(name)), None)

    @property
    def service_account(self) -> str | None:
        """The JSON text, or the path, of a Google service account's key."""
        return next((self.items[name] for name in _ACCOUNTS if self.items.get(name)), None)

    def credentials(self, *, google: bool = False) -> Credentials:
        """The keys to sign with; ``google`` prefers the HMAC pair. Raises: ValueError where there is no pair."""
        order = (_GOOGLE, _AWS) if google else (_AWS,)
        for name, secret in order:
            if self.items.get(name):
                token = self.items.get(_TOKEN) if name == _AWS[0] else None
                return Credentials(self.items[name], self.items[secret], token or None, self.expires_at)
        wanted = " (or ".join(" and ".join(pair) for pair in order) + (")" if google else "")
        known = [name for pair in order for name in pair]
        meant = ", ".join(f"{name}{near}" for name in self.items if (near := closest(name, known)))
        raise ValueError(f"{self.source}: {wanted} are missing" + (f"; given is {meant}" if meant else ""))


class Secret:
    """Credentials for a bucket: a source that is read when they are used, never shown by repr, str or an error.

    Make one with ``from_dict``, ``from_env``, ``from_dotenv``, ``from_profile`` or ``from_callable``. All but
    ``from_dict`` are read at activation and again whenever the store needs fresh credentials, so a rotated environment
    variable, file or function result is picked up. Equal secrets have the same source. A secret pickles (a dictionary
    with its values, a function by its name), because child processes mount the same buckets.
    """

    __slots__ = ("_argument", "_kind")
    _KINDS: ClassVar[tuple[str, ...]] = ("from_dict", "from_env", "from_dotenv", "from_profile", "from_callable")

    _kind: str
    _argument: object

    def __init__(self) -> None:
        raise TypeError(f"Secret() has no public constructor; use Secret.{', Secret.'.join(self._KINDS)}")

    @classmethod
    def _make(cls, kind: str, argument: object) -> Secret:
        secret = object.__new__(cls)
        object.__setattr__(secret, "_kind", kind)
        object.__setattr__(secret, "_argument", argument)
        return secret

    @classmethod
    def from_dict(cls, env_dict: Mapping[str, str | None]) -> Secret:
        """The values themselves, by the names that environment variables would have; ``None`` values are left out.

        Raises: TypeError for a key or value that is no string, ValueError for half of a pair.
        """
        if not isinstance(env_dict, Mapping):
            raise TypeError(f"Secret.from_dict: expected a mapping, not {type(env_dict).__name__}")
        for name, value in env_dict.items():
            if not isinstance(name, str):
                raise TypeError("Secret.from_dict: every key must be a string")
            if value is not None and not isinstance(value, str):
                raise TypeError(f"Secret.from_dict: the value of {name} must be a string, not {type(value).__name__}")
        items = tuple(sorted((name, value.strip()) for name, value in env_dict.items() if value is not None))
        SecretValues("Secret.from_dict", dict(items))
        return cls._make("from_dict", items)

    @classmethod
    def from_env(cls, prefix: str = "") -> Secret:
        """Environment variables, each name preceded by ``prefix`` (``PROD_`` reads ``PROD_AWS_ACCESS_KEY_ID``).

        Read when used, not now: a variable that is set, or rotated, after this call counts.
        """
        if prefix:
            checks.text("Secret.from_env: prefix", prefix)
        return cls._make("from_env", prefix or "")

    @classmethod
    def from_dotenv(cls, path: str | os.PathLike[str] = ".env") -> Secret:
        """A file of ``NAME=value`` lines; read when used. A relative path is taken from the present directory, now."""
        return cls._make("from_dotenv", checks.absolute(checks.path("Secret.from_dotenv: path", path)))

    @classmethod
    def from_profile(cls, name: str) -> Secret:
        """A profile of the AWS configuration files (single sign-on, assumed roles and credential processes too)."""
        return cls._make("from_profile", checks.text("Secret.from_profile: name", name))

    @classmethod
    def from_callable(cls, function: Callable[[], CallableResult]) -> Secret:
        """A function that returns the values, called when they are used and again when they expire.

        It returns a mapping with the names of ``from_dict`` or of an STS answer (``AccessKeyId`` ...); ``expires_at``
        or ``Expiration`` (a datetime, seconds since the epoch, or ISO 8601 text) says when to ask again.
        """
        if not callable(function):
            raise TypeError(f"Secret.from_callable: expected a function, not {type(function).__name__}")
        return cls._make("from_callable", function)

    @property
    def profile(self) -> str | None:
        """The profile's name, for ``from_profile``."""
        return str(self._argument) if self._kind == "from_profile" else None

    @property
    def source(self) -> tuple[str, object]:
        """The constructor's name and what it was given, values included: not to be shown."""
        return self._kind, self._argument

    @property
    def is_refreshable(self) -> bool:
        """True where another reading may give other values."""
        return self._kind in ("from_env", "from_dotenv", "from_callable")

    def read(self) -> SecretValues:
        """The values as they are now. Raises: ValueError naming what is missing, never a value."""
        source = f"Secret.{self._kind}"
        if isinstance(self._argument, tuple):
            return SecretValues(source, dict(self._argument))
        if self._kind == "from_env":
            prefix = str(self._argument)
            source = f"Secret.from_env({prefix!r})"
            found = {name: os.environ[prefix + name].strip() for name in KNOWN_KEYS if prefix + name in os.environ}
            return SecretValues(source, found)
        if self._kind == "from_dotenv":
            return SecretValues(f"Secret.from_dotenv({self._argument!r})", parse_dotenv(str(self._argument)))
        if self._kind == "from_callable" and callable(self._argument):
            return _from_result(source, self._argument())
        return SecretValues(source, {})

    def __repr__(self) -> str:
        if isinstance(self._argument, tuple):
            shown = "{" + ", ".join(f"{name!r}: '***'" for name, _ in self._argument) + "}"
        elif self._kind == "from_callable":
            shown = str(getattr(self._argument, "__qualname__", type(self._argument).__qualname__))
        else:
            shown = repr(self._argument)
        return f"Secret.{self._kind}({shown})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return (self._kind, self._argument) == (other._kind, other._argument)

    def __hash__(self) -> int:
        return hash((self._kind, self._argument))

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"Secret is immutable: cannot set {name}")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"Secret is immutable: cannot delete {name}")

    def __reduce__(self) -> tuple[object, ...]:
        return (_rebuild, (self._kind, self._argument))


def _rebuild(kind: str, argument: object) -> Secret:
    return Secret._make(kind, argument)


def _from_result(source: str, result: object) -> SecretValues:
    if not isinstance(result, Mapping):
        raise ValueError(f"{source}: the function must return a mapping, not {type(result).__name__}")
    items: dict[str, str] = {}
    expires: float | None = None
    for given, value in result.items():
        name = _SPELLINGS.get(str(given), str(given))
        if value is None:
            continue
        if name in _EXPIRY:
            expires = _epoch(source, value)
        elif name in KNOWN_KEYS:
            if not isinstance(value, str):
                raise ValueError(f"{source}: the value of {name} must be a string, not {type(value).__name__}")
            items[name] = value.strip()
    return SecretValues(source, items, expires)


def _epoch(source: str, value: object) -> float:
    """Seconds since the epoch from a number, a datetime (naive means UTC) or ISO 8601 text."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, str):
        # Python 3.10 knows neither the Z suffix nor fractions of any length.
        text = re.sub(r"\.\d+", "", value.strip())
        text = text[:-1] + "+00:00" if text.endswith(("Z", "z")) else text
        try:
            value = datetime.fromisoformat(text)
        except ValueError:
            raise ValueError(f"{source}: the expiry is not an ISO 8601 time") from None
    if not isinstance(value, datetime):
        raise ValueError(f"{source}: the expiry must be a datetime, seconds or ISO 8601 text")
    return (value if value.tzinfo else value.replace(tzinfo=timezone.utc)).timestamp()


class SecretCredentials:
    """The function that a store asks for credentials: a fresh reading of the secret, each time.

    The reading that activation made (to check it, and for its region) serves the first call.
    """

    __slots__ = ("_google", "_primed", "_secret")

    def __init__(self, secret: Secret, primed: SecretValues | None = None, *, google: bool = False) -> None:
        self._secret = secret
        self._primed = primed
        self._google = google

    def __call__(self) -> Credentials:
        """Raises: Unauthenticated where the source has gone or fails."""
        primed, self._primed = self._primed, None
        try:
            return (primed or self._secret.read()).credentials(google=self._google)
        except ValueError as error:
            raise Unauthenticated(str(error), operation="Credentials") from error
        except Exception as error:  # the user's own function may raise anything, and a store only StoreError
            detail = f"{self._secret!r} raised {type(error).__name__}"
            raise Unauthenticated(detail, operation="Credentials") from error

    def __repr__(self) -> str:
        return f"<credentials of {self._secret!r}>"
