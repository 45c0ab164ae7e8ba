"""The section of a configuration that is about people's work."""

from __future__ import annotations

from pydantic import Field

from inspector.section import FilePath, Section


class ReviewConfig(Section):
    """How people review pictures, and what of it goes to training."""

    two_people: bool = Field(default=False, description="a label is settled once two people agree")
    leave_out: tuple[FilePath, ...] = Field(
        default=(), max_length=16, description="folders of pictures that no dataset may hold, nor near copies of them"
    )
