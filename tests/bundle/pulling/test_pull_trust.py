"""Whom a pull trusts: signatures that are demanded, and certificates."""

import datetime
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tiny_contents import STUDENT, contents
from web_server import WebServer, status

from tfpwl.bundle import Bundle, pull, sign
from tfpwl.errors import PullError, SignatureError


def test_a_demanded_signature_is_checked_before_anything_else_is_fetched(server, folder, tiny_bundle, keys, other_keys):
    with pytest.raises(SignatureError, match="the bundle is not signed"):
        pull(server.url, folder, public_key=keys.public)
    sign(tiny_bundle, keys.private)
    server.files = contents(tiny_bundle.root)
    with pytest.raises(SignatureError, match="does not fit"):
        pull(server.url, folder, public_key=other_keys.raw)
    assert set(server.requested()) == {"manifest.json", "manifest.sig"}
    assert not folder.exists()
    pull(server.url, folder, public_key=keys.public)
    assert Bundle.open(folder, public_key=keys.public).is_signed


def test_a_key_that_cannot_be_used_is_told_before_the_network_is(server, folder, tmp_path):
    with pytest.raises(SignatureError, match=r"none.pem cannot be read"):
        pull(server.url, folder, public_key=tmp_path / "none.pem")
    assert server.log == []


@pytest.fixture
def certificate(tmp_path):
    """A self-signed certificate of 127.0.0.1 and its key in one PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), now, now.replace(year=2099))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), True)
        .sign(key, hashes.SHA256())
    )
    path = tmp_path / "server.pem"
    encodings = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    path.write_bytes(key.private_bytes(*encodings) + made.public_bytes(serialization.Encoding.PEM))
    return path


@pytest.fixture
def tls_server(tiny_bundle, certificate):
    server = WebServer(contents(tiny_bundle.root), certificate)
    yield server
    server.close()


def test_https_with_a_certificate_that_is_trusted(tls_server, folder, tiny_bundle, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    pull(tls_server.url, folder)
    assert contents(folder) == contents(tiny_bundle.root)


def test_https_with_a_certificate_that_is_not_trusted(tls_server, folder):
    with pytest.raises(PullError, match="the server's certificate is not trusted: self"):
        pull(tls_server.url, folder)
    assert tls_server.log == []


def test_https_does_not_lead_to_http(tls_server, server, folder, certificate, monkeypatch):
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    tls_server.faults[STUDENT[0]] = [status(302, Location=f"{server.url}/{STUDENT[0]}")]
    with pytest.raises(PullError, match=r"redirects to http://.*; expected HTTPS after HTTPS"):
        pull(tls_server.url, folder)
    assert server.log == []
