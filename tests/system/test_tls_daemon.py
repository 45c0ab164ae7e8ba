"""The real daemon as a Modbus/TCP Security server: who may write is judged, all others are refused and told why."""

from __future__ import annotations

import asyncio
import itertools
import re
import shutil
import socket
import ssl
import struct
import time
from collections import deque
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from inspector.control import connect_control
from inspector.demo.parts import Kind
from inspector.demo.processes import daemon, last_words
from plc.free_port import free_port as a_free_port
from plc.registers import CTRL, STAT
from plc.sim import SimConfig
from plc.sim_client import SimClientPlc
from plc.tls import TlsFiles, client_context, parse_certificate
from plc.transport import TransportConfig, connect_wire
from plc.wire import ExceptionReply, LinkFault
from tests.support.certificates import TestCa, make_test_ca
from tests.support.live_line import START_S, parts_of, signed_bundle

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]
STATION = """
[paths]
state = "{folder}/state"
run = "{folder}/run"

[[plc.links]]
mode = "server"
transport = "tls"
host = "127.0.0.1"
port = {port}
heartbeat_timeout_ms = 4000
comm_timeout_ms = 4000

[plc.links.tls]
ca = "{tls.ca}"
certificate = "{tls.certificate}"
key = "{tls.key}"
allow_names = ["cell 4 plc", "panel"]
write_roles = ["plc"]

[[stations]]
id = "st1"
deadline_ms = 4000
max_trigger_age_ms = 1500

[camera]
kind = "rendered"
grab_timeout_ms = 2000

{bundle}
"""
PATIENT = SimConfig(ack_timeout_s=8, result_timeout_s=10, heartbeat_timeout_s=4, ready_timeout_s=START_S)
TOLD_S = 60.0  # the daemon looks at its files every 2 s


@dataclass(frozen=True)
class Served:
    """The daemon that serves, and the authority of its certificates. files: the ones that it reads."""

    folder: Path
    port: int
    ca: TestCa
    files: TlsFiles

    def to(self, files: TlsFiles) -> TransportConfig:
        return TransportConfig("tls", port=self.port, tls=files)

    async def status(self) -> Mapping[str, Any]:
        async with connect_control(self.folder / "run" / "control.sock", "test") as control:
            return await control.status()

    async def page_says(self, text: str, part: str = "plc") -> str:
        """The alarm of this id with `text` in it, within seconds."""
        end = time.monotonic() + TOLD_S
        while True:
            alarms = {a["id"]: a["cause"] for a in (await self.status())["alarms"]}
            if text in alarms.get(part, ""):
                return str(alarms[part])
            assert time.monotonic() < end, f"no alarm with {text!r}: {alarms}\n{last_words(self.folder / 'daemon.log')}"
            await asyncio.sleep(0.1)

    async def log_says(self, text: str) -> None:
        end, log = time.monotonic() + TOLD_S, self.folder / "daemon.log"
        while text not in log.read_text():
            assert time.monotonic() < end, f"no {text!r} in {last_words(log)}"
            await asyncio.sleep(0.1)

    async def plays(self, files: TlsFiles, parts: int) -> list[str]:
        """Verdicts at the PLC for good and bad parts in turns."""
        plc = SimClientPlc(PATIENT, request_timeout_s=START_S)
        plc.transport = self.to(files)
        pieces = zip(parts_of(Kind.GOOD), parts_of(Kind.STAIN), strict=False)
        try:
            results = await plc.play(list(itertools.islice(itertools.chain.from_iterable(pieces), parts)))
        finally:
            await plc.close()
        assert plc.refused == 0
        return [result.verdict for result in results]

    async def reads(self, files: TlsFiles, address: int, count: int) -> list[int]:
        wire = await connect_wire(self.to(files), START_S, time.monotonic, deque())
        try:
            return await wire.read(address, count)
        finally:
            wire.abort()

    async def shown_certificate(self) -> str:
        """The name in the certificate that a new connection is shown."""

        def look() -> bytes | None:
            context = client_context(self.ca.issue("panel"))
            plain = socket.create_connection(("127.0.0.1", self.port), START_S)
            with plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as secured:
                return secured.getpeercert(binary_form=True)

        der = await asyncio.to_thread(look)
        assert der is not None
        return parse_certificate(der).name


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def served(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Served]:
    folder = tmp_path_factory.mktemp("served")
    ca = make_test_ca(folder / "ca")
    files = ca.issue("appliance")
    own = TlsFiles(*(folder / f"own.{kind}" for kind in ("ca", "pem", "key")))
    install(files, own)
    port = a_free_port()
    config = folder / "station.toml"
    bundle = signed_bundle(folder / "tiny.bundle")
    config.write_text(STATION.format(folder=folder, port=port, tls=own, bundle=bundle))
    async with daemon(config):
        await listens(port, folder / "daemon.log")
        yield Served(folder, port, ca, own)


async def listens(port: int, log: Path) -> None:
    end = time.monotonic() + START_S
    while True:
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            assert time.monotonic() < end, last_words(log)
            await asyncio.sleep(0.05)
        else:
            writer.transport.abort()
            return


