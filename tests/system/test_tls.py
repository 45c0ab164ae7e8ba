"""Modbus/TCP Security: who has no certificate of our authority gets no register, and whoever is refused is told why."""

from __future__ import annotations

import asyncio
import contextlib
import re
import shutil
import socket
import ssl
import time
from collections import deque
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from plc.server import Memory, RegisterServer
from plc.server_link import ServerConfig, ServerLink
from plc.sim import SimConfig, SimPlc
from plc.sim_client import SimClientPlc
from plc.tls import ServerTls, TlsError, TlsFiles, client_context
from plc.transport import TransportConfig, connect_wire
from plc.wire import ExceptionReply, LinkFault
from tests.support.certificates import TestCa, make_test_ca
from tests.support.links import LONG_S, PATIENT, UNHURRIED_S, inspecting, judging, place, wire_to

pytestmark = pytest.mark.system
TIMEOUT_S = LONG_S


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return make_test_ca(tmp_path_factory.mktemp("ca"))


@pytest.fixture(scope="module")
def other_ca(tmp_path_factory: pytest.TempPathFactory) -> TestCa:
    return make_test_ca(tmp_path_factory.mktemp("other"), "Somebody else's CA")


def in_days(days: float) -> str:
    return f"({datetime.now(UTC) + timedelta(days=days):%Y-%m-%d})"


@contextlib.asynccontextmanager
async def plc_with(tls: ServerTls):
    """A TLS server of 100 registers (register n holds n)."""
    server = RegisterServer(Memory(100, words=list(range(100))))
    await server.start(tls=tls)
    try:
        yield server
    finally:
        await server.close()


def to(server: RegisterServer, files: TlsFiles, **fields) -> TransportConfig:
    return TransportConfig("tls", port=server.port, tls=files, **fields)


async def told(caplog: pytest.LogCaptureFixture, pattern: str) -> None:
    """The server has written so to its log, or does within seconds."""
    end = time.monotonic() + 60
    while not re.search(pattern, caplog.text):
        assert time.monotonic() < end, caplog.text
        await asyncio.sleep(0.01)


async def test_a_part_is_inspected_over_tls_and_a_bad_one_is_not_passed(ca):
    plc = SimPlc(SimConfig(**PATIENT))
    await plc.server.start(tls=ServerTls(ca.issue("plc")))
    day = in_days(9.1)
    transport = TransportConfig("tls", port=plc.port, tls=ca.issue("appliance", days=9.1))
    days = {day, in_days(9.1)}  # made around midnight it may be either
    try:
        async with inspecting(transport, request_timeout_s=UNHURRIED_S) as judge:
            results = await plc.play(range(100, 106))
            assert judge.port.status.faults == 0
            expires = "(TLS); certificate 'appliance' expires in 9 days "
            assert judge.port.status.text.endswith(tuple(expires + day for day in days))
    finally:
        await plc.close()
    assert [r.verdict for r in results] == ["good", "reject"] * 3


@pytest.mark.parametrize(("role", "verdicts"), [("plc", ["good", "reject"] * 3), ("viewer", ["reject"] * 6)])
async def test_a_plc_that_is_a_client_over_tls_gets_its_results_if_its_role_may_write(ca, role, verdicts):
    tls = ServerTls(ca.issue("appliance"), write_roles=frozenset({"plc"}))
    link = ServerLink(ServerConfig(port=0, comm_timeout_s=UNHURRIED_S), [place()], tls=tls)
    config = SimConfig(**{**PATIENT, "ready_timeout_s": 0.2 if role == "viewer" else LONG_S})
    plc = SimClientPlc(config, request_timeout_s=UNHURRIED_S)
    async with judging(link):
        await link.listening.wait()
        plc.transport = TransportConfig("tls", port=link.server.port, tls=ca.issue("client", role=role))
        try:
            results = await plc.play(range(100, 106))
        finally:
            await plc.close()
    assert [r.verdict for r in results] == verdicts


async def test_both_ends_speak_nothing_older_than_tls_1_2(ca):
    for context in (client_context(ca.issue("a")), ServerTls(ca.issue("b")).context):
        assert context.minimum_version == ssl.TLSVersion.TLSv1_2
        assert context.verify_mode == ssl.CERT_REQUIRED
    assert client_context(ca.issue("a")).check_hostname


