"""The control socket, with real peers: good ones, slow ones, too many and wrong ones."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest

from inspector import control
from inspector.control import MAX_PEERS, QUEUE, ControlError, ControlServer, connect_control
from tests.support.fake_daemon import unrecorded

GOOD = {"v": 1, "id": 1, "method": "status", "params": {}, "actor": "test"}


def boom(*_: object) -> None:
    raise ValueError("a secret of ours")


async def refuse(*_: object) -> None:
    raise ControlError("not while a part is in flight")


HANDLERS = {
    "status": lambda params, actor: {"ready": True, "asked_by": actor},
    "recent": lambda params, actor: [{"no": 2}, {"no": 1}],
    "echo": lambda params, actor: dict(params),
    "boom": boom,
    "refuse": refuse,
}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run" / "control.sock"


@pytest.fixture
async def server(path: Path) -> AsyncIterator[ControlServer]:
    server = ControlServer(path, HANDLERS, unrecorded)
    await server.start()
    yield server
    await server.close()


async def raw(path: Path, *lines: bytes) -> list[dict[str, Any]]:
    """What a peer that sends these bytes gets until the daemon closes or says no more."""
    reader, writer = await asyncio.open_unix_connection(path)
    try:
        writer.write(b"".join(lines))
        writer.write_eof()
        async with asyncio.timeout(60):
            answers = (await reader.read()).splitlines()
    finally:
        writer.close()
    return [json.loads(a) for a in answers]


def line(**changes: object) -> bytes:
    return json.dumps({**GOOD, **changes}).encode() + b"\n"


async def until(condition: Any, within_s: float = 60.0) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - any condition
            await asyncio.sleep(0.005)


def subscribers(server: ControlServer) -> int:
    return sum(peer.subscribed for peer in server._peers)


async def test_a_peer_asks_and_is_answered(server, path):
    async with connect_control(path, "anna") as client:
        assert await client.call("status") == {"ready": True, "asked_by": "anna"}
        assert await client.call("echo", {"x": [1, "ü"]}) == {"x": [1, "ü"]}
        assert await client.recent() == [{"no": 2}, {"no": 1}]


async def test_every_subscriber_hears_every_event_and_others_hear_none(server, path):
    async with connect_control(path, "one") as one, connect_control(path, "two") as two:
        assert (await one.status())["ready"] and await two.call("echo") == {}
        server.push("part", {"no": 7})
        assert await one.recent()  # the event came before this reply, and is not lost
        server.push("status", {"ready": False})
        events = one.events()
        assert [await anext(events), await anext(events)] == [("part", {"no": 7}), ("status", {"ready": False})]
        assert await two.recent() == [{"no": 2}, {"no": 1}]
        await events.aclose()


async def test_a_refusal_is_told_and_the_connection_goes_on(server, path):
    async with connect_control(path, "anna") as client:
        with pytest.raises(ControlError, match="in flight"):
            await client.call("refuse")
        with pytest.raises(ControlError, match="no method 'open_gate'"):
            await client.call("open_gate")
        assert await client.call("echo") == {}


async def test_a_bug_in_a_handler_costs_one_request_and_shows_nothing_of_us(server, path):
    async with connect_control(path, "anna") as client:
        with pytest.raises(ControlError) as caught:
            await client.call("boom")
        assert "secret" not in str(caught.value)
        assert await client.call("echo") == {}


@pytest.mark.parametrize(
    "bad",
    [
        b"not json\n", b"[1, 2]\n", b"\xff\xfe\n", b"null\n", b"[" * 30_000 + b"\n",
        line(v=2), line(v=True), line(v="1"), line(id="1"), line(id=True), line(id=-1), line(id=1.5), line(method=7),
        line(params=[]), line(actor=""), line(actor="x" * 65), line(actor="a\nb"), line(extra=1),
        b'{"v": 1, "id": 1, "method": "status", "params": {}}\n',
        line(method="x" * control.MAX_REQUEST), b"x" * (control.MAX_REQUEST + 1000),
    ],
)  # fmt: skip
async def test_a_malformed_line_is_answered_with_an_error_and_the_connection_ends(server, path, bad):
    answers = await raw(path, bad, line(id=99))
    assert len(answers) == 1 and answers[0]["error"]["code"] == "malformed" and answers[0]["id"] is None
    assert await raw(path, line(id=5)) == [{"v": 1, "id": 5, "result": {"ready": True, "asked_by": "test"}}]


async def test_requests_cut_into_pieces_and_many_at_once_are_all_answered_in_order(server, path):
    many = [line(id=n, method="echo") for n in range(3 * QUEUE)]
    assert [a["id"] for a in await raw(path, *many)] == list(range(3 * QUEUE))
    reader, writer = await asyncio.open_unix_connection(path)
    with contextlib.closing(writer):
        for byte in line(id=7):
            writer.write(bytes([byte]))
            await asyncio.sleep(0)
        assert json.loads(await reader.readline())["id"] == 7


async def test_a_slow_subscriber_is_dropped_and_the_others_and_the_daemon_do_not_wait(server, path, monkeypatch):
    monkeypatch.setattr(control, "SEND_S", 600.0)
    slow = socket.socket(socket.AF_UNIX)
    slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    slow.connect(str(path))
    slow.sendall(line(method="subscribe"))
    heard: list[int] = []
    async with connect_control(path, "page") as client:
        await client.call("subscribe")
        await until(lambda: subscribers(server) == 2)
        events = client.events()
        async with asyncio.timeout(60):  # who waits for the slow one waits for longer
            for n in range(200):
                server.push("part", {"no": n, "text": "x" * 20_000})
                heard.append((await anext(events))[1]["no"])
        assert heard == list(range(200))
        await events.aclose()
        await until(lambda: server.peers == 1)
    slow.close()


async def test_a_subscriber_that_takes_nothing_for_long_is_dropped(server, path, monkeypatch):
    monkeypatch.setattr(control, "SEND_S", 0.1)
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(path))
        slow.sendall(line(method="subscribe"))
        await until(lambda: subscribers(server) == 1)
        server.push("part", {"text": "x" * 4_000_000})  # less than the queue's bound in number
        await until(lambda: server.peers == 0)


async def test_the_ninth_peer_is_refused_until_one_leaves(server, path):
    async with AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(connect_control(path, f"p{n}")) for n in range(MAX_PEERS)]
        for peer in peers:
            assert await peer.call("echo") == {}
        (answer,) = await raw(path)
        assert answer["error"]["code"] == "refused" and "8 peers" in answer["error"]["text"]
        async with connect_control(path, "ninth") as ninth:
            with pytest.raises((ControlError, ConnectionError)):
                await ninth.call("echo")
        assert await peers[0].call("echo") == {}
    await until(lambda: server.peers == 0)
    async with connect_control(path, "ninth") as client:
        assert await client.call("echo") == {}


async def test_only_our_user_our_group_and_root_may_connect(path):
    assert not {12345} & {os.geteuid(), os.getegid()}
    server = ControlServer(path, HANDLERS, unrecorded, allowed_uids=frozenset({12345}), allowed_gids=frozenset({12345}))
    await server.start()
    (answer,) = await raw(path, line())
    assert answer["error"]["code"] == "refused" and "may not control" in answer["error"]["text"]
    await server.close()


_NOBODY = """
import os, socket, sys
s = socket.socket(socket.AF_UNIX)
os.setgroups([]); os.setgid(65534); os.setuid(65534)
s.connect(sys.argv[1])
print(s.recv(999).decode())
"""


async def as_nobody(socket_path: Path) -> tuple[bytes, bytes]:
    """What a process of another user gets: stdout, stderr."""
    child = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _NOBODY, str(socket_path), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    return await child.communicate()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can start a process of another user")
async def test_another_user_is_kept_out_by_the_file_and_by_who_it_is():
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        socket_path = Path(folder) / "control.sock"
        server = ControlServer(socket_path, HANDLERS, unrecorded)
        await server.start()

        assert stat.S_IMODE(os.stat(socket_path).st_mode) == 0o660
        out, err = await as_nobody(socket_path)
        assert b"PermissionError" in err and not out
        os.chmod(socket_path, 0o666)
        out, err = await as_nobody(socket_path)
        assert b"user 65534 may not control" in out, err
        await server.close()


async def test_a_socket_that_a_killed_daemon_left_is_replaced_and_a_living_one_is_not(server, path):
    with pytest.raises(ControlError, match="running twice"):
        await ControlServer(path, HANDLERS, unrecorded).start()
    async with connect_control(path, "anna") as client:
        assert await client.call("echo") == {}
    left = path.with_name("left.sock")
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(left))
    second = ControlServer(left, HANDLERS, unrecorded)
    await second.start()
    async with connect_control(left, "anna") as client:
        assert await client.call("echo") == {}
    await second.close()


def test_a_file_in_the_socket_s_place_is_left_alone(tmp_path):
    place = tmp_path / "control.sock"
    place.write_text("notes")
    with pytest.raises(ControlError, match="not a socket"):
        asyncio.run(ControlServer(place, HANDLERS, unrecorded).start())
    assert place.read_text() == "notes"


async def test_the_end_is_quick_though_peers_are_connected_and_one_reads_nothing(path, monkeypatch):
    assert 2 * control.LAST_WORDS_S < 1.0, "that is all that an end waits"
    monkeypatch.setattr(control, "SEND_S", 600.0)
    server = ControlServer(path, HANDLERS, unrecorded)
    await server.start()
    with socket.socket(socket.AF_UNIX) as slow:
        slow.connect(str(path))
        slow.sendall(line(method="subscribe"))
        async with connect_control(path, "page") as client:
            await client.status()
            await until(lambda: subscribers(server) == 2)
            for _ in range(5):
                server.push("part", {"text": "x" * 500_000})
            async with asyncio.timeout(60):  # who waits for the one that reads nothing waits for longer
                await server.close()
            assert server.peers == 0
            with pytest.raises(ConnectionError):
                while True:
                    await client._read()
    assert path.name not in os.listdir(path.parent)


async def test_an_end_in_order_leaves_no_error_in_the_log(path, caplog):
    server = ControlServer(path, HANDLERS, unrecorded)
    await server.start()
    async with connect_control(path, "page") as client:
        await client.status()
        await server.close()
        await asyncio.sleep(0.05)
    assert not caplog.records


async def test_a_value_that_json_has_not_is_a_bug_and_not_sent(server, path):
    async with connect_control(path, "page") as client:
        await client.status()
        with pytest.raises(ValueError, match="JSON"):
            server.push("part", {"score": float("nan")})
        server.push("part", {"score": None})
        events = client.events()
        assert await anext(events) == ("part", {"score": None})
        await events.aclose()


@pytest.mark.parametrize("leaves", [False, True], ids=["stays", "leaves"])
async def test_a_peer_that_asks_much_and_reads_nothing_frees_its_place(path, monkeypatch, leaves):
    monkeypatch.setattr(control, "SEND_S", 0.1)
    server = ControlServer(path, {"recent": lambda *_: ["x" * 10_000]}, unrecorded)
    await server.start()
    peer = socket.socket(socket.AF_UNIX)
    try:
        peer.setblocking(False)
        peer.connect(str(path))
        await until(lambda: server.peers == 1)
        asked = line(method="recent") * 2000
        with contextlib.suppress(BlockingIOError, BrokenPipeError, ConnectionResetError):
            while asked:
                asked = asked[peer.send(asked) :]
                await asyncio.sleep(0)
        await asyncio.sleep(0.02)
        if leaves:
            peer.close()
        await until(lambda: server.peers == 0)
    finally:
        peer.close()
        await server.close()
