"""The daemon's control socket: status, events and commands for other processes of this box.

What it speaks is in `control_wire`, who asks in `control_client`. No peer can hold up the daemon: what it does not take
in time costs it the connection.
"""

from __future__ import annotations

import asyncio
import inspect
import os
import socket
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import structlog

from inspector.control_client import ControlClient as ControlClient
from inspector.control_client import connect_control as connect_control
from inspector.control_wire import MAX_REQUEST, Malformed, Request, encode, error, parse
from inspector.control_wire import ControlError as ControlError
from inspector.control_wire import Params as Params
from inspector.core.errors import InspectorError

log = structlog.get_logger(__name__)

MAX_PEERS = 8
QUEUE = 64  # messages that a peer may lag behind
SEND_S = 5.0  # a peer that takes nothing for so long is dropped
LAST_WORDS_S = 0.2
MODE = 0o660

# Methods that only tell. Every other one acts, and is on record before it does.
QUESTIONS = frozenset({"status", "recent", "look", "registers", "changes", "dry_run", "storage", "support"})
# Methods that pass on what people did elsewhere, where it stands in a history that only grows (labels): told again
# after each start of the page and every few seconds of a review, it would drown what was done on the line.
PASSED_ON = frozenset({"reviewed"})

Record = Callable[[str, str, Params, str], Awaitable[None]]  # actor, action, params, what went wrong; may raise
Handler = Callable[[Params, str], Awaitable[Any] | Any]  # params, actor -> what JSON can hold; may raise ControlError


class _Peer:
    """One connection and the messages that it has not taken yet."""

    def __init__(self, writer: asyncio.StreamWriter) -> None:
        self.subscribed = False
        self._writer = writer
        self._queue: asyncio.Queue[bytes] = asyncio.Queue(QUEUE)
        self._ended = False

    async def reply(self, message: bytes) -> None:
        """Queue a reply; a peer that does not take its replies waits with its next request, and nobody else does.

        Raises ConnectionResetError: nobody takes any more.
        """
        if self._ended:
            raise ConnectionResetError("the peer takes nothing any more")
        await self._queue.put(message)

    def tell(self, message: bytes) -> None:
        """Queue an event; a peer that is too far behind is cut off instead."""
        try:
            self._queue.put_nowait(message)
        except asyncio.QueueFull:
            self.drop("does not read")

    def drop(self, why: str) -> None:
        if not self._writer.transport.is_closing():
            log.warning("control peer dropped", why=why)
            self._writer.transport.abort()

    async def deliver(self) -> None:
        """Send for ever. Ends by ConnectionError, or by dropping a peer that takes nothing."""
        try:
            while True:
                self._writer.write(await self._queue.get())
                async with asyncio.timeout(SEND_S):
                    await self._writer.drain()
        except TimeoutError:
            self._forsake(f"took nothing for {SEND_S} s")
        except ConnectionError:
            self._forsake("went away")
            raise

    def _forsake(self, why: str) -> None:
        """Nobody empties the queue any more: a reply that waits for room in it must not wait for ever."""
        self._ended = True
        self.drop(why)
        while not self._queue.empty():
            self._queue.get_nowait()

    async def finish(self) -> None:
        """Send what waits, but not for long."""
        while not self._queue.empty() and not self._writer.transport.is_closing():
            self._writer.write(self._queue.get_nowait())
        async with asyncio.timeout(LAST_WORDS_S):
            await self._writer.drain()


