"""The certificate of the box itself: made at installation, so that nobody ever logs in without TLS from afar.

It is signed with its own key; browsers warn of it until the plant's authority has signed the request that lies beside
it, or until it is trusted on each machine.
"""

from __future__ import annotations

import ipaddress
import os
import re
import socket
import ssl
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from inspector.core.errors import ConfigError

DAYS = 825  # the longest that browsers of all kinds take
PEM = serialization.Encoding.PEM
_HOST = re.compile(r"[A-Za-z0-9_*.-]{1,253}")


@dataclass(frozen=True, slots=True)
class KeyPair:
    """PEM files: a certificate with its chain, and its key (not encrypted)."""

    certificate: Path
    key: Path


def own_pair(folder: Path) -> KeyPair:
    """Where the box's own certificate lies."""
    return KeyPair(folder / "web.pem", folder / "web.key")


def context_of(pair: KeyPair) -> ssl.SSLContext:
    """What a server shows to browsers; TLS 1.2 or newer. Raises ConfigError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    try:
        context.load_cert_chain(pair.certificate, pair.key, password=_no_password)
    except ssl.SSLError as exc:
        raise ConfigError(
            f"[web] {pair.certificate} and {pair.key} do not belong together: {exc.reason or exc}"
        ) from exc
    except OSError as exc:
        raise ConfigError(f"[web] {pair.certificate} or its key cannot be read: {exc.strerror}") from exc
    return context


def _no_password() -> str:
    raise ConfigError("[web] key is encrypted; a box that starts alone needs one that is not")


def request_in(folder: Path) -> Path:
    """Where the request for an authority lies."""
    return folder / "web.csr"


def box_names(more: Iterable[str] = ()) -> list[str]:
    """What the box is called: its host name, this machine's own names, and others."""
    return list(dict.fromkeys([socket.gethostname(), *more, "localhost", "127.0.0.1", "::1"]))


def ensure_own(folder: Path, names: Iterable[str], now: datetime, *, anew: bool = False) -> KeyPair:
    """Make key, certificate and request where they are missing. anew: another certificate of the same key.

    Raises ConfigError: the folder cannot be written, or what lies there is no key.
    """
    pair, called = own_pair(folder), box_names(names)
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        key = _key(pair.key)
        if anew or not pair.certificate.exists():
            _write(pair.certificate, _certificate(key, called, now).public_bytes(PEM), 0o644)
            _write(request_in(folder), _request(key, called).public_bytes(PEM), 0o644)
    except OSError as exc:
        raise ConfigError(f"{folder}: the certificate cannot be made: {exc.strerror}") from exc
    return pair


def names_lacking(certificate: x509.Certificate, names: Iterable[str]) -> list[str]:
    """Those of the names that it is not made out to. Raises ConfigError: one is no name."""
    has = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return [name for name in names if _general(name) not in has]


def _key(path: Path) -> ec.EllipticCurvePrivateKey:
    """The box's key, made where there is none; it stays when the certificate is renewed."""
    if path.exists():
        try:
            found = serialization.load_pem_private_key(path.read_bytes(), None)
        except (ValueError, TypeError) as exc:
            raise ConfigError(f"{path}: not a key that can be read; remove it to have another one made") from exc
        if not isinstance(found, ec.EllipticCurvePrivateKey):
            raise ConfigError(f"{path}: not a key that we made; name it and its certificate in [web]")
        return found
    made = ec.generate_private_key(ec.SECP256R1())
    form = serialization.PrivateFormat.PKCS8
    _write(path, made.private_bytes(PEM, form, serialization.NoEncryption()), 0o600)
    return made


def _certificate(key: ec.EllipticCurvePrivateKey, names: list[str], now: datetime) -> x509.Certificate:
    subject = _subject(names)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))  # clocks of browsers differ
        .not_valid_after(now + timedelta(days=DAYS))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )


def _request(key: ec.EllipticCurvePrivateKey, names: list[str]) -> x509.CertificateSigningRequest:
    return (
        x509.CertificateSigningRequestBuilder()
        .subject_name(_subject(names))
        .add_extension(x509.SubjectAlternativeName(list(map(_general, names))), critical=False)
        .sign(key, hashes.SHA256())
    )


def _subject(names: list[str]) -> x509.Name:
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, names[0][:64])])


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError as exc:
        if _HOST.fullmatch(name) is None:
            raise ConfigError(f"{name!r} is neither a host name nor an address") from exc
        return x509.DNSName(name)


def _write(path: Path, content: bytes, mode: int) -> None:
    """Whole or not at all, and never readable for others in between."""
    staged = path.with_suffix(path.suffix + ".new")
    staged.unlink(missing_ok=True)
    fd = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
    with open(fd, "wb") as file:
        os.fchmod(fd, mode)  # whatever the umask: a certificate is for everybody, and the daemon watches its end
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    os.replace(staged, path)
