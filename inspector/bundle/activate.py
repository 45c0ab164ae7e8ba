"""From the bundle that a configuration names to the active slot: brought in, tried, and switched to.

The configuration is the order of a person: this very bundle judges, or none does. A file that is missing or refused
never makes the box fall back to another bundle by itself (docs/decisions/0010-activation.md).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import structlog

from inspector.bundle.checks import require_fit
from inspector.bundle.keys import TrustedKey
from inspector.bundle.slots import Slots, fingerprint, read_json, write_json
from inspector.bundle.trial import TrialBounds, first_opening
from inspector.bundle.verify import VerifiedBundle, peek
from inspector.core.errors import BundleError

log = structlog.get_logger(__name__)

TRIED = ".tried.json"  # no product begins with a dot
MAX_TRIED = 16  # remembered trials; there are two slots a product
AT_START = TrialBounds(timeout_s=40, cpu_s=40)  # below the unit's TimeoutStartSec


@dataclass(frozen=True, slots=True)
class Trials:
    """Has each model opened in a child once, for each version of the parser; what was tried is remembered."""

    path: Path
    bounds: TrialBounds = AT_START
    parser: str = field(default_factory=lambda: version("openvino"))

    def once(self, bundle: VerifiedBundle) -> None:
        """Raises BundleError: the model cannot be opened."""
        manifest, tried = fingerprint(bundle.directory) or "", self._tried()
        if tried.get(manifest) == self.parser:
            return
        first_opening(bundle, self.bounds)
        log.info("model tried in a child", bundle_id=bundle.manifest.bundle_id, openvino=self.parser)
        kept = {key: value for key, value in tried.items() if key != manifest}
        newest = dict(list(kept.items())[1 - MAX_TRIED :])
        self.path.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.path, {**newest, manifest: self.parser})

    def _tried(self) -> dict[str, str]:
        try:
            return read_json(self.path) or {}
        except BundleError as exc:
            log.warning("trials are forgotten; each model is tried anew", error=str(exc))
            return {}


@dataclass(frozen=True, slots=True)
class Brought:
    """The bundle that the configuration names, in a slot. active: it is the one that judged last."""

    bundle: VerifiedBundle
    active: bool


class Activation:
    """Blocking; before the line runs."""

    def __init__(self, root: Path, trusted: Sequence[TrustedKey]) -> None:
        self._trials = Trials(root / TRIED)
        self._slots = Slots(root, self._trials.once)
        self._trusted = trusted

    def bring_in(self, file: Path, product: str | None) -> Brought:
        """The bundle of `file`, verified, tried and in a slot; activates nothing.

        What is active already is checked again, every byte, and not unpacked anew. Raises BundleError: `file` is
        missing, not to be trusted, for another product than `product`, or older than what this box had.
        """
        try:
            manifest, sha256 = peek(file, self._trusted)
            require_fit(manifest, product=product)
            active = self._active(manifest.product)
            if active is not None and fingerprint(active.directory) == sha256:
                self._trials.once(active)
                return Brought(active, True)
            return Brought(self._slots.install(file, self._trusted, manifest.product), False)
        except BundleError as exc:
            raise BundleError(f"{exc}{self._instead()}") from exc

    def switch_to(self, bundle: VerifiedBundle) -> None:
        """Make it the active one, after it gave its golden answers.

        The bundle that was active before the last switch may come back: a person named it. Raises BundleError: any
        other older one.
        """
        if self._slots.is_former(bundle):
            self._slots.rollback(self._trusted, bundle.manifest.product)
            log.warning("back to the former bundle, as configured", bundle_id=bundle.manifest.bundle_id)
        else:
            self._slots.activate(bundle)
            log.info("bundle activated", bundle_id=bundle.manifest.bundle_id, slot=bundle.directory.name)

    def _active(self, product: str) -> VerifiedBundle | None:
        """None: there is none, or it is damaged and the configured file takes its place."""
        try:
            return self._slots.active(self._trusted, product)
        except BundleError as exc:
            log.error("the active bundle cannot be used; the configured file is installed", error=str(exc))
            return None

    def _instead(self) -> str:
        """What this box holds and does not use: a person decides."""
        held: list[str] = []
        for product in self._slots.products():
            try:
                if (bundle := self._slots.active(self._trusted, product)) is not None:
                    held.append(bundle.manifest.bundle_id)
            except BundleError:
                continue  # not worth naming: it cannot be used either
        return f"; {', '.join(held)}, which judged before, is whole and not used" if held else ""
