"""Secrets: where values come from, when they are read, and that they never show."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest

from vfsmount.config import Secret
from vfsmount.config.dotenv import parse_text
from vfsmount.config.secret import CallableResult, SecretCredentials
from vfsmount.errors import Unauthenticated

KEYS = {"AWS_ACCESS_KEY_ID": "AKIAVISIBLE", "AWS_SECRET_ACCESS_KEY": "hush-hush"}
HIDDEN = ("AKIAVISIBLE", "hush-hush", "tok-tok")


def fixed_answer() -> CallableResult:
    return KEYS


def assert_hidden(text: str) -> None:
    assert [value for value in HIDDEN if value in text] == []


class TestReading:
    def test_a_dictionary(self) -> None:
        secret = Secret.from_dict({**KEYS, "AWS_SESSION_TOKEN": "tok-tok", "AWS_REGION": "eu-west-1", "OTHER": "x"})
        values = secret.read()
        credentials = values.credentials()
        assert (credentials.access_key_id, credentials.secret_access_key) == ("AKIAVISIBLE", "hush-hush")
        assert credentials.session_token == "tok-tok"
        assert values.region == "eu-west-1"
        assert not secret.is_refreshable

    def test_none_values_are_left_out_and_space_around_values_is_dropped(self) -> None:
        secret = Secret.from_dict(
            {"AWS_ACCESS_KEY_ID": " a\n", "AWS_SECRET_ACCESS_KEY": "b ", "AWS_SESSION_TOKEN": None}
        )
        credentials = secret.read().credentials()
        assert (credentials.access_key_id, credentials.secret_access_key, credentials.session_token) == ("a", "b", None)

    def test_aws_default_region_stands_in_for_aws_region(self) -> None:
        assert Secret.from_dict({**KEYS, "AWS_DEFAULT_REGION": "a-1"}).read().region == "a-1"
        assert Secret.from_dict({**KEYS, "AWS_DEFAULT_REGION": "a-1", "AWS_REGION": "b-1"}).read().region == "b-1"

    def test_the_environment_is_read_when_used(self, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = Secret.from_env("PROD_")
        with pytest.raises(ValueError, match=r"from_env\('PROD_'\).*AWS_ACCESS_KEY_ID"):
            secret.read().credentials()
        for name, value in KEYS.items():
            monkeypatch.setenv("PROD_" + name, value)
        assert secret.read().credentials().access_key_id == "AKIAVISIBLE"
        monkeypatch.setenv("PROD_AWS_ACCESS_KEY_ID", "rotated")
        assert secret.read().credentials().access_key_id == "rotated"
        assert secret.is_refreshable

    def test_a_dotenv_file_is_read_when_used(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.chdir(tmp_path)
        secret = Secret.from_dotenv("prod.env")
        with pytest.raises(ValueError, match=r"prod.env.*No such file"):
            secret.read()
        (tmp_path / "prod.env").write_text("export AWS_ACCESS_KEY_ID=a\nAWS_SECRET_ACCESS_KEY='b'\n")
        monkeypatch.chdir("/")
        assert secret.read().credentials().secret_access_key == "b"

    def test_a_profile_is_only_named(self) -> None:
        secret = Secret.from_profile("work")
        assert secret.profile == "work"
        assert repr(secret) == "Secret.from_profile('work')"

    def test_google_hmac_keys_come_first_for_google_and_aws_names_serve_too(self) -> None:
        hmac = {"GOOGLE_ACCESS_KEY_ID": "g", "GOOGLE_ACCESS_KEY_SECRET": "s"}
        both = Secret.from_dict({**KEYS, **hmac}).read()
        assert both.credentials(google=True).access_key_id == "g"
        assert both.credentials().access_key_id == "AKIAVISIBLE"
        assert Secret.from_dict(KEYS).read().credentials(google=True).access_key_id == "AKIAVISIBLE"
        with pytest.raises(ValueError, match="AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY are missing"):
            Secret.from_dict(hmac).read().credentials()

    def test_misspelt_names(self) -> None:
        secret = Secret.from_dict({"AWS_ACCESS_KEY": "visible", "AWS_SECRET_KEY": "hush", "PGPASSWORD": "hush"})
        with pytest.raises(ValueError, match=r"AWS_SECRET_KEY .did you mean 'AWS_SECRET_ACCESS_KEY'") as caught:
            secret.read().credentials()
        assert "PGPASSWORD" not in str(caught.value)
        assert "hush" not in str(caught.value)


class TestHalfAPair:
    @pytest.mark.parametrize(
        ("given", "missing"),
        [
            ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
            ("AWS_SECRET_ACCESS_KEY", "AWS_ACCESS_KEY_ID"),
            ("GOOGLE_ACCESS_KEY_ID", "GOOGLE_ACCESS_KEY_SECRET"),
            ("GOOGLE_ACCESS_KEY_SECRET", "GOOGLE_ACCESS_KEY_ID"),
            ("AWS_SESSION_TOKEN", "AWS_ACCESS_KEY_ID"),
        ],
    )
    def test_is_refused_by_the_missing_name_and_never_the_value(self, given: str, missing: str) -> None:
        with pytest.raises(ValueError, match=missing) as caught:
            Secret.from_dict({given: "hush-hush"})
        assert_hidden(str(caught.value))

    def test_an_empty_value_is_a_missing_one(self) -> None:
        with pytest.raises(ValueError, match="AWS_SECRET_ACCESS_KEY is missing"):
            Secret.from_dict({"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": ""})


class TestWrongTypes:
    def test_no_constructor(self) -> None:
        with pytest.raises(TypeError, match=r"Secret\.from_dict"):
            Secret()

    def test_values_must_be_strings(self) -> None:
        with pytest.raises(TypeError, match=r"AWS_ACCESS_KEY_ID must be a string, not int"):
            Secret.from_dict({"AWS_ACCESS_KEY_ID": 1})  # type: ignore[dict-item]
        with pytest.raises(TypeError, match="mapping, not str"):
            Secret.from_dict("AKIA")  # type: ignore[arg-type]

    def test_other_arguments(self) -> None:
        with pytest.raises(TypeError, match="function"):
            Secret.from_callable({})  # type: ignore[arg-type]
        with pytest.raises(ValueError, match="name"):
            Secret.from_profile("")
        with pytest.raises(ValueError, match="expanduser"):
            Secret.from_dotenv("~/.env")

    def test_a_secret_does_not_change(self) -> None:
        with pytest.raises(AttributeError, match="immutable"):
            Secret.from_env()._kind = "from_dict"  # type: ignore[misc]


class TestNothingShows:
    def secrets(self) -> list[Secret]:
        return [
            Secret.from_dict({**KEYS, "AWS_SESSION_TOKEN": "tok-tok"}),
            Secret.from_callable(lambda: KEYS),
            Secret.from_callable(fixed_answer),
        ]

    def test_in_repr_str_and_format(self) -> None:
        for secret in self.secrets():
            assert_hidden(f"{secret} {secret!r} {secret.read()!r} {[secret]} {SecretCredentials(secret)!r}")
        assert "AWS_ACCESS_KEY_ID" in repr(self.secrets()[0])

    def test_in_an_error_about_pickling(self) -> None:
        with pytest.raises((pickle.PicklingError, AttributeError)) as caught:
            pickle.dumps(Secret.from_callable(lambda: KEYS))
        assert_hidden(str(caught.value))

    def test_in_an_error_about_a_dotenv_line(self, tmp_path: Path) -> None:
        (tmp_path / ".env").write_text("\nAWS_SECRET_ACCESS_KEY hush-hush\n")
        with pytest.raises(ValueError, match="line 2") as caught:
            Secret.from_dotenv(tmp_path / ".env").read()
        assert_hidden(str(caught.value))


def test_equal_sources_are_equal_secrets_and_pickle_keeps_them() -> None:
    for secret in (
        Secret.from_dict(KEYS),
        Secret.from_env("X_"),
        Secret.from_profile("p"),
        Secret.from_callable(fixed_answer),
    ):
        for again in (pickle.loads(pickle.dumps(secret)), copy.deepcopy(secret)):
            assert again == secret
            assert hash(again) == hash(secret)
    assert Secret.from_dict(KEYS) != Secret.from_env()
    assert Secret.from_dict(KEYS) != KEYS


class TestCallable:
    @pytest.mark.parametrize(
        ("expiry", "expected"),
        [
            (1_700_000_000, 1_700_000_000.0),
            (1.7e9, 1.7e9),
            ("2023-11-14T22:13:20Z", 1_700_000_000.0),
            ("2023-11-14T22:13:20.1234567Z", 1_700_000_000.0),
            ("2023-11-14T23:13:20+01:00", 1_700_000_000.0),
            (datetime(2023, 11, 14, 22, 13, 20), 1_700_000_000.0),
            (datetime(2023, 11, 14, 23, 13, 20, tzinfo=timezone(timedelta(hours=1))), 1_700_000_000.0),
            (None, None),
        ],
    )
    @pytest.mark.parametrize("name", ["expires_at", "Expiration"])
    def test_expiry(self, name: str, expiry: int | float | str | datetime | None, expected: float | None) -> None:
        assert Secret.from_callable(lambda: {**KEYS, name: expiry}).read().credentials().expires_at == expected

    def test_the_answer_of_sts_is_understood(self) -> None:
        answer = {"AccessKeyId": "a", "SecretAccessKey": "b", "SessionToken": "t", "Expiration": "2023-11-14T22:13:20Z"}
        credentials = Secret.from_callable(lambda: answer).read().credentials()
        assert (credentials.access_key_id, credentials.secret_access_key, credentials.session_token) == ("a", "b", "t")

    def test_is_called_at_each_reading(self) -> None:
        answers = iter([{**KEYS, "AWS_ACCESS_KEY_ID": "first"}, {**KEYS, "AWS_ACCESS_KEY_ID": "second"}])
        secret = Secret.from_callable(lambda: next(answers))
        ask = SecretCredentials(secret, secret.read())
        assert ask().access_key_id == "first", "activation's own reading serves the first call"
        assert ask().access_key_id == "second"

    @pytest.mark.parametrize(
        "function",
        [lambda: None, lambda: {**KEYS, "Expiration": "soon"}, lambda: {"AWS_ACCESS_KEY_ID": b"hush-hush"}],
    )
    def test_a_wrong_answer(self, function: Callable[[], CallableResult]) -> None:
        with pytest.raises(ValueError, match="from_callable") as caught:
            Secret.from_callable(function).read()
        assert_hidden(str(caught.value))

    def test_what_it_raises_reaches_the_store_as_unauthenticated(self) -> None:
        def fails() -> CallableResult:
            raise RuntimeError("hush-hush")

        with pytest.raises(Unauthenticated, match="raised RuntimeError") as caught:
            SecretCredentials(Secret.from_callable(fails))()
        assert_hidden(str(caught.value))
        assert isinstance(caught.value.__cause__, RuntimeError)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("A=1", {"A": "1"}),
        ("A=1\r\nB=2\r\n", {"A": "1", "B": "2"}),
        ("\n# note\n  export A = 1  \n\n", {"A": "1"}),
        ("A=one two # note", {"A": "one two"}),
        ("A=one#two", {"A": "one#two"}),
        ("A='one # two' # note", {"A": "one # two"}),
        ('A="x\\n\\"y\\\\" # note', {"A": 'x\n"y\\'}),
        ("A='x\\n'", {"A": "x\\n"}),
        ('A="two\nlines"\nB=1', {"A": "two\nlines", "B": "1"}),
        ("A=\nB=1", {"A": "", "B": "1"}),
        ("A=a=b==", {"A": "a=b=="}),
        ("A=$B/+x", {"A": "$B/+x"}),
        ("A=1\nA=2", {"A": "2"}),
    ],
)
def test_dotenv_text(text: str, expected: dict[str, str]) -> None:
    assert parse_text(text, "x") == expected


@pytest.mark.parametrize("text", ["A", "A='x", 'A="x', "A='x'y", "1A=2", "=x"])
def test_dotenv_text_that_is_wrong(text: str) -> None:
    with pytest.raises(ValueError, match="line 2"):
        parse_text("# note\n" + text, "x")
