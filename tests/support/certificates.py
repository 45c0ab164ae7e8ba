"""A certificate authority for tests, and certificates of every kind that must work or must not."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from plc.tls import ROLE_OID, TlsFiles

DAY = timedelta(days=1)
PEM = serialization.Encoding.PEM


@dataclass(frozen=True)
class TestCa:
    """Signs for 127.0.0.1 and plc.test; files go to `folder`."""

    __test__ = False
    folder: Path
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def path(self) -> Path:
        return self.folder / "ca.pem"

    def issue(
        self,
        name: str,
        *,
        role: bytes | str | None = None,
        days: float = 365,
        begins: float = -1000,
        hosts: tuple[str, ...] = ("127.0.0.1",),
    ) -> TlsFiles:
        """A certificate for either side, from `begins` to `days` counted from now. role bytes: the extension's DER."""
        key = ec.generate_private_key(ec.SECP256R1())
        builder = _builder(name, key, self.certificate.subject, begins, days).add_extension(
            x509.BasicConstraints(ca=False, path_length=None), critical=True
        )
        builder = builder.add_extension(x509.SubjectAlternativeName([_host(host) for host in hosts]), critical=False)
        if role is not None:
            raw = role if isinstance(role, bytes) else b"\x0c" + bytes((len(role.encode()),)) + role.encode()
            builder = builder.add_extension(x509.UnrecognizedExtension(ROLE_OID, raw), critical=False)
        return TlsFiles(self.path, *_written(self.folder, name, builder.sign(self.key, hashes.SHA256()), key))


def make_test_ca(folder: Path, name: str = "Test CA") -> TestCa:
    folder.mkdir(parents=True, exist_ok=True)
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    builder = _builder(name, key, subject, -1000, 3650).add_extension(
        x509.BasicConstraints(ca=True, path_length=0), critical=True
    )
    ca = TestCa(folder, builder.sign(key, hashes.SHA256()), key)
    _written(folder, "ca", ca.certificate, key)
    return ca


def _builder(
    name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Name, begins: float, days: float
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)]))
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + begins * DAY)
        .not_valid_after(now + days * DAY)
    )


def _host(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host))
    except ValueError:
        return x509.DNSName(host)


def _written(
    folder: Path, name: str, certificate: x509.Certificate, key: ec.EllipticCurvePrivateKey
) -> tuple[Path, Path]:
    paths = folder / f"{name}.pem", folder / f"{name}.key"
    paths[0].write_bytes(certificate.public_bytes(PEM))
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    paths[1].write_bytes(private)
    paths[1].chmod(0o600)
    return paths