# -- the server refuses ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
@pytest.mark.parametrize(
    ("who", "why"),
    [("none", "showed no certificate"), ("foreign", "issuer certificate|self-signed"), ("expired", "has expired"),
     ("not yet", "not yet valid; check this machine's clock")],
)  # fmt: skip
async def test_a_client_without_a_good_certificate_reads_nothing_and_the_server_says_why(
    ca, other_ca, version, who, why, caplog
):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(ca.path)
    context.minimum_version = context.maximum_version = version
    files = {
        "foreign": lambda: other_ca.issue("stranger"),
        "expired": lambda: ca.issue("old", days=-1),
        "not yet": lambda: ca.issue("young", begins=1),
    }.get(who, lambda: None)()
    if files is not None:
        context.load_cert_chain(files.certificate, files.key)
    tls = ServerTls(ca.issue("plc"))
    async with plc_with(tls) as server:
        with pytest.raises((OSError, EOFError)):
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port, ssl=context)
            try:
                writer.write(bytes.fromhex("0001 0000 0006 01 03 0000 0001"))
                await reader.readexactly(1)
            finally:
                writer.transport.abort()
        assert server.requests == 0
        await told(caplog, f"no connection with 127.0.0.1:.*({why})")
        async with wire_to(to(server, ca.issue("appliance")), TIMEOUT_S) as wire:  # and the next one is served
            assert await wire.read(5, 2) == [5, 6]


async def test_a_client_that_is_refused_says_that_it_may_be_its_certificate(ca, other_ca):
    stranger = other_ca.issue("stranger")
    async with plc_with(ServerTls(ca.issue("plc"))) as server:
        with pytest.raises(LinkFault, match=r"certificate|TLS"):
            async with wire_to(to(server, replace(stranger, ca=ca.path)), TIMEOUT_S) as wire:
                await wire.read(0, 1)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl (Debian package openssl)")
async def test_a_tls_server_that_is_not_ours_says_why_it_refuses_and_its_words_are_told(ca, other_ca, free_port):
    """OpenSSL's own server, as in most PLCs: of TLS 1.3, which refuses after the client thinks that all is well."""
    plc = ca.issue("openssl")
    command = ["openssl", "s_server", "-accept", str(free_port), "-cert", str(plc.certificate), "-key", str(plc.key)]
    command += ["-CAfile", str(ca.path), "-Verify", "1", "-verify_return_error", "-quiet"]
    pipe = asyncio.subprocess.PIPE
    server = await asyncio.create_subprocess_exec(*command, stdin=pipe, stdout=pipe, stderr=asyncio.subprocess.STDOUT)
    try:
        await listens(free_port)
        for files, why in [
            (replace(other_ca.issue("stranger"), ca=ca.path), "does not know the authority of our certificate"),
            (ca.issue("old", days=-1), "our certificate has expired"),
        ]:
            with pytest.raises(LinkFault, match=why):
                async with wire_to(TransportConfig("tls", port=free_port, tls=files), TIMEOUT_S) as wire:
                    await wire.read(0, 1)
    finally:
        server.kill()
        await server.communicate()


async def listens(port: int) -> None:
    end = time.monotonic() + 60
    while True:
        with contextlib.suppress(ConnectionRefusedError):
            _, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.transport.abort()
            return
        assert time.monotonic() < end
        await asyncio.sleep(0.02)


async def test_plain_modbus_to_the_tls_port_gets_no_answer_and_the_connection_is_closed(ca, caplog):
    tls = ServerTls(ca.issue("plc"))
    async with plc_with(tls) as server:
        with pytest.raises(LinkFault, match=r"closed the connection|reset"):
            async with wire_to(TransportConfig(port=server.port), TIMEOUT_S) as wire:
                await wire.read(0, 1)
        assert server.requests == 0
        await told(caplog, "does not speak TLS")


# -- the client refuses ------------------------------------------------------------------------------------------------


async def test_a_plc_under_another_name_or_of_another_authority_or_out_of_date_is_refused(ca, other_ca):
    good = ca.issue("appliance")
    for files, fields, why in [
        (ca.issue("named", hosts=("plc.test",)), {}, "IP address mismatch"),
        (ca.issue("plc"), {"server_name": "plc.test"}, "Hostname mismatch"),
        (replace(other_ca.issue("plc"), ca=ca.path), {}, "unable to get local issuer certificate|self-signed"),
        (ca.issue("old", days=-1), {}, "certificate has expired"),
    ]:
        async with plc_with(ServerTls(files)) as server:
            with pytest.raises(LinkFault, match=f"certificate is refused: .*({why})"):
                async with wire_to(to(server, good, **fields), TIMEOUT_S):
                    pass
            assert server.requests == 0


