"""ERROR and ERROR_CODE: what is wrong now, and what was not acknowledged yet."""

from __future__ import annotations

from collections.abc import Iterable

from plc.registers import Reason

MAX_WAITING = 8


class ErrorQueue:
    """First unacknowledged error first; later ones queue behind it. Acknowledging is optional for the PLC."""

    def __init__(self) -> None:
        self._waiting: list[Reason] = []
        self._active: list[Reason] = []

    def see(self, active: Iterable[Reason], *, keep: bool) -> None:
        """`active`: what is wrong now, gravest first. keep: it waits for acknowledgement (not while starting)."""
        self._active = [r for r in active if r is not Reason.NONE]
        if keep:
            new = [r for r in self._active if r not in self._waiting]
            self._waiting = (self._waiting + new)[:MAX_WAITING]

    def acknowledge(self) -> None:
        """CLEAR_ERROR: the next one shows. What is still wrong comes again at the end."""
        del self._waiting[:1]

    @property
    def present(self) -> bool:
        return bool(self._active)

    @property
    def code(self) -> Reason:
        return next(iter(self._waiting + self._active), Reason.NONE)
