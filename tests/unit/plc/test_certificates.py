"""Certificates and keys as files: what is read from them, and that unusable ones are named."""

from __future__ import annotations

import ssl
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives import serialization

from plc.tls import ServerTls, TlsError, client_context, parse_certificate, read_certificate
from tests.support.certificates import TestCa, make_test_ca


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return make_test_ca(tmp_path_factory.mktemp("ca"))


def test_a_role_that_cannot_be_read_is_no_role(ca):
    class Peer:
        der: bytes | None = None

        def getpeercert(self, binary_form: bool) -> bytes | None:
            return self.der

    tls, peer = ServerTls(ca.issue("appliance"), write_roles=frozenset({"plc"})), Peer()
    for role, may in [("plc", True), (b"\x13\x03plc", False)]:
        pem = ca.issue("client", role=role).certificate.read_text()
        peer.der = ssl.PEM_cert_to_DER_cert(pem)
        assert tls.may_write(peer) is may
    peer.der = None
    assert not tls.may_write(peer)


@pytest.mark.parametrize("role", [None, "plc", "Bedienung Ä"])
def test_the_role_is_read_from_a_certificate(ca, role):
    assert read_certificate(ca.issue("any", role=role).certificate).role == role


@pytest.mark.parametrize("raw", [b"", b"\x0c", b"\x0c\x05abc", b"\x0c\x02abc", b"\x13\x03abc", b"\x0c\x02\xff\xff"])
def test_a_role_that_is_no_utf8_string_is_refused(ca, raw):
    with pytest.raises(TlsError, match=r"any\.pem: .*(role|read)"):
        read_certificate(ca.issue("any", role=raw).certificate)


def test_the_days_left_count_to_the_end_and_below(ca):
    found = read_certificate(ca.issue("any", days=40).certificate)
    assert found.days_left(found.not_after - timedelta(days=2)) == 2
    assert "has expired" in found.notice(found.not_after + timedelta(hours=1))
    assert found.notice(datetime.now(UTC)) == ""


def test_files_that_cannot_be_used_are_named(ca, tmp_path):
    good, other = ca.issue("one"), ca.issue("two")
    missing, broken = tmp_path / "missing.pem", tmp_path / "broken.pem"
    broken.write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    for files, why in [
        (replace(good, ca=missing), r"missing\.pem: cannot be read: No such file"),
        (replace(good, certificate=broken), r"broken\.pem: not a certificate"),
        (replace(good, key=missing), r"missing\.pem: cannot be read"),
        (replace(good, key=other.key), r"two\.key: not the key of .*one\.pem"),
    ]:
        with pytest.raises(TlsError, match=why):
            client_context(files)
    with pytest.raises(TlsError):
        parse_certificate(b"\x30\x03abc")


def test_an_encrypted_key_is_refused_and_nobody_is_asked_for_a_password(ca, tmp_path):
    files = ca.issue("locked")
    key = serialization.load_pem_private_key(files.key.read_bytes(), None)
    locked = tmp_path / "locked.key"
    locked.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        )
    )
    with pytest.raises(TlsError, match="the key is encrypted"):
        client_context(replace(files, key=locked))