async def test_a_certificate_made_out_to_a_name_is_accepted_under_that_name(ca):
    tls, ours = ServerTls(ca.issue("named", hosts=("plc.test",))), ca.issue("appliance")
    async with plc_with(tls) as server, wire_to(to(server, ours, server_name="plc.test"), TIMEOUT_S) as wire:
        assert await wire.read(5, 2) == [5, 6]


async def test_a_plc_that_speaks_no_tls_is_named_so(ca):
    server = RegisterServer(Memory(100))
    await server.start()
    try:
        with pytest.raises(LinkFault, match="it may speak no TLS"):
            async with wire_to(to(server, ca.issue("appliance")), TIMEOUT_S):
                pass
    finally:
        await server.close()


# -- roles -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("role", "may"), [("plc", True), ("engineer", True), ("viewer", False), (None, False)])
async def test_only_a_role_with_the_right_to_write_writes_and_every_one_reads(ca, role, may):
    tls = ServerTls(ca.issue("appliance"), write_roles=frozenset({"plc", "engineer"}))
    async with plc_with(tls) as server, wire_to(to(server, ca.issue("client", role=role)), TIMEOUT_S) as wire:
        if may:
            await wire.write(5, [1, 2])
        else:
            with pytest.raises(ExceptionReply, match="exception 1"):
                await wire.write(5, [1, 2])
        assert await wire.read(5, 2) == ([1, 2] if may else [5, 6])


async def test_without_a_list_of_roles_every_client_of_the_authority_writes(ca):
    async with (
        plc_with(ServerTls(ca.issue("plc"))) as server,
        wire_to(to(server, ca.issue("client")), TIMEOUT_S) as wire,
    ):
        await wire.write(5, [1, 2])
        assert server.memory.words[5:7] == [1, 2]


# -- expiry, reload, files ---------------------------------------------------------------------------------------------


async def test_certificates_that_expire_soon_are_reported_with_the_days_left(ca):
    tls, ending = ServerTls(ca.issue("plc", days=12.2)), ca.issue("appliance", days=5.2)
    assert "'plc' expires in 12 days" in tls.notices()[0]
    async with plc_with(tls) as server, wire_to(to(server, ending), TIMEOUT_S) as wire:
        assert "'appliance' expires in 5 days" in wire.notice
        assert "'plc' expires in 12 days" in wire.notice
        assert await wire.read(5, 2) == [5, 6]
    async with (
        plc_with(ServerTls(ca.issue("plc"))) as server,
        wire_to(to(server, ca.issue("appliance")), TIMEOUT_S) as wire,
    ):
        assert wire.notice == ""


def replace_files(old: TlsFiles, new: TlsFiles) -> None:
    for to_path, from_path in ((old.ca, new.ca), (old.certificate, new.certificate), (old.key, new.key)):
        to_path.write_bytes(from_path.read_bytes())


async def test_new_certificates_count_from_the_next_connection_on_and_bad_ones_are_not_taken(
    tmp_path, other_ca, caplog
):
    ca = make_test_ca(tmp_path)
    files, old_client = ca.issue("plc"), ca.issue("old client")
    tls = ServerTls(files)
    async with plc_with(tls) as server:
        transport = to(server, old_client)
        async with wire_to(transport, TIMEOUT_S) as standing:
            files.certificate.write_text("not a certificate")
            with pytest.raises(TlsError, match=r"plc\.pem: not a certificate in PEM form"):
                tls.reload()
            async with wire_to(transport, TIMEOUT_S) as wire:  # the old ones are still in use
                assert await wire.read(5, 2) == [5, 6]
            replace_files(files, other_ca.issue("plc"))  # another authority from now on
            tls.reload()
            async with wire_to(to(server, other_ca.issue("new client")), TIMEOUT_S) as wire:
                assert await wire.read(5, 2) == [5, 6]
            assert await standing.read(5, 2) == [5, 6]
        with pytest.raises(LinkFault):
            async with wire_to(to(server, replace(old_client, ca=other_ca.path)), TIMEOUT_S) as wire:
                await wire.read(0, 1)
        await told(caplog, "the other side's certificate is refused")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_session_that_was_begun_under_a_withdrawn_authority_is_not_resumed(tmp_path, other_ca, version):
    """A resumed session shows no certificate: OpenSSL would let it in without a look at the authority."""
    ca = make_test_ca(tmp_path)
    files, client = ca.issue("plc"), ca.issue("client")
    tls, context = ServerTls(files), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.minimum_version = context.maximum_version = version
    context.load_cert_chain(client.certificate, client.key)

    def read(port: int, session: ssl.SSLSession | None) -> tuple[bytes, ssl.SSLSession | None]:
        plain = socket.create_connection(("127.0.0.1", port), LONG_S)
        with plain, context.wrap_socket(plain, session=session) as secured:
            secured.sendall(bytes.fromhex("0001 0000 0006 01 03 0005 0001"))
            return secured.recv(100), secured.session

    async with plc_with(tls) as server:
        answer, session = await asyncio.to_thread(read, server.port, None)
        assert answer.endswith(b"\x00\x05") and session is not None
        replace_files(files, other_ca.issue("plc"))
        tls.reload()
        requests = server.requests
        with contextlib.suppress(OSError):
            assert (await asyncio.to_thread(read, server.port, session))[0] == b""
        assert server.requests == requests


