"""A stream that only who has the key can read, and that nobody can change unseen: AES-256-GCM in pieces.

    MAGIC, 32 bytes of salt, then pieces of 1 MiB with a tag each; the last piece is marked as such in its nonce, so
    that a file cut short between two pieces is refused (STREAM: Hoang, Reyhanitabar, Rogaway, Vizar, CRYPTO 2015).

The key of a file is derived from the key of the box and the file's salt, so no nonce is ever used twice.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path
from typing import BinaryIO

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from inspector.backup.errors import BackupError

MAGIC = b"INSPECTOR-BACKUP-1\n"
SALT, PIECE, TAG = 32, 1 << 20, 16
KEY_BYTES = 32


def new_key(path: Path) -> None:
    """Make a key's file, readable by its owner alone. Raises BackupError: it is there already, or cannot be written."""
    try:
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(fd, "wb") as file:
            file.write(base64.b64encode(os.urandom(KEY_BYTES)) + b"\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as exc:
        raise BackupError(f"{path}: the key cannot be written: {exc.strerror}; no key is ever replaced") from exc


def read_key(path: Path) -> bytes:
    """Raises BackupError."""
    try:
        key = base64.b64decode(path.read_bytes().strip(), validate=True)
    except OSError as exc:
        raise BackupError(f"{path}: the key cannot be read: {exc.strerror}") from exc
    except ValueError as exc:
        raise BackupError(f"{path}: not a key of ours; `inspector backup-key` makes one") from exc
    if len(key) != KEY_BYTES:
        raise BackupError(f"{path}: not a key of ours; `inspector backup-key` makes one")
    return key


def _cipher(key: bytes, salt: bytes) -> AESGCM:
    return AESGCM(HKDF(hashes.SHA256(), KEY_BYTES, salt, b"inspector backup").derive(key))


def _nonce(number: int, *, last: bool) -> bytes:
    return number.to_bytes(11, "big") + bytes([last])


class Encrypting:
    """A file to write to, beginning to end; finish() makes it whole."""

    def __init__(self, out: BinaryIO, key: bytes) -> None:
        salt = os.urandom(SALT)
        self._out, self._cipher, self._waiting, self._number = out, _cipher(key, salt), bytearray(), 0
        out.write(MAGIC + salt)

    def write(self, data: bytes) -> int:
        self._waiting += data
        while len(self._waiting) > PIECE:  # not >=: the last piece must be told from the others
            self._put(bytes(self._waiting[:PIECE]), last=False)
            del self._waiting[:PIECE]
        return len(data)

    def finish(self) -> None:
        self._put(bytes(self._waiting), last=True)
        self._waiting.clear()

    def flush(self) -> None:
        """As a file has it; whole pieces are written at once."""

    def _put(self, piece: bytes, *, last: bool) -> None:
        self._out.write(self._cipher.encrypt(_nonce(self._number, last=last), piece, None))
        self._number += 1


class Decrypting:
    """What was encrypted, to be read once. source: just behind MAGIC. Raises BackupError: another key, or changed."""

    def __init__(self, source: BinaryIO, key: bytes) -> None:
        self._source, self._cipher = source, _cipher(key, source.read(SALT))
        self._ahead, self._number, self._data = source.read(PIECE + TAG), 0, b""

    def read(self, size: int = -1) -> bytes:
        while (size < 0 or len(self._data) < size) and self._ahead:
            piece, self._ahead = self._ahead, self._source.read(PIECE + TAG)
            try:
                self._data += self._cipher.decrypt(_nonce(self._number, last=not self._ahead), piece, None)
            except InvalidTag as exc:
                raise BackupError(f"the backup cannot be decrypted: {self._why()}") from exc
            self._number += 1
        cut = len(self._data) if size < 0 else size
        found, self._data = self._data[:cut], self._data[cut:]
        return found

    def _why(self) -> str:
        if self._number:
            return "it was changed or cut short"
        return "this is not its key" if self._ahead else "this is not its key, or the file is cut short"
