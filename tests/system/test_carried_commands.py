"""`inspector-plc monitor`, `poke` and `sim` over TLS and over a serial line."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from plc.cli import app
from plc.client import ClientLink, LinkConfig
from plc.registers import CTRL, DEVICE, IDENT, SIGNATURE, STAT
from plc.rtu import RtuServer
from plc.server import Memory, RegisterServer
from plc.server_link import ServerConfig, ServerLink
from plc.tls import ServerTls, TlsFiles
from plc.transport import TransportConfig
from tests.support.certificates import TestCa, make_test_ca
from tests.support.links import UNHURRIED_S, judging, place
from tests.support.rtu import UNIT, ports
from tests.support.serial_line import needs_socat, socat_pair

pytestmark = pytest.mark.system
LINE = ("--parity", "none", "--unit-id", str(UNIT))  # pseudo terminals have no parity
PATIENT = ("--ack-ms", "20000", "--result-ms", "20000", "--json")


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return make_test_ca(tmp_path_factory.mktemp("ca"))


def tls(files: TlsFiles) -> tuple[str, ...]:
    return "--tls", "--ca", str(files.ca), "--cert", str(files.certificate), "--key", str(files.key)


@asynccontextmanager
async def started(*arguments: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "plc.cli", *arguments, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    try:
        async with asyncio.timeout(60):
            yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def run(*arguments: str) -> tuple[int, str, str]:
    """Exit status, stdout and stderr of a command."""
    async with started(*arguments) as process:
        out, err = await process.communicate()
    assert b"Traceback" not in err, err.decode()
    return process.returncode or 0, out.decode(), err.decode()


def appliance() -> Memory:
    """The registers of an appliance that serves, offline."""
    memory = Memory(writable=lambda a: a < CTRL.size or IDENT.base <= a < IDENT.base + IDENT.size)
    memory.words[DEVICE.base], memory.words[DEVICE.base + 4 : DEVICE.base + 6] = SIGNATURE, [0x1234, 0x5678]
    memory.words[STAT.base + STAT["STAT_SIGNATURE"].offset] = SIGNATURE + 1
    return memory


@asynccontextmanager
async def on_line(registers: RegisterServer, folder: object) -> AsyncIterator[str]:
    """Serves on one end of a pair of ports; the other end's name."""
    with socat_pair(folder) as pair:
        cfg, _ = ports(*pair.ports)
        server = RtuServer(cfg, UNIT, lambda body, peer: registers.answer(body))
        await server.start()
        try:
            yield pair.ports[1]
        finally:
            await server.close()


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_monitor_and_poke_speak_tls(ca):
    server = RegisterServer(appliance())
    await server.start(tls=ServerTls(ca.issue("appliance")))
    where, ours = f"127.0.0.1:{server.port}", ca.issue("laptop")
    try:
        code, out, err = await run("monitor", where, "--once", "--json", *tls(ours))
        assert code == 0, err
        assert json.loads(out)["is"] == "an appliance that serves (server direction)"
        assert server.writes == 0
        code, out, err = await run("poke", where, "TRIGGER_ID=17", *tls(ours))
        assert code == 0 and "written and read back" in out, out + err
        assert server.memory.words[1] == 17
    finally:
        await server.close()


async def test_what_is_wrong_with_a_certificate_is_said_in_words_and_nothing_is_written(ca, tmp_path):
    foreign = make_test_ca(tmp_path, "Foreign CA").issue("laptop")
    server = RegisterServer(appliance())
    await server.start(tls=ServerTls(ca.issue("appliance")))
    where = f"127.0.0.1:{server.port}"
    try:
        for files, why in (
            (foreign, "the other side's certificate is refused"),
            (replace(ca.issue("a"), key=ca.issue("b").key), "not the key of"),
        ):
            code, _, err = await run("monitor", where, "--once", *tls(files))
            assert code == 1 and why in err, err
        code, out, err = await run("poke", where, "TRIGGER_ID=17", *tls(replace(foreign, ca=ca.path)))
        assert code == 1 and "our certificate" in out + err, out + err
        code, _, err = await run("monitor", where, "--once")
        assert code == 1 and "nothing to see" in err, err
    finally:
        await server.close()
    assert server.requests == 0


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("--tls",), "--tls needs --ca, --cert, --key"),
        (("--ca", "ca.pem"), "belong to --tls"),
        (("--server-name", "plc"), "belong to --tls"),
    ],
)
@pytest.mark.parametrize("command", [("monitor", "h"), ("poke", "h", "TRIGGER_ID=1"), ("sim", "--connect", "h")])
def test_options_that_do_not_go_together_are_a_usage_error(command, arguments, why):
    refused(why, *command, *arguments)


