from __future__ import annotations

import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509

from inspector.core.errors import ConfigError
from inspector.office.certificate import KeyPair, context_of, ensure_own, request_in
from tests.support.certificates import make_test_ca

NOW = datetime(2026, 11, 26, tzinfo=UTC)


def test_the_box_makes_itself_a_key_a_certificate_and_a_request_once(tmp_path: Path) -> None:
    pair = ensure_own(tmp_path / "office", ["box7.plant", "192.168.20.7"], NOW)
    assert pair.key.stat().st_mode & 0o777 == 0o600
    context = context_of(pair)
    assert context.minimum_version == ssl.TLSVersion.TLSv1_2 and context.options & ssl.OP_NO_RENEGOTIATION
    made = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    asked = x509.load_pem_x509_csr(request_in(tmp_path / "office").read_bytes())
    assert asked.is_signature_valid and asked.public_key() == made.public_key()
    for found in (made, asked):
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        assert {"box7.plant", "localhost"} <= set(names.get_values_for_type(x509.DNSName))
        assert {"192.168.20.7", "127.0.0.1", "::1"} <= set(map(str, names.get_values_for_type(x509.IPAddress)))
    before = [file.read_bytes() for file in sorted((tmp_path / "office").iterdir())]
    ensure_own(tmp_path / "office", ["other.plant"], NOW + timedelta(days=1))
    assert [file.read_bytes() for file in sorted((tmp_path / "office").iterdir())] == before


def test_a_renewed_certificate_has_the_same_key_and_lasts_longer(tmp_path: Path) -> None:
    first = x509.load_pem_x509_certificate(ensure_own(tmp_path, [], NOW).certificate.read_bytes())
    pair = ensure_own(tmp_path, [], NOW + timedelta(days=700), anew=True)
    second = x509.load_pem_x509_certificate(pair.certificate.read_bytes())
    assert second.public_key() == first.public_key() and second.not_valid_after_utc > first.not_valid_after_utc


def test_what_cannot_be_used_is_said_before_the_page_starts(tmp_path: Path) -> None:
    ca = make_test_ca(tmp_path)
    one, two = ca.issue("one"), ca.issue("two")
    assert isinstance(context_of(KeyPair(one.certificate, one.key)), ssl.SSLContext)
    with pytest.raises(ConfigError, match="do not belong together"):
        context_of(KeyPair(one.certificate, two.key))
    with pytest.raises(ConfigError, match="cannot be read"):
        context_of(KeyPair(one.certificate, tmp_path / "none.key"))
    for name in ("bücher.example", "two words", "https://box7", ""):
        with pytest.raises(ConfigError, match="neither a host name"):
            ensure_own(tmp_path / "office", [name], NOW, anew=True)
    (tmp_path / "web.key").write_text("nonsense")
    with pytest.raises(ConfigError, match="not a key that can be read"):
        ensure_own(tmp_path, [], NOW)
