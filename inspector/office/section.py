"""The section of a configuration that is about people's work."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from inspector.section import FilePath, Section


class ReviewConfig(Section):
    """How people review pictures, and what of it goes to training."""

    two_people: bool = Field(default=False, description="a label is settled once two people agree")
    leave_out: tuple[FilePath, ...] = Field(
        default=(), max_length=16, description="folders of pictures that no dataset may hold, nor near copies of them"
    )


ClassName = Annotated[str, Field(min_length=1, max_length=64)]
Called = Annotated[str, Field(min_length=1, max_length=40, pattern=r"^\S([^\x00-\x1f\x7f]*\S)?$")]


class ClassesConfig(Section):
    """What people call the classes of the models, by language of the page; the record keeps the models' own names."""

    en: dict[ClassName, Called] = Field(default={}, max_length=256, description="in English")
    zh: dict[ClassName, Called] = Field(default={}, max_length=256, description="in Simplified Chinese")
