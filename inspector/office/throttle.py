"""How long a name, and an address, must wait after wrong passwords. A delay that grows and passes: nobody is shut out.

In memory: whoever can start the page anew needs no password of it. Only log-in waits; the line screen asks for none.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address

FREE_TRIES = 3  # typing errors
FIRST_S, LONGEST_S = 1.0, 60.0
FORGET_S = 900.0  # after so long without a try
MOST_KEYS = 10_000


@dataclass(slots=True)
class _Tries:
    failed: int = 0
    last_s: float = 0.0


class Throttle:
    """Times are seconds of a monotonic clock.

    A try counts as failed from its beginning, so that tries side by side gain nothing.
    """

    def __init__(self) -> None:
        self._tries: OrderedDict[str, _Tries] = OrderedDict()  # the least recent first

    def begin(self, now_s: float, keys: Iterable[str]) -> float:
        """Begin a try, and return 0; or the seconds to wait, and no try is begun."""
        keys = list(keys)
        wait_s = max((self._wait_s(now_s, key) for key in keys), default=0.0)
        if wait_s > 0:
            return wait_s
        for key in keys:
            tries = self._tries.setdefault(key, _Tries())
            if now_s - tries.last_s > FORGET_S:
                tries.failed = 0
            tries.failed, tries.last_s = tries.failed + 1, now_s
            self._tries.move_to_end(key)
        while len(self._tries) > MOST_KEYS:
            self._tries.popitem(last=False)
        return 0.0

    def passed(self, forgiven: str, *others: str) -> None:
        """The try was right: its account begins anew. Others get this one try back, and keep what failed before."""
        self._tries.pop(forgiven, None)
        for key in others:
            if key in self._tries:
                self._tries[key].failed -= 1

    def _wait_s(self, now_s: float, key: str) -> float:
        tries = self._tries.get(key)
        if tries is None or now_s - tries.last_s > FORGET_S:
            return 0.0
        return tries.last_s + delay_s(tries.failed) - now_s


def delay_s(failed: int) -> float:
    """Seconds after so many failed tries in a row: 0, 0, 1, 2, 4 ... 60."""
    if failed < FREE_TRIES:
        return 0.0
    return min(FIRST_S * 2.0 ** min(failed - FREE_TRIES, 30), LONGEST_S)


def account_key(name: str) -> str:
    return f"name {name.casefold()[:64]}"


def address_key(address: str) -> str:
    """One key for a whole IPv6 /64, which one machine may have."""
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return f"address {address[:64]}"
    if isinstance(found, IPv6Address):
        mapped = found.ipv4_mapped
        return f"address {mapped}" if mapped is not None else f"address {int(found) >> 64:x}"
    return f"address {found}"