def refused(why: str, *arguments: str) -> None:
    """Before anything is asked of anybody."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 2 and why in done.output, done.output


def test_tls_on_a_serial_line_and_a_unit_that_there_is_not_are_usage_errors(ca):
    refused("/dev/ttyNONE is a serial line: it has no --tls", "monitor", "/dev/ttyNONE", *tls(ca.issue("laptop")))
    refused("units on a serial line are 1 to 247", "poke", "/dev/ttyNONE", "TRIGGER_ID=1", "--unit-id", "0")
    refused("one of the two", "sim", "--serial", "COM1", "--connect", "h")
    refused("not a serial line, such as /dev/ttyUSB0", "sim", "--serial", "plc.local")


async def test_a_simulated_plc_connects_to_an_appliance_over_tls(ca):
    link = ServerLink(ServerConfig(port=0, comm_timeout_s=UNHURRIED_S), [place()], tls=ServerTls(ca.issue("appliance")))
    async with judging(link):
        await link.listening.wait()
        where = f"127.0.0.1:{link.server.port}"
        code, out, err = await run("sim", "--connect", where, "--parts", "6", *PATIENT, *tls(ca.issue("plc")))
    assert code == 0, err
    assert "(TLS)" in err
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["reject", "good"] * 3


async def test_a_simulated_plc_is_asked_over_tls(ca, free_port):
    files = ca.issue("plc")
    command = ("sim", "--port", str(free_port), "--parts", "6", *PATIENT, *tls(files))
    transport = TransportConfig("tls", port=free_port, tls=ca.issue("appliance"))
    link = ClientLink(LinkConfig(transport=transport, reconnect_max_s=0.2, request_timeout_s=UNHURRIED_S), [place()])
    async with started(*command) as process, judging(link):
        out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert [json.loads(line)["verdict"] for line in out.decode().splitlines()] == ["reject", "good"] * 3


# -- a serial line -----------------------------------------------------------------------------------------------------


@needs_socat
async def test_monitor_and_poke_speak_modbus_rtu(tmp_path):
    registers = RegisterServer(appliance())
    async with on_line(registers, tmp_path) as port:
        code, out, err = await run("monitor", port, "--once", "--json", *LINE)
        assert code == 0, err
        found = json.loads(out)
        assert (found["is"], found["target"]) == (
            "an appliance that serves (server direction)", f"{port} unit {UNIT}",
        )  # fmt: skip
        assert registers.writes == 0
        code, out, err = await run("poke", port, "TRIGGER_ID=17", "CONTROL.TRIGGER=1", *LINE)
        assert code == 0 and "written and read back" in out, out + err
        assert registers.memory.words[:2] == [2, 17]
        code, out, err = await run("monitor", port, "--once", "--parity", "none", "--unit-id", "9")
        assert code == 1 and "no answer within" in err


async def test_a_port_that_is_not_there_is_said_so():
    code, _, err = await run("monitor", "/dev/ttyNONE", "--once")
    assert code == 1 and "serial port /dev/ttyNONE cannot be opened" in err
    code, _, err = await run("sim", "--serial", "/dev/ttyNONE")
    assert code == 2 and "serial port /dev/ttyNONE cannot be opened" in err


@needs_socat
async def test_a_simulated_plc_is_a_unit_on_a_serial_line(tmp_path):
    with socat_pair(tmp_path) as pair:
        _, transport = ports(*pair.ports)
        link = ClientLink(
            LinkConfig(transport=transport, reconnect_max_s=0.2, request_timeout_s=UNHURRIED_S), [place()]
        )
        command = ("sim", "--serial", pair.ports[0], "--parts", "6", *PATIENT, *LINE)
        async with started(*command) as process, judging(link):
            out, err = await process.communicate()
    assert process.returncode == 0, err.decode()
    assert [json.loads(line)["verdict"] for line in out.decode().splitlines()] == ["reject", "good"] * 3


@needs_socat
async def test_a_simulated_plc_asks_an_appliance_on_a_serial_line(tmp_path):
    with socat_pair(tmp_path) as pair:
        cfg, _ = ports(*pair.ports)
        link = ServerLink(ServerConfig(serial=cfg, unit_id=UNIT, comm_timeout_s=UNHURRIED_S), [place()])
        async with judging(link):
            await link.listening.wait()
            code, out, err = await run("sim", "--connect", pair.ports[1], "--parts", "6", *PATIENT, *LINE)
    assert code == 0, err
    assert [json.loads(line)["verdict"] for line in out.splitlines()] == ["reject", "good"] * 3
