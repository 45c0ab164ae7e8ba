"""The page of `inspector serve`: somebody drops a picture on it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from inspector.demo.parts import Kind, render
from tests.support.browser import Open
from tests.support.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

SHOWS = "w => document.querySelector('#verdict-word').textContent === w"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("serve")) as (_, client):
        yield str(client.base_url).rstrip("/")


def picture(folder: Path, kind: Kind, seed: int) -> str:
    file = folder / f"{kind}.png"
    cv2.imwrite(str(file), render(seed, kind).image[..., ::-1])
    return str(file)


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
async def test_a_picture_that_is_chosen_is_judged_and_explained(
    origin: str, open_page: Open, shots: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    watched = await open_page(origin, "/", size=size)
    page = watched.page
    for kind, seed, wanted in ((Kind.GOOD, 1, "PASS"), (Kind.SCRATCH, 2, "FAIL")):
        await page.set_input_files("#file", picture(tmp_path, kind, seed))
        await page.wait_for_function(SHOWS, arg=wanted, timeout=10_000)
    assert await page.locator("li[data-class=scratch]").get_attribute("data-best") is not None
    assert (await page.locator("[data-time=infer] .value").text_content()).endswith("ms")
    wide = await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert wide, "the page scrolls sideways"
    await page.screenshot(path=shots / f"serve-{size[0]}.png", full_page=True)
    assert watched.errors == [] and watched.foreign == []


async def test_a_file_that_is_no_picture_says_what_to_send(origin: str, open_page: Open, tmp_path: Path) -> None:
    watched = await open_page(origin)
    (tmp_path / "a.png").write_text("hello")
    await watched.page.set_input_files("#file", str(tmp_path / "a.png"))
    await watched.page.wait_for_function(SHOWS, arg="FAULT", timeout=10_000)
    assert "JPEG or PNG" in (await watched.page.locator("#verdict-hint").text_content())
    assert watched.foreign == []
