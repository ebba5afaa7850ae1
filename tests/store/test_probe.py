"""A bucket that cannot be mounted is told from one that can, and why, and what to do."""

from __future__ import annotations

import datetime
import inspect
import ipaddress
import socket
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.servers import Server, free_ports, s3_options
from tests.store.scripted import Answer, Asked, error, listing, serve
from tests.store.test_obstore_config import in_region
from tests.store.test_obstore_store import scripted_options
from vfsmount.errors import NotFound, PermissionDenied, StoreError, Unauthenticated, Unavailable
from vfsmount.store.factory import open_store
from vfsmount.store.memory import MemoryStore
from vfsmount.store.options import StoreOptions
from vfsmount.store.probe import check


def probe(options: StoreOptions, prefix: str = "") -> None:
    store = open_store(options)
    try:
        check(store, options, prefix)
    finally:
        store.close()


@pytest.mark.parametrize("prefix", ["", "d/", "nothing/"])
def test_a_good_bucket_costs_one_request(prefix: str) -> None:
    with serve(lambda asked: listing("d/x", "e")) as server:
        probe(scripted_options(server.url), prefix)
        assert len(server.asked) == 1


def test_a_bucket_with_odd_keys_is_good(moto: Server, moto_bucket: str) -> None:
    for key in ("/lead", "a//b", "./x"):
        moto.put(moto_bucket, key, b"")
    probe(s3_options(moto, moto_bucket))


def test_a_store_with_no_service_behind_it() -> None:
    check(MemoryStore("bucket"), StoreOptions("memory", "bucket"), "")


def test_no_such_bucket(moto: Server) -> None:
    with pytest.raises(NotFound, match=r"'no-such-bucket' at http://127.0.0.1:\d+: there is no such bucket"):
        probe(s3_options(moto, "no-such-bucket"))