async def test_a_certificate_that_ended_since_its_session_began_is_refused_when_the_session_is_resumed(ca):
    """OpenSSL checks it in a full handshake only."""
    tls = ServerTls(ca.issue("plc"))
    assert tls.refusal(shows(ca.issue("client"))) == ""
    assert tls.refusal(shows(ca.issue("old", days=-1))) == "its certificate 'old' has expired"


class shows:
    """What the server asks of an ssl.SSLObject."""

    def __init__(self, files: TlsFiles) -> None:
        self._der = ssl.PEM_cert_to_DER_cert(files.certificate.read_text())

    def getpeercert(self, binary_form: bool) -> bytes:
        return self._der


@pytest.mark.parametrize("names", [{"client"}, {"127.0.0.1"}, {"plc", "client"}])
async def test_a_client_may_connect_under_its_common_name_or_an_alternative_name(ca, names):
    tls = ServerTls(ca.issue("plc"), allow_names=frozenset(names))
    async with plc_with(tls) as server, wire_to(to(server, ca.issue("client")), TIMEOUT_S) as wire:
        assert await wire.read(5, 2) == [5, 6]


@pytest.mark.parametrize("names", [set(), {"cli"}, {"Client"}, {"client2"}])
async def test_another_name_is_not_let_in_whatever_its_role(ca, names, caplog):
    tls = ServerTls(ca.issue("plc"), allow_names=frozenset(names))
    async with plc_with(tls) as server:
        with pytest.raises(LinkFault):
            async with wire_to(to(server, ca.issue("client", role="plc")), TIMEOUT_S) as wire:
                await wire.write(5, [1, 2])
        assert server.memory.words[5:7] == [5, 6] and server.requests == 0
        await told(caplog, "its certificate is of '127.0.0.1' or 'client', and only .* may connect")


async def test_a_client_link_tells_of_its_certificates_while_its_connection_stands(tmp_path, monkeypatch):
    monkeypatch.setattr("plc.client.CERTIFICATES_S", 0.05)
    ca = make_test_ca(tmp_path)
    plc, files = SimPlc(SimConfig(**PATIENT)), ca.issue("appliance")
    await plc.server.start(tls=ServerTls(ca.issue("plc")))
    try:
        async with inspecting(TransportConfig("tls", port=plc.port, tls=files), request_timeout_s=UNHURRIED_S) as judge:
            status = judge.port.status
            assert await plc.wait_ready(LONG_S)
            assert status.notice == ""
            replace_files(files, ca.issue("appliance2", days=9.1))
            await plc_sees(plc, lambda: "'appliance2' expires in 9 days" in status.notice)
            files.key.write_text("no key")
            await plc_sees(plc, lambda: "appliance.key: not the key of" in status.notice)
            assert status.notice.endswith("; the next connection will fail") and status.connected
            replace_files(files, ca.issue("appliance3"))
            await plc_sees(plc, lambda: status.notice == "")
            assert status.faults == 0
    finally:
        await plc.close()


async def plc_sees(plc: SimPlc, true) -> None:
    end = time.monotonic() + 60
    while not true():
        assert time.monotonic() < end
        await plc.idle_for(0.02)


async def test_a_missing_file_of_ours_is_a_fault_of_the_link_and_not_of_the_program(ca, free_port, tmp_path):
    files = replace(ca.issue("appliance"), key=tmp_path / "gone.key")
    with pytest.raises(LinkFault, match=r"gone\.key: cannot be read"):
        await connect_wire(TransportConfig("tls", port=free_port, tls=files), TIMEOUT_S, time.monotonic, deque())