class ControlServer:
    """Serves `handlers` (method -> function) on a Unix socket at `path`. All on one event loop.

    record: puts on record, on the disk, what somebody asks for, before it is done. Where that fails nothing is done.
    """

    def __init__(
        self, path: Path, handlers: Mapping[str, Handler], record: Record, *,
        allowed_uids: frozenset[int] | None = None, allowed_gids: frozenset[int] | None = None,
    ) -> None:  # fmt: skip
        self._path, self._handlers, self._record = path, handlers, record
        self._uids = allowed_uids if allowed_uids is not None else frozenset({os.geteuid(), 0})
        self._gids = allowed_gids if allowed_gids is not None else frozenset({os.getegid()})
        self._server: asyncio.Server | None = None
        self._peers: dict[_Peer, tuple[asyncio.Task[None], asyncio.StreamReader]] = {}

    async def start(self) -> None:
        """Listen. Raises ControlError: another daemon answers there, or the place is taken or not writable."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._clear_the_place()
            self._server = await asyncio.start_unix_server(self._accept, self._path, limit=MAX_REQUEST)
            self._path.chmod(MODE)  # and every peer is asked who it is, early ones too
        except OSError as exc:
            raise ControlError(f"{self._path} cannot be served: {exc}") from exc

    async def close(self) -> None:
        """End all connections and remove the socket."""
        if self._server is None:
            return
        self._server.close()
        for _, reader in self._peers.values():
            reader.feed_eof()  # as if the peer had left: its task ends by itself, after its last words
        if tasks := [task for task, _ in self._peers.values()]:
            _, hanging = await asyncio.wait(tasks, timeout=2 * LAST_WORDS_S)
            for task in hanging:  # a handler that takes long
                task.cancel()
        self._path.unlink(missing_ok=True)
        self._server = None

    def push(self, event: str, data: object) -> None:
        """Tell every subscriber; at once, and without waiting for any."""
        message = encode({"event": event, "data": data})
        for peer in list(self._peers):
            if peer.subscribed:
                peer.tell(message)

    @property
    def peers(self) -> int:
        return len(self._peers)

    @property
    def commands(self) -> frozenset[str]:
        """Methods that act, each on record before it does."""
        return frozenset(self._handlers) - QUESTIONS - PASSED_ON

    def _clear_the_place(self) -> None:
        """Remove the socket of a process that is gone; never one that answers, and nothing that is no socket."""
        if not self._path.exists():
            return
        if not stat.S_ISSOCK(self._path.stat().st_mode):
            raise ControlError(f"{self._path} is not a socket; remove it if nobody needs it")
        with socket.socket(socket.AF_UNIX) as probe:
            probe.settimeout(0.2)
            try:
                probe.connect(str(self._path))
            except (ConnectionRefusedError, FileNotFoundError):
                self._path.unlink(missing_ok=True)
                return
            except TimeoutError:
                pass  # it listens, and does not come to answer
        raise ControlError(f"another process serves {self._path}: is the daemon running twice?")

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        peer, refusal = _Peer(writer), self._refusal(writer)
        this = asyncio.current_task()
        if refusal is None and this is not None:
            self._peers[peer] = this, reader
        sender = asyncio.create_task(peer.deliver(), name="control sender")
        try:
            if refusal is None:
                await self._serve(peer, reader)
            else:
                log.warning("control peer refused", why=refusal)
                await peer.reply(error(None, "refused", refusal))
        except ConnectionError:
            pass  # the peer went away
        finally:
            self._peers.pop(peer, None)
            await _end(sender)
            await _last_words(peer)
            writer.close()

    def _refusal(self, writer: asyncio.StreamWriter) -> str | None:
        """Why this peer is not served, by who it is and how many there are."""
        credentials = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
        pid, uid, gid = struct.unpack("iII", credentials)
        if uid not in self._uids and gid not in self._gids:
            return f"process {pid} of user {uid} may not control this station"
        if len(self._peers) >= MAX_PEERS:
            return f"{MAX_PEERS} peers are connected already"
        return None

    async def _serve(self, peer: _Peer, reader: asyncio.StreamReader) -> None:
        while True:
            try:
                line = await reader.readline()
                if not line:
                    return
                request = parse(line)
            except (Malformed, ValueError) as exc:  # ValueError: the line is longer than we read
                await peer.reply(error(None, "malformed", str(exc)))
                return
            await peer.reply(await self._answer(peer, request))

    async def _answer(self, peer: _Peer, request: Request) -> bytes:
        if request.method == "subscribe":
            peer.subscribed = True
            return encode({"id": request.id, "result": True})
        handler = self._handlers.get(request.method)
        if handler is None:
            return error(request.id, "unknown_method", f"there is no method {request.method[:64]!r}")
        try:
            result = await self._done(handler, request)
            return encode({"id": request.id, "result": result})
        except InspectorError as exc:
            return error(request.id, "refused", str(exc))
        except Exception:  # this peer's request failed by a bug of ours; the line goes on, and the log has it
            log.exception("control request failed", method=request.method, actor=request.actor)
            return error(request.id, "internal", "the daemon failed at this request; see its log")

    async def _done(self, handler: Handler, request: Request) -> Any:
        """What the handler returns. Raises what it raises, which is on record too, and what the record raises."""
        actor, method, params = request.actor, request.method, request.params
        if method in QUESTIONS | PASSED_ON:
            return await _result(handler(params, actor))
        await self._record(actor, method, params, "")
        try:
            return await _result(handler(params, actor))
        except Exception as exc:
            why = str(exc) if isinstance(exc, InspectorError) else "the daemon failed at it"
            await self._record(actor, f"{method}.refused", params, why)
            raise


async def _result(found: Awaitable[Any] | Any) -> Any:
    return await found if inspect.isawaitable(found) else found


async def _end(task: asyncio.Task[None]) -> None:
    task.cancel()
    await asyncio.wait([task])
    if not task.cancelled() and (exc := task.exception()) and not isinstance(exc, ConnectionError):
        raise exc


async def _last_words(peer: _Peer) -> None:
    try:
        await peer.finish()
    except TimeoutError:
        peer.drop("took nothing at the end")
    except ConnectionError:
        pass  # it did not wait for them
