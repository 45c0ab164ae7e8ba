"""The sections of a configuration that are about keeping the box fit: limits of its own state, and its backups."""

from __future__ import annotations

from pydantic import Field

from inspector.section import FilePath, Section


class UpkeepConfig(Section):
    """Beyond these a person should see to the box; none of them takes READY from anybody."""

    frames_lost_per_h: float = Field(default=10, ge=0, le=100_000, description="pictures that a camera did not give")
    camera_c: float = Field(default=70, ge=0, le=150, description="of a camera that tells its temperature")
    cpu_c: float = Field(default=90, ge=0, le=150)
    disk_free_gb: float = Field(default=0.5, ge=0.05, le=10_000, description="below [archive] min_free_gb")
    inodes_free_percent: float = Field(default=5, ge=0, le=100, description="room for more files on that disk")
    clock_offset_ms: float = Field(default=1000, ge=1, le=3_600_000, description="off, or set by more within an hour")
    clock_free_h: float = Field(default=24, ge=0.1, le=10_000, description="a clock that was kept, and no longer is")
    certificate_days: float = Field(default=30, ge=1, le=365, description="until the page's certificate ends")


class BackupConfig(Section):
    """One file each time, made by `inspector backup`, which systemd starts: docs/install.md."""

    folder: FilePath | None = Field(default=None, description="on another disk than the record; left out: no backups")
    keep: int = Field(default=14, ge=1, le=1000, description="the oldest beyond so many are removed")
    months: int = Field(default=24, ge=0, le=1200, description="files of past months that each holds, newest first")
    key: FilePath | None = Field(default=None, description="encrypts; without it no private key is in a backup")
    max_age_h: float = Field(default=48, ge=0.1, le=10_000, description="an older newest one is an alarm")
    mb_per_s: float = Field(default=20, ge=1, le=10_000, description="no faster, so that the line keeps its disk")