@pytest.mark.parametrize(
    ("code", "cure"),
    [
        ("InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
        ("SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
        ("ExpiredToken", "have expired; get new ones"),
        ("InvalidToken", "AWS_SESSION_TOKEN"),
        ("RequestTimeTooSkewed", "clock"),
    ],
)
def test_credentials(code: str, cure: str) -> None:
    with serve(lambda asked: error(403, code)) as server:
        with pytest.raises(Unauthenticated, match=cure) as caught:
            probe(scripted_options(server.url))
    assert (caught.value.code, caught.value.request_id, caught.value.bucket) == (code, "REQ1", "bucket")


def test_no_permission_to_list() -> None:
    def answer(asked: Asked) -> Answer:
        return Answer(403) if asked.method == "HEAD" else error(403, "AccessDenied")

    with serve(answer) as server:
        with pytest.raises(PermissionDenied, match=r"grant s3:ListBucket for the prefix 'd/'"):
            probe(scripted_options(server.url), "d/")
        assert len(server.asked) <= 3


def test_forbidden_listing_of_a_bucket_that_is_not_there() -> None:
    with serve(lambda asked: Answer(404) if asked.method == "HEAD" else error(403, "AccessDenied")) as server:
        with pytest.raises(NotFound, match="no such bucket"):
            probe(scripted_options(server.url))


def test_private_bucket_without_a_secret() -> None:
    with serve(lambda asked: error(403, "AccessDenied")) as server:
        with pytest.raises(PermissionDenied, match="not public; give the mount a secret"):
            probe(scripted_options(server.url, anonymous=True, credentials=None))


def test_private_bucket_where_no_credentials_are_found(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "none"))
    with serve(lambda asked: error(403, "AccessDenied")) as server:
        with pytest.raises(PermissionDenied, match="no credentials were found; give the mount a secret"):
            probe(scripted_options(server.url, provider="other", credentials=None))


def test_an_endpoint_that_ends_in_the_bucket_s_name() -> None:
    with serve(lambda asked: error(404, "NoSuchKey" if asked.path.count("/") > 1 else "NoSuchBucket")) as server:
        with pytest.raises(NotFound, match="the endpoint must not end in /bucket"):
            probe(scripted_options(f"{server.url}/bucket"))


def test_wrong_region_names_the_right_one() -> None:
    with serve(in_region("ap-south-1")) as server:
        with pytest.raises(StoreError, match="the region is 'ap-south-1', not 'us-east-1'"):
            probe(scripted_options(server.url, provider="aws", region="us-east-1"))


def test_wrong_region_that_nobody_gave_is_no_trouble() -> None:
    with serve(in_region("ap-south-1")) as server:
        probe(scripted_options(server.url, provider="aws", region=None))


def test_refused_connection() -> None:
    (port,) = free_ports(1)
    with pytest.raises(Unavailable, match=f"nothing listens on port {port}"):
        probe(scripted_options(f"http://127.0.0.1:{port}"))


def test_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    def resolve(*args: object, **options: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")  # the real thing would ask the network

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    with pytest.raises(Unavailable, match=r"'no-such-host\.invalid' cannot be resolved"):
        probe(scripted_options("http://no-such-host.invalid"))


def test_connection_that_is_never_answered() -> None:
    # A listener whose queue is full drops further attempts, as a firewall does.
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        address = listener.getsockname()
        waiting = [socket.socket() for _ in range(3)]
        try:
            for one in waiting:
                one.setblocking(False)
                one.connect_ex(address)
            with pytest.raises(Unavailable, match=r"no answer within 0.1 s; check the firewall"):
                probe(scripted_options(f"http://127.0.0.1:{address[1]}", connect_timeout=0.1))
        finally:
            for one in waiting:
                one.close()


def _certificate(name: str, own: Any, issuer: x509.Name, signer: Any, *, authority: bool) -> x509.Certificate:
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = x509.CertificateBuilder(issuer, x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]))
    builder = builder.public_key(own.public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(
        now + datetime.timedelta(days=1)
    )
    builder = builder.add_extension(x509.BasicConstraints(authority, None), critical=True)
    builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(own.public_key()), critical=False)
    key_id = x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key())
    builder = builder.add_extension(key_id, critical=False)
    if authority:
        usage = dict.fromkeys(inspect.signature(x509.KeyUsage).parameters, False)
        builder = builder.add_extension(x509.KeyUsage(**(usage | {"key_cert_sign": True, "crl_sign": True})), True)
    else:
        address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
        builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
    return builder.sign(signer, hashes.SHA256())


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for 127.0.0.1 with its key; ``authority.pem`` beside it is who signed it."""
    place = tmp_path_factory.mktemp("tls")
    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    issuer = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test authority")])
    authority = _certificate("test authority", authority_key, issuer, authority_key, authority=True)
    leaf = _certificate("127.0.0.1", key, issuer, authority_key, authority=False)
    pem = serialization.Encoding.PEM
    plain = (serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (place / "authority.pem").write_bytes(authority.public_bytes(pem))
    (place / "both.pem").write_bytes(key.private_bytes(pem, *plain) + leaf.public_bytes(pem))
    return place / "both.pem"


@pytest.fixture
def tls(certificate: Path) -> Iterator[str]:
    """The URL of an HTTPS server that lists one object."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with serve(lambda asked: listing("k"), tls=context) as server:
        yield server.url


def test_untrusted_certificate(tls: str) -> None:
    with pytest.raises(Unavailable, match=r"certificate is not trusted .*set ca_bundle"):
        probe(scripted_options(tls, max_attempts=1))


def test_ca_bundle_makes_it_trusted(tls: str, certificate: Path) -> None:
    probe(scripted_options(tls, max_attempts=1, ca_bundle=str(certificate.with_name("authority.pem"))))


def test_https_to_a_port_that_speaks_http(moto: Server) -> None:
    with pytest.raises(Unavailable, match="no TLS there"):
        probe(scripted_options(moto.endpoint_url.replace("http:", "https:"), max_attempts=1))


def test_secrets_are_in_no_message() -> None:
    with serve(lambda asked: error(403, "SignatureDoesNotMatch")) as server:
        with pytest.raises(Unauthenticated) as caught:
            probe(scripted_options(server.url))
    assert "SK" not in str(caught.value).split()
