"""The page of `inspector serve`: somebody drops a picture on it."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import cv2
import pytest

from inspector.demo.parts import Kind, render
from tests.support.browser import Open
from tests.support.serving import serving

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

WIDE, PHONE = (1280, 800), (390, 844)
DROP = """([bytes, name]) => {
    const dropped = new DataTransfer();
    dropped.items.add(new File([new Uint8Array(bytes)], name, {type: "image/png"}));
    document.body.dispatchEvent(new DragEvent("drop", {dataTransfer: dropped, bubbles: true, cancelable: true}));
}"""
SHOWS = "w => document.querySelector('#verdict-word').textContent === w"


@pytest.fixture(scope="module")
def origin(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(tmp_path_factory.mktemp("serve")) as (_, client):
        yield str(client.base_url).rstrip("/")


def picture(folder: Path, kind: Kind, seed: int) -> str:
    file = folder / f"{kind}.png"
    cv2.imwrite(str(file), render(seed, kind).image[..., ::-1])
    return str(file)


@pytest.mark.parametrize("size", [WIDE, PHONE])
async def test_a_picture_that_is_chosen_is_judged_and_explained(
    origin: str, open_page: Open, shots: Path, tmp_path: Path, size: tuple[int, int]
) -> None:
    watched = await open_page(origin, "/", size=size)
    page = watched.page
    for kind, seed, wanted in ((Kind.GOOD, 1, "PASS"), (Kind.SCRATCH, 2, "FAIL")):
        await page.set_input_files("#file", picture(tmp_path, kind, seed))
        await page.wait_for_function(SHOWS, arg=wanted, timeout=60_000)
    assert await page.locator("li[data-class=scratch]").get_attribute("data-best") is not None
    assert (await page.locator("[data-time=infer] .value").text_content()).endswith("ms")
    wide = await page.evaluate("() => document.documentElement.scrollWidth <= window.innerWidth")
    assert wide, "the page scrolls sideways"
    if size == WIDE:
        high = await page.evaluate("() => document.documentElement.scrollHeight <= window.innerHeight")
        assert high, "a panel PC shows it all without scrolling"
    await page.screenshot(path=shots / f"serve-{size[0]}.png", full_page=True)
    assert watched.errors == [] and watched.foreign == []


async def test_a_file_that_is_no_picture_says_what_to_send(origin: str, open_page: Open, tmp_path: Path) -> None:
    watched = await open_page(origin)
    (tmp_path / "a.png").write_text("hello")
    await watched.page.set_input_files("#file", str(tmp_path / "a.png"))
    await watched.page.wait_for_function(SHOWS, arg="FAULT", timeout=60_000)
    assert "JPEG or PNG" in (await watched.page.locator("#verdict-hint").text_content())
    assert watched.foreign == []


async def test_a_picture_that_is_dropped_is_shown_and_judged(origin: str, open_page: Open) -> None:
    watched = await open_page(origin)
    page = watched.page
    part = cv2.imencode(".png", render(1, Kind.GOOD).image[..., ::-1])[1]
    await page.evaluate(DROP, [part.ravel().tolist(), "part 1.png"])
    await page.wait_for_function(SHOWS, arg="PASS", timeout=60_000)
    assert await page.locator("#picture-caption").text_content() == "part 1.png"
    drawn = await page.evaluate(
        "() => { const c = document.querySelector('#canvas'), pixel = c.getContext('2d').getImageData(160, 30, 1, 1);"
        " return [c.width, c.height, ...pixel.data] }"
    )
    assert drawn == [320, 256, *render(1, Kind.GOOD).image[30, 160].tolist(), 255]
    assert watched.errors == [] and watched.foreign == []


async def test_keys_alone_choose_a_picture_and_the_verdict_is_spoken(
    origin: str, open_page: Open, tmp_path: Path
) -> None:
    page = (await open_page(origin)).page
    chooser = asyncio.get_running_loop().create_future()
    page.on("filechooser", lambda opened: chooser.set_result(opened))  # before any key: the browser must know of it
    await page.keyboard.press("Tab")
    assert await page.evaluate("() => document.activeElement.id") == "file"
    outline = await page.evaluate("() => getComputedStyle(document.querySelector('#drop')).outlineStyle")
    assert outline == "solid", "one sees where the keys go"
    await page.keyboard.press("Enter")
    async with asyncio.timeout(60):
        await (await chooser).set_files(picture(tmp_path, Kind.SCRATCH, 2))
    await page.wait_for_function(SHOWS, arg="FAIL", timeout=60_000)
    assert await page.get_attribute("#verdict", "aria-live") == "polite"
    assert "scratch" in await page.inner_text("#verdict")


async def test_a_confidence_just_below_its_limit_does_not_read_as_the_limit(origin: str, open_page: Open) -> None:
    page = (await open_page(origin)).page
    answer = {
        "verdict": "UNCERTAIN", "reason": {"number": 20, "word": "LOW_CONFIDENCE", "text": "t", "hint": "h"},
        "sign": "fail", "class": "good", "confidence": 0.97999, "probabilities": {"good": 0.97999},
        "novelty_score": 1.84449, "anomaly_score": None, "timing": {"decode": 1, "infer": 1, "total": 2},
    }  # fmt: skip
    await page.route("**/predict", lambda route: route.fulfill(json=answer))
    await page.set_input_files("#file", {"name": "a.png", "mimeType": "image/png", "buffer": b"x"})
    await page.wait_for_function(SHOWS, arg="FAIL", timeout=60_000)
    assert await page.inner_text("[data-score=confidence] .value") == "0.979"
    assert await page.inner_text("li[data-class=good] .value") == "97.9 %"
    assert await page.inner_text("[data-score=novelty_score] .value") == "1.844"
