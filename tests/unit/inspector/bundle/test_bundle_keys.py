"""Which keys a box trusts."""

from __future__ import annotations

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from inspector.bundle.keys import TrustedKey, check_signature, load_key, load_keys
from inspector.core.errors import BundleError, ConfigError


def test_a_key_may_be_written_as_hex_or_as_the_name_of_a_pem_file(tmp_path, key, trusted):
    pem = key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "approve.pub").write_bytes(pem)
    assert load_keys(["approve.pub", trusted[0].raw.hex().upper()], base=tmp_path) == (trusted[0], trusted[0])


@pytest.mark.parametrize("text", ["", "zz" * 32, "aa" * 31, "/nowhere.pem", "/dev/null", "/etc/hostname"])
def test_what_is_no_key_is_an_error_of_the_config(text):
    with pytest.raises(ConfigError, match="trusted key"):
        load_key(text)


def test_a_key_of_another_kind_is_an_error(tmp_path):
    pem = generate_private_key(65537, 2048).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "rsa.pub").write_bytes(pem)
    with pytest.raises(ConfigError, match="not an Ed25519 key"):
        load_key("rsa.pub", tmp_path)


@pytest.mark.parametrize("text", ["00" * 32, "01" + "00" * 31, "00" * 31 + "80", "ec" + "ff" * 31])
def test_a_placeholder_is_not_taken_for_a_key(text):
    with pytest.raises(ConfigError, match="placeholder"):
        load_key(text)


def test_anyone_could_sign_for_a_placeholder():
    assert TrustedKey(b"\1" + bytes(31)).verifies(b"\1" + bytes(63), b"any bundle")  # why the test above matters


def test_a_revoked_key_is_known_and_approves_nothing(key, trusted):
    (revoked,) = load_keys([trusted[0].raw.hex()], [trusted[0].key_id.upper()])
    with pytest.raises(BundleError, match="revoked"):
        check_signature(key.sign(b"x"), b"x", [revoked])


def test_a_revoked_id_that_is_none_is_an_error():
    with pytest.raises(ConfigError, match="16 hex digits"):
        load_keys([], ["deadbeef"])
