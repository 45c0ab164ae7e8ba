"""A person says what the classes of the model are called on the page; the record keeps the model's own names."""

from __future__ import annotations

from pathlib import Path

import pytest

from inspector.config import load_config
from inspector.core.errors import ConfigError
from inspector.demo.parts import Kind
from inspector.office.section import ClassesConfig
from inspector.web.settings import settings_of
from inspector.web.words import LANGUAGES, class_called, class_name, naming, reason_words, speaking
from plc.registers import Reason
from tests.support.fake_daemon import FakeDaemon
from tests.support.page import browser_at, page_process, site_in, until
from tests.support.record import Entry, write_record

NAMES = {"zh": {"scratch": "划痕"}, "en": {"missing_hole": "hole missing"}}


def test_there_are_names_for_each_language_of_the_page_and_the_shipped_ones_are_taken() -> None:
    assert set(ClassesConfig.model_fields) == set(LANGUAGES)
    settings = settings_of(load_config(Path("configs/demo.toml")))
    assert settings.class_names["zh"]["scratch"] == "划痕" and settings.class_names["en"] == {}


def test_a_class_is_called_as_people_say_and_one_without_a_name_as_its_model_says() -> None:
    with naming(NAMES), speaking("zh"):
        assert class_name("scratch") == "划痕" and class_name("missing_hole") == "missing hole"
        assert reason_words(Reason.CLASS, "scratch").text == "发现缺陷：划痕"
        assert class_called("划痕") == "scratch" and class_called("dent") == "dent"
    with naming(NAMES):
        assert class_name("scratch") == "scratch" and class_name("missing_hole") == "hole missing"


@pytest.mark.parametrize("name", ["", " 划痕", "x" * 41, "a\\nb"])
def test_a_name_that_is_none_is_refused(tmp_path: Path, name: str) -> None:
    text = Path("configs/demo.toml").read_text(encoding="utf-8").replace('"划痕"', f'"{name}"')
    file = tmp_path / "demo.toml"
    file.write_text(text, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"classes\.zh\.scratch"):
        load_config(file)


async def test_history_and_part_call_it_so_and_its_export_keeps_what_the_model_said(tmp_path: Path) -> None:
    await write_record(tmp_path, [Entry(101), Entry(102, Kind.SCRATCH)], pictures=False)
    daemon, site = FakeDaemon(tmp_path), site_in(tmp_path, class_names=NAMES)
    await daemon.start()
    daemon.part(Kind.SCRATCH)
    async with page_process(site) as origin:
        await until(lambda: site.feed.ready)
        async with browser_at(origin, headers={"accept-language": "zh"}) as browser:
            for path in ("/history?label=划痕", "/part/2"):
                text = (await browser.get(path)).text
                assert "发现缺陷：划痕" in text and "识别为" in text, path
            assert '/part/1"' not in (await browser.get("/history?label=划痕")).text
            rows = (await browser.get("/history.csv")).text.splitlines()
            assert ",scratch," in rows[1] and "发现缺陷：划痕" in rows[1]
        with speaking("zh"):
            assert [part["label"] for part in site.feed.strip().parts] == ["划痕"]
    await daemon.stop()