def install(new: TlsFiles, own: TlsFiles) -> None:
    """Each file replaced at once, as tools that renew certificates do it."""
    for source, target in ((new.ca, own.ca), (new.key, own.key), (new.certificate, own.certificate)):
        staged = target.with_suffix(".new")
        shutil.copy(source, staged)
        staged.rename(target)


def good_client(served: Served) -> TlsFiles:
    return served.ca.issue("cell 4 plc", role="plc")


async def test_a_plc_with_its_certificate_has_its_parts_judged(served):
    assert await served.plays(good_client(served), 24) == ["good", "reject"] * 12


REFUSED = {
    "no certificate": "the client showed no certificate",
    "of a foreign authority": "the other side's certificate is refused: unable to get local issuer certificate",
    "expired": "the other side's certificate is refused: certificate has expired",
    "not yet valid": "not yet valid; check this machine's clock",
    "another name": "its certificate is of '127.0.0.1' or 'somebody', and only 'cell 4 plc' or 'panel' may connect",
}


@pytest.mark.parametrize("who", REFUSED)
async def test_a_client_that_is_not_let_in_never_writes_and_log_and_page_say_why(served, who, tmp_path):
    foreign = make_test_ca(tmp_path, "Somebody else's CA")
    files = {
        "of a foreign authority": lambda: foreign.issue("cell 4 plc", role="plc"),
        "expired": lambda: served.ca.issue("cell 4 plc", role="plc", days=-1),
        "not yet valid": lambda: served.ca.issue("cell 4 plc", role="plc", begins=1),
        "another name": lambda: served.ca.issue("somebody", role="plc"),
    }.get(who, lambda: None)()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(served.ca.path)
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    with pytest.raises((OSError, EOFError)):
        await written_and_answered(context, served.port)
    page = await served.page_says(REFUSED[who])
    assert page.startswith("PLC: ") and re.search(r"(no connection with|refused the connection of) 127\.0\.0\.1:", page)
    await served.log_says(REFUSED[who])
    assert await served.reads(good_client(served), CTRL.base, CTRL.size) == [0] * CTRL.size, "nothing was taken"


async def written_and_answered(context: ssl.SSLContext, port: int) -> None:
    """Write CTRL. Raises OSError, EOFError: there was no answer."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port, ssl=context)
    try:
        words = struct.pack(">20H", *([0xA101] * 20))
        writer.write(bytes.fromhex("0001 0000 002f 01 10 0000 0014 28") + words)
        await reader.readexactly(1)
    finally:
        writer.transport.abort()


async def test_a_client_whose_role_may_not_write_reads_and_its_writes_are_refused_with_the_reason(served):
    panel = served.ca.issue("panel", role="viewer")
    wire = await connect_wire(served.to(panel), START_S, time.monotonic, deque())
    try:
        with pytest.raises(ExceptionReply, match="exception 1"):
            await wire.write(0, [0] * 20)
        assert (await wire.read(STAT.base + 41, 1)) == [0xA101]
        await served.page_says("its certificate 'panel' has role 'viewer'; who may write has 'plc'")
        await served.log_says("refused a write of 127.0.0.1:")
    finally:
        wire.abort()


async def test_renewed_certificates_are_taken_without_a_restart_and_a_broken_file_is_told_while_the_old_stays(served):
    client = good_client(served)
    standing = await connect_wire(served.to(client), START_S, time.monotonic, deque())
    try:
        assert await served.shown_certificate() == "appliance"
        install(served.ca.issue("appliance renewed", days=9.2), served.files)
        assert "'appliance renewed' expires in 9 days" in await served.page_says("expires", "certificate")
        await served.log_says("certificates were renewed: 'appliance renewed' until ")
        assert await served.shown_certificate() == "appliance renewed"
        served.files.certificate.write_text("half a fi")
        broken = await served.page_says("own.pem: not a certificate in PEM form; the former certificate", "certificate")
        assert "'appliance renewed' expires in 9 days" in broken
        assert await served.shown_certificate() == "appliance renewed"
        assert await served.plays(client, 2) == ["good", "reject"]
        assert len(await standing.read(STAT.base, 2)) == 2, "a connection that stands is not cut"
    finally:
        standing.abort()
    install(served.ca.issue("appliance"), served.files)
    end = time.monotonic() + TOLD_S
    while any(alarm["id"] == "certificate" for alarm in (await served.status())["alarms"]):
        assert time.monotonic() < end
        await asyncio.sleep(0.1)
    assert await served.shown_certificate() == "appliance"


async def test_a_client_of_a_withdrawn_authority_is_not_let_in_again(served, tmp_path):
    old = good_client(served)
    assert await served.reads(old, STAT.base + 41, 1) == [0xA101]
    ca = make_test_ca(tmp_path, "Next CA")
    install(ca.issue("appliance of the next CA"), served.files)
    await served.log_says("renewed: 'appliance of the next CA'")
    with pytest.raises(LinkFault):
        await served.reads(replace(old, ca=ca.path), STAT.base + 41, 1)
    assert await served.reads(ca.issue("cell 4 plc", role="plc"), STAT.base + 41, 1) == [0xA101]
    install(served.ca.issue("appliance again"), served.files)
    await served.log_says("renewed: 'appliance again'")
