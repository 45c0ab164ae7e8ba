"""Do light and focus drift? Lamps decay and lenses get dirty: a person should know before pictures are refused."""

from __future__ import annotations

from collections.abc import Mapping

from inspector.core.details import Detail

TREND_PICTURES = 10  # pictures that a trend is smoothed over
NEAR_LIMIT = (
    0.25  # of the way between two limits; a bundle's own pictures lie in the half between (edge_deploy/zones.py)
)


class LightTrend:
    """Where the figures of pictures that were good enough lie between their limits, smoothed.

    A drift takes weeks; single parts scatter much more from one to the next.
    """

    def __init__(self) -> None:
        self._places: dict[str, float] = {}
        self._seen = 0

    def saw(self, places: Mapping[str, float]) -> None:
        """places: as check_light returns them."""
        self._seen += 1
        for name, place in places.items():
            before = self._places.get(name, place)
            self._places[name] = before + (place - before) / min(self._seen, TREND_PICTURES)

    @property
    def places(self) -> Mapping[str, float]:
        """Of each figure, 0 at its lower limit and 1 at its upper; none while there are too few pictures."""
        return dict(self._places) if self._seen >= TREND_PICTURES else {}

    def text(self) -> str | None:
        """Which figure nears a limit; None: none, or too few pictures yet."""
        if not (places := self.places):
            return None
        name, place = max(places.items(), key=lambda item: abs(item[1] - 0.5))
        if NEAR_LIMIT <= place <= 1 - NEAR_LIMIT:
            return None
        limit = "lower" if place < 0.5 else "upper"
        zone, _, measure = name.removeprefix("zone ").rpartition(": ")
        return Detail.ZONE_NEARS.of(zone=zone, measure=measure, limit=limit, share=f"{place:.0%}")
