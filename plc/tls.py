"""Modbus/TCP Security: TLS 1.2 or newer with certificates on both sides, and the role in a client's certificate.

Certificates are checked against one authority that the operator configured, never against the system's. Their role
(extension 1.3.6.1.4.1.50316.802.1, a UTF8String) says what a client may do to a server.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

PORT = 802
ROLE_OID = x509.ObjectIdentifier("1.3.6.1.4.1.50316.802.1")
UTF8_STRING = 0x0C
HANDSHAKE_S = 5.0  # a PLC needs some 100 ms for its signature; a peer that says nothing must not keep a connection
WARN_DAYS = 30.0
MAX_FILE_BYTES = 256 * 1024


class TlsError(Exception):
    """Certificates, keys or their files are not usable; the text says which and why."""


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files: the authority that signs the other side, our own certificate (with chain), its key (not encrypted)."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class Certificate:
    """What is told of a certificate. role None: it has none. names: common name, DNS names and addresses."""

    name: str
    not_before: datetime
    not_after: datetime
    role: str | None
    names: frozenset[str] = frozenset()

    def days_left(self, now: datetime) -> float:
        """Until it expires; negative: it has."""
        return (self.not_after - now).total_seconds() / 86_400

    def notice(self, now: datetime) -> str:
        """For the operator, from WARN_DAYS before its end; "" while there is time."""
        days = self.days_left(now)
        if days > WARN_DAYS:
            return ""
        when = f"expires in {days:.0f} days" if days > 0 else "has expired"
        return f"certificate {self.name!r} {when} ({self.not_after:%Y-%m-%d})"


def parse_certificate(der: bytes) -> Certificate:
    """Raises TlsError: not a certificate, or its role is not a UTF8String."""
    try:
        found = x509.load_der_x509_certificate(der)
        names = found.subject.get_attributes_for_oid(x509.NameOID.COMMON_NAME)
        name = str(names[0].value) if names else found.subject.rfc4514_string()
        role, others = _role(found), _alternative_names(found)
    except (ValueError, x509.DuplicateExtension) as exc:
        raise TlsError(f"not a certificate that can be read: {exc}") from exc
    return Certificate(name, found.not_valid_before_utc, found.not_valid_after_utc, role, others | {name})


def read_certificate(path: Path) -> Certificate:
    """The first certificate of a PEM file. Raises TlsError."""
    try:
        with path.open("rb") as file:
            pem = file.read(MAX_FILE_BYTES)
        der = x509.load_pem_x509_certificate(pem).public_bytes(Encoding.DER)
    except OSError as exc:
        raise TlsError(f"{path}: cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise TlsError(f"{path}: not a certificate in PEM form") from exc
    try:
        return parse_certificate(der)
    except TlsError as exc:
        raise TlsError(f"{path}: {exc}") from exc


def own_certificates(files: TlsFiles) -> tuple[Certificate, ...]:
    """Ours and the authority's. Raises TlsError."""
    return read_certificate(files.certificate), read_certificate(files.ca)


def notices(files: TlsFiles, now: datetime) -> list[str]:
    """What will expire soon of our own files. Raises TlsError."""
    return [text for found in own_certificates(files) if (text := found.notice(now))]


def client_context(files: TlsFiles) -> ssl.SSLContext:
    """Shows our certificate; takes a server of this authority only, and only under its own name. Raises TlsError."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks certificate and host name
    return _loaded(context, files)


class FileWatch:
    """Tells whether one of our files is another than when it was last asked."""

    def __init__(self, files: TlsFiles) -> None:
        self._paths = files.ca, files.certificate, files.key
        self._seen = tuple(map(_mark, self._paths))

    def changed(self) -> bool:
        """Quick: the files are not read. A file that went away, came or got other rights has changed too."""
        before, self._seen = self._seen, tuple(map(_mark, self._paths))
        return before != self._seen


class ServerTls:
    """The context of a listening port. Only clients with a certificate of the authority get through the handshake.

    context: for the next connection. Each reload makes one, whose sessions are its own: a client cannot resume one that
    was begun under an authority that has been withdrawn. write_roles: roles that may write; None: every client that got
    through. allow_names: names (common name, DNS name or address) one of which a client's certificate must have; None:
    any. Raises TlsError.
    """

    def __init__(
        self,
        files: TlsFiles,
        *,
        write_roles: frozenset[str] | None = None,
        allow_names: frozenset[str] | None = None,
    ) -> None:
        self._files, self._write_roles, self._allow_names = files, write_roles, allow_names
        self._watch, self._trouble = FileWatch(files), ""
        self.context, self._own = self._make()

    def reload(self) -> None:
        """New files for the connections to come; those that stand stay. Raises TlsError: the old ones stay in use."""
        try:
            self.context, self._own = self._make()
        except TlsError as exc:
            self._trouble = f"{exc}; the former certificate stays in use"
            raise
        self._trouble = ""

    def follow(self, say: Callable[[str], None]) -> None:
        """Reload where a file has changed, and say what came of it. Milliseconds where one has, else microseconds."""
        if not self._watch.changed():
            return
        try:
            self.reload()
        except TlsError:
            say(self._trouble)
        else:
            say(f"certificates were renewed: {self._own[0].name!r} until {self._own[0].not_after:%Y-%m-%d}")

    def refusal(self, peer: ssl.SSLObject) -> str:
        """Why a client that got through the handshake is not let in; "" where it is."""
        try:
            found = self._certificate_of(peer)
        except TlsError as exc:  # it may read, where names do not matter
            return "" if self._allow_names is None else f"its certificate is {exc}"
        if found.not_after < datetime.now(UTC):  # a session that is resumed is not checked again by OpenSSL
            return f"its certificate {found.name!r} has expired"
        if self._allow_names is None:
            return ""
        if found.names & self._allow_names:
            return ""
        return f"its certificate is of {_listed(found.names)}, and only {_listed(self._allow_names)} may connect"

    def may_write(self, peer: ssl.SSLObject) -> bool:
        """True if the client's role is one of write_roles. A certificate without role has no rights by role."""
        if self._write_roles is None:
            return True
        try:
            return self._certificate_of(peer).role in self._write_roles
        except TlsError:
            return False

    def why_not_write(self, peer: ssl.SSLObject) -> str:
        """For the log, of a client that may not write."""
        try:
            found = self._certificate_of(peer)
        except TlsError as exc:
            return f"its certificate is {exc}"
        role = f"has role {found.role!r}" if found.role is not None else "has no role"
        return f"its certificate {found.name!r} {role}; who may write has {_listed(self._write_roles or ())}"

    def notices(self) -> list[str]:
        """What a person should see to: files that cannot be used, what in use expires soon."""
        now = datetime.now(UTC)
        return [text for text in (self._trouble, *(found.notice(now) for found in self._own)) if text]

    def _make(self) -> tuple[ssl.SSLContext, tuple[Certificate, ...]]:
        context = _loaded(ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), self._files)
        context.verify_mode = ssl.CERT_REQUIRED
        return context, own_certificates(self._files)

    @staticmethod
    def _certificate_of(peer: ssl.SSLObject) -> Certificate:
        """Raises TlsError."""
        der = peer.getpeercert(binary_form=True)
        if der is None:
            raise TlsError("missing")
        return parse_certificate(der)


