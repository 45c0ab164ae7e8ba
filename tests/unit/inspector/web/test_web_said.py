"""What the line says of its parts reaches people in their language, and the log in one that can be searched."""

from __future__ import annotations

import re
from pathlib import Path
from string import Formatter

import numpy as np
import pytest

import plc
from inspector.core.details import AND, Detail, read
from inspector.core.errors import FrameError
from inspector.core.manifest import ZoneLimits
from inspector.frames import check_light
from inspector.web.alarm_views import alarm_view
from inspector.web.present import state_view
from inspector.web.said import in_words
from inspector.web.words import LANGUAGES, read_catalog, speaking

OF_THE_LINK = list(Detail)[list(Detail).index(Detail.CONNECTED) : list(Detail).index(Detail.NOT_ECHOED)]
ENGLISH = re.compile(r"[a-z]{3,} [a-z]{3,}")


@pytest.mark.parametrize("detail", list(Detail), ids=lambda detail: detail.key)
def test_each_detail_is_known_again_by_its_text_and_has_words_with_its_data(detail: Detail) -> None:
    data = {name: f"{name}:502" for name in detail.data}
    assert read(detail.of(**data)) == (detail, data)
    for language in LANGUAGES:
        said = read_catalog(language)[f"said.{detail.key}"]
        assert {name for _, name, _, _ in Formatter().parse(said) if name} == detail.data


def test_what_the_package_plc_writes_of_a_link_is_what_is_known_here() -> None:
    source = "".join(path.read_text() for path in Path(plc.__file__).parent.glob("*.py"))
    written = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that go over two lines
    for detail in OF_THE_LINK:
        literals = [text for text, *_ in Formatter().parse(detail.value) if text.strip(": ")]
        assert all(text in written for text in literals), detail


def test_a_picture_that_is_refused_and_a_plc_that_is_silent_are_told_in_chinese() -> None:
    zone = ZoneLimits("top_left", (0, 0, 8, 8), (40.0, 60.0), (0.0, 1.0), (0.0, 1.0))
    with pytest.raises(FrameError) as refused:
        check_light(np.zeros((8, 8, 3), np.uint8), [zone])
    picture = {"id": "picture", "key": "picture", "params": {"detail": str(refused.value)}, "phase": "unacknowledged"}
    silent = Detail.NOT_RUNNING.of(link=Detail.CONNECTED.of(where="10.0.0.7:502"))
    with speaking("zh"):
        assert "左上：亮度 0.0 超出 40.0 至 60.0" in alarm_view(picture)["cause"]
        assert state_view("plc", {"ok": False, "text": silent})["text"] == "已连接 10.0.0.7:502，但其程序没有运行"
        disk = AND.join([Detail.FREE.of(gb=3), Detail.DROPPED.of(count=7)])
        assert in_words(disk) == "剩余 3 GB；丢弃了 7 张图像"
        for said in ("working", "no sign of life", "rendered", "a record was not committed in time"):
            assert not ENGLISH.search(in_words(said)) and in_words(said) != said


def test_what_a_driver_says_itself_is_handed_on_as_it_is() -> None:
    with speaking("zh"):
        assert in_words("ESP32: brown-out; code 7") == "ESP32: brown-out; code 7"
