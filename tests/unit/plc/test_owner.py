"""Who may write in the server direction: any order of two peers' requests, silences and ends, on an injected clock."""

from __future__ import annotations

import struct

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from plc.pdu import Peer
from plc.registers import CTRL, IDENT
from plc.server_link import ServerConfig, ServerLink
from plc.station import SPAN
from tests.support.links import place

TIMEOUT_S = 1.0
PEERS = st.integers(0, 1)
STATIONS = st.integers(0, 1)
BLOCKS = st.sampled_from((CTRL, IDENT))


class AnyTwoPeers(RuleBasedStateMachine):
    """The model: for each station an owner, when it wrote last, and the words that it wrote."""

    @initialize()
    def listen(self) -> None:
        self.now = 1000.0
        self.link = ServerLink(
            ServerConfig(comm_timeout_s=TIMEOUT_S), [place(1), place(2)], monotonic_s=lambda: self.now
        )  # fmt: skip
        self.peers = [Peer("a"), Peer("b")]
        self.owner: list[Peer | None] = [None, None]
        self.wrote_s = [0.0, 0.0]
        self.sessions = [0, 0]
        self.words = [dict.fromkeys((CTRL.name, IDENT.name), [0] * CTRL.size) for _ in range(2)]
        for station in range(2):
            self.clear(station)

    def clear(self, station: int) -> None:
        self.owner[station] = None
        self.words[station] = {block.name: [0] * block.size for block in (CTRL, IDENT)}

    def silence(self) -> None:
        for station in range(2):
            if self.owner[station] is not None and self.now - self.wrote_s[station] > TIMEOUT_S:
                self.clear(station)

    @rule(peer=PEERS, station=STATIONS, block=BLOCKS, value=st.integers(0, 0xFFFF), data=st.data())
    def write(self, peer: int, station: int, block, value: int, data) -> None:
        first = data.draw(st.integers(0, block.size - 1))
        count = data.draw(st.integers(1, block.size - first))
        body = struct.pack(
            f">BHHB{count}H", 16, station * SPAN + block.base + first, count, 2 * count, *([value] * count)
        )
        if self.owner[station] is not None and self.now - self.wrote_s[station] > TIMEOUT_S:
            self.clear(station)
        answer = self.link.respond(body, self.peers[peer])
        if self.owner[station] not in (None, self.peers[peer]):
            assert (answer.function_code, answer.exception_code) == (0x90, 2)
            return
        assert answer.function_code == 16
        self.sessions[station] += self.owner[station] is None
        self.owner[station], self.wrote_s[station] = self.peers[peer], self.now
        self.words[station][block.name][first : first + count] = [value] * count

    @rule(peer=PEERS, station=STATIONS, block=BLOCKS)
    def read(self, peer: int, station: int, block) -> None:
        body = struct.pack(">BHH", 3, station * SPAN + block.base, block.size)
        assert self.link.respond(body, self.peers[peer]).registers == self.words[station][block.name]

    @rule(wait_s=st.sampled_from((0.1, 0.5, 1.1)))
    def wait(self, wait_s: float) -> None:
        self.now += wait_s
        for station in self.link.stations:
            station.tick()
        self.silence()

    @rule(peer=PEERS)
    def connection_ends(self, peer: int) -> None:
        self.link.gone(self.peers[peer])
        for station in range(2):
            if self.owner[station] is self.peers[peer]:
                self.clear(station)
        self.peers[peer] = Peer("anew")

    @invariant()
    def every_owner_is_a_session_of_its_own(self) -> None:
        for station, owner, sessions in zip(self.link.stations, self.owner, self.sessions, strict=True):
            assert station.owner is owner
            assert station.handshake.counts["LINK_SESSIONS"] == sessions
            assert (station.handshake.link.name == "DOWN") == (owner is None)
        assert self.link._bug is None


TestAnyTwoPeers = AnyTwoPeers.TestCase
TestAnyTwoPeers.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
