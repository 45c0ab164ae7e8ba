"""The section of a configuration that is about people's work."""

from __future__ import annotations

from pydantic import Field

from inspector.section import Section


class ReviewConfig(Section):
    """How people review pictures on the page."""

    two_people: bool = Field(default=False, description="a label is settled once two people agree")
