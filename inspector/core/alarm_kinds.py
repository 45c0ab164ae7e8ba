"""Every alarm that this box can raise: its key, its priority, its terse text for the log, and its delays.

The words for people (name, cause, consequence, action) stand in inspector/web/words/*/alarms.toml under `alarm.<key>`;
a test demands them in each language for each kind. To raise one: a line here, the words there, and
`health.warn(Kind.GAP, {"count": 3})`, which ends with `health.warn(Kind.GAP, None)`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, unique
from string import Formatter

CRITICAL, HIGH, MEDIUM, LOW = "critical", "high", "medium", "low"
PRIORITIES = (CRITICAL, HIGH, MEDIUM, LOW)  # the most urgent first
Params = Mapping[str, str | int]
OFF_S = 5.0  # gone for so long without a break, an alarm is over


@unique
class Kind(Enum):
    """priority, text of the log with its parameters in braces, place, on_s, off_s.

    place: where an alarm stands; two kinds of one place are one alarm that changed. "": the kind's own key.
    on_s: how long it must hold without a break to be an alarm. That hides what comes and goes faster, so it is 0 for
    all that takes READY by itself. off_s ends chattering.
    """

    # what is watched: takes READY
    CAMERA = HIGH, "camera: {detail}"
    MODEL = HIGH, "model: {detail}"
    NOTHING_JUDGES = HIGH, "no model: {detail}", "model"
    STORE = HIGH, "store: {detail}"
    STORE_BROKEN = HIGH, "store broken: {detail}", "store"
    # latched until somebody acknowledges with CLEAR_ERROR, or restarts
    PLC_VERDICT = CRITICAL, "the PLC let parts go as good that were not passed, part (trigger): {parts}"
    INFERENCE_ERRORS = HIGH, "{count} parts in a row ended with inference: {detail}", "latched"
    DEADLINES_MISSED = HIGH, "{count} parts in a row ended with deadline: {detail}", "latched"
    CHALLENGE_MISSED = HIGH, "challenge part {part_id} was not rejected", "latched"
    # no recipe judges
    RECIPE_TAKEN = HIGH, "no recipe is active: the PLC took it away", "recipe"
    RECIPE_LATE = HIGH, "the recipe was prepared too late for the PLC, so it is not active", "recipe"
    RECIPE_UNKNOWN = HIGH, "the recipe is not known: {detail}", "recipe"
    RECIPE_UNUSABLE = HIGH, "the recipe cannot be used: {detail}", "recipe"
    RECIPE_UNREAD = HIGH, "the recipe cannot be read or kept: {detail}", "recipe"
    RECIPE_CAMERA = HIGH, "the camera does not take the recipe's settings: {detail}", "recipe"
    BUNDLE_UNCHECKED = HIGH, "the bundle cannot be checked: {detail}", "recipe"
    BUNDLE_UNUSABLE = HIGH, "the bundle cannot be used: {detail}", "recipe"
    BUNDLE_DAMAGED = HIGH, "the bundle is damaged: {detail}", "recipe"
    GOLDEN_FAILED = HIGH, "the bundle failed its golden pictures: {detail}", "recipe"
    MODEL_UNUSABLE = HIGH, "the model cannot be loaded or fails: {detail}", "recipe"
    # what a person should see to
    PICTURE = MEDIUM, "picture not fit to be judged: {detail}", "", 0.0, 10.0  # good and bad ones take turns
    LIGHT = LOW, "{detail}", "", 1.0, 60.0
    PLC = HIGH, "PLC: {detail}", "", 0.5, 5.0  # a reconnect is no alarm
    PROTOCOL = HIGH, "TRIGGER_ID was 0, or changed under TRIGGER"
    DUPLICATE = HIGH, "the PLC repeats its TRIGGER_ID"
    GAP = MEDIUM, "{count} triggers never arrived: their ids are missing"
    TEST_PART = HIGH, "TEST_PART stands for too long"
    CERTIFICATE = MEDIUM, "PLC link: {detail}"
    NEGATIVES = LOW, "the bundle was built without golden negatives"
    ARCHIVE = MEDIUM, "pictures are not kept: {detail}", "", 1.0, 10.0
    BROKEN_RECORD = HIGH, "the record was broken and a new one was begun: {files}"
    BROKEN_RECORD_REGAINED = (
        HIGH, "the record was broken and a new one was begun: {files}; {count} rows up to {until} came back",
        "broken_record",
    )  # fmt: skip
    BROKEN_ACCOUNTS = HIGH, "accounts and labels were broken and set aside: {files}"
    BROKEN_MONTH = HIGH, "months of the record are damaged, or were set aside as damaged: {files}"
    FILING = LOW, "rows of past months are not filed: {detail}"
    # what the PLC counts beside us
    PARTS_UNTRIGGERED = MEDIUM, "the PLC counted {count} parts more than it triggered", "part_count"
    TRIGGERS_UNCOUNTED = MEDIUM, "the PLC triggered {count} times more than it counted parts", "part_count"
    # what a person did to the station
    OFFLINE = HIGH, "set offline by {actor}"
    FORCED = HIGH, "values are forced by {actor}: {values}"
    # room on the disk over months
    STORAGE_STUCK = HIGH, "room is short, and all pictures that are left are on hold or may not go"
    STORAGE_RESERVE = MEDIUM, "at the present rate the disk is full of records in {days} days"
    STORAGE_RESERVE_SHORT = HIGH, "the disk is soon full of records: in {days} days", "storage_reserve"
    STORAGE_INODES = MEDIUM, "the disk takes only {count} more files"
    STORAGE_DOUBT = MEDIUM, "{detail}: too many to be believed, nothing was done"
    STORAGE_ASIDE = LOW, "{count} pictures without a row are set aside in {folder} for {days} days"
    # what wears out
    UPKEEP = MEDIUM, "the state of the box is not watched: {detail}"
    FRAMES_LOST = MEDIUM, "{value} pictures did not come from the camera within an hour, {limit} are allowed"
    CAMERA_TEMP = MEDIUM, "the camera has {value} °C, {limit} are allowed"
    CPU_TEMP = HIGH, "the processor has {value} °C, {limit} are allowed"
    DISK_FREE = HIGH, "{value} GB are free on the disk, {limit} are wanted"
    DISK_FREE_FAULT = HIGH, "it cannot be told how much is free on the disk: {detail}", "disk_free"
    INODES_FREE = HIGH, "the disk has room for few more files: {value} % are left, {limit} are wanted"
    CLOCK_OFFSET = MEDIUM, "the clock is {value} ms off, {limit} are allowed"
    CLOCK_STEP = MEDIUM, "the clock was set by {value} ms within the last hour, {limit} are allowed"
    CLOCK_FREE = MEDIUM, "no time service has kept the clock for {value} hours, {limit} are allowed"
    CERTIFICATE_PAGE = MEDIUM, "the page's certificate ends in {value} days, {limit} are wanted"
    CERTIFICATE_PAGE_FAULT = MEDIUM, "the page's certificate cannot be read: {detail}", "certificate_page"
    BACKUP_AGE = MEDIUM, "the newest backup is {value} hours old, {limit} are allowed"
    BACKUP_AGE_FAULT = MEDIUM, "backups: {detail}", "backup_age"

    def __init__(self, priority: str, text: str, place: str = "", on_s: float = 0.0, off_s: float = OFF_S) -> None:
        self.key = self.name.lower()  # of its words, and on the wire
        self.priority, self.text, self.place = priority, text, place or self.key
        self.on_s, self.off_s = on_s, off_s

    @property
    def params(self) -> frozenset[str]:
        """Names of its parameters."""
        return frozenset(name for _, name, _, _ in Formatter().parse(self.text) if name)

    def of(self, **params: str | int) -> Problem:
        """Raises ValueError: not exactly its parameters."""
        return Problem(self, params)


KINDS: Mapping[str, Kind] = {kind.key: kind for kind in Kind}
OF_THE_BOX = frozenset(  # of what all stations share, told by the first one's health; other kinds are a station's own
    {
        Kind.ARCHIVE, Kind.BROKEN_RECORD, Kind.BROKEN_RECORD_REGAINED, Kind.BROKEN_ACCOUNTS, Kind.BROKEN_MONTH,
        Kind.FILING, Kind.STORAGE_STUCK, Kind.STORAGE_RESERVE, Kind.STORAGE_RESERVE_SHORT, Kind.STORAGE_INODES,
        Kind.STORAGE_DOUBT, Kind.STORAGE_ASIDE, Kind.UPKEEP, Kind.CPU_TEMP, Kind.DISK_FREE, Kind.DISK_FREE_FAULT,
        Kind.INODES_FREE, Kind.CLOCK_OFFSET, Kind.CLOCK_STEP, Kind.CLOCK_FREE, Kind.CERTIFICATE_PAGE,
        Kind.CERTIFICATE_PAGE_FAULT, Kind.BACKUP_AGE, Kind.BACKUP_AGE_FAULT,
    }
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Problem:
    """A kind with what is known of this case. Raises ValueError when made: not exactly the kind's parameters."""

    kind: Kind
    params: Params

    def __post_init__(self) -> None:
        if self.params.keys() != self.kind.params:
            raise ValueError(f"alarm {self.kind.key} needs the parameters {sorted(self.kind.params)}")

    def __str__(self) -> str:
        return self.kind.text.format(**self.params)