REASONS = {  # OpenSSL's names of what an operator can mend
    "WRONG_VERSION_NUMBER": "the other side does not speak TLS",
    "HTTP_REQUEST": "the other side does not speak TLS",
    "PEER_DID_NOT_RETURN_A_CERTIFICATE": "the client showed no certificate",
    "UNSUPPORTED_PROTOCOL": "the other side speaks no TLS 1.2 or newer",
    "TLSV1_ALERT_PROTOCOL_VERSION": "the other side speaks no TLS 1.2 or newer",
    "TLSV1_ALERT_UNKNOWN_CA": "the other side does not know the authority of our certificate",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED": "the other side says that our certificate has expired, or its clock is wrong",
    "SSLV3_ALERT_BAD_CERTIFICATE": "the other side refuses our certificate",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN": "the other side refuses our certificate",
    "TLSV1_ALERT_ACCESS_DENIED": "the other side does not let our certificate in",
    "TLSV13_ALERT_CERTIFICATE_REQUIRED": "the other side wants a certificate",
}


def explain(exc: ssl.SSLError) -> str:
    """In words that say what to do, as far as OpenSSL knows."""
    if isinstance(exc, ssl.SSLCertVerificationError):
        hint = "; check this machine's clock" if "not yet valid" in exc.verify_message else ""
        return f"the other side's certificate is refused: {exc.verify_message}{hint}"
    reason = exc.reason or str(exc)
    return f"TLS failed: {REASONS.get(reason, reason.lower().replace('_', ' '))}"


def _loaded(context: ssl.SSLContext, files: TlsFiles) -> ssl.SSLContext:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    read_certificate(files.ca)
    read_certificate(files.certificate)  # says which file is wrong; OpenSSL does not
    try:
        context.load_verify_locations(cafile=files.ca)
        context.load_cert_chain(files.certificate, files.key, password=_no_password)
    except ssl.SSLError as exc:
        raise TlsError(f"{files.key}: not the key of {files.certificate}: {exc.reason or exc}") from exc
    except OSError as exc:
        raise TlsError(f"{files.key}: cannot be read: {exc.strerror}") from exc
    return context


def _no_password() -> Any:
    raise TlsError("the key is encrypted; a machine that starts alone needs one that is not")


def _role(found: x509.Certificate) -> str | None:
    """DER: tag, length, text. Raises ValueError: it is something else."""
    try:
        value = found.extensions.get_extension_for_oid(ROLE_OID).value
    except x509.ExtensionNotFound:
        return None
    raw = value.value if isinstance(value, x509.UnrecognizedExtension) else b""
    if len(raw) < 2 or raw[0] != UTF8_STRING or raw[1] > 127 or len(raw) != 2 + raw[1]:
        raise ValueError("its role is not a UTF8String of at most 127 bytes")
    return raw[2:].decode()


def _alternative_names(found: x509.Certificate) -> frozenset[str]:
    """DNS names and addresses. Raises ValueError: the extension cannot be read."""
    try:
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return frozenset()
    addresses = names.get_values_for_type(x509.IPAddress)
    return frozenset([*names.get_values_for_type(x509.DNSName), *map(str, addresses)])


def _listed(names: Iterable[str]) -> str:
    return " or ".join(map(repr, sorted(names))) or "nobody"


def _mark(path: Path) -> tuple[int, ...]:
    """Another one for every other content, owner or rights; () where there is no such file."""
    try:
        found = path.stat()
    except OSError:
        return ()
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns
