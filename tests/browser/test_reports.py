"""Report and evaluation as a person sees them, in a browser: light and dark, on a desk and on a telephone."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge_deploy.report import write_report
from tests.support.browser import Open, Watched
from tests.support.sample_evaluation import sample_evaluation
from tests.support.sample_report import sample_report
from training.evaluation.page import write as write_evaluation

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

OVERFLOW = """() => [...document.querySelectorAll('main *')].filter(e => !e.closest('.scroll, svg')
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.className || e.tagName)"""
CONTRAST = """() => {
    const channel = c => { c /= 255; return c <= .03928 ? c / 12.92 : ((c + .055) / 1.055) ** 2.4; };
    const light = rgb => { const [r, g, b] = rgb.match(/[\\d.]+/g).map(Number).map(channel);
        return .2126 * r + .7152 * g + .0722 * b; };
    const ground = e => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor;
        if (c !== 'rgba(0, 0, 0, 0)') return c; } return 'rgb(255, 255, 255)'; };
    return [...document.querySelectorAll('main :is(h1, h2, p, td, th, li, a, figcaption)')]
        .filter(e => !e.matches('.zero') && e.textContent.trim()).map(e => {
            const [a, b] = [light(getComputedStyle(e).color), light(ground(e))].sort((x, y) => y - x);
            return [(a + .05) / (b + .05), e.className || e.tagName, e.textContent.trim().slice(0, 30)]; })
        .filter(([ratio]) => ratio < 4.5);
}"""


async def looked_at(open_page: Open, page: Path, shots: Path, size: tuple[int, int], dark: bool) -> Watched:
    """Open it, keep a screenshot, and hold it to what every page of ours must be."""
    seen = await open_page("file://", str(page), size=size, dark=dark)
    name = f"{page.stem}-{size[0]}-{'dark' if dark else 'light'}.png"
    await seen.page.screenshot(path=shots / name, full_page=True)
    assert seen.errors == []
    assert [url for url in seen.foreign if not url.startswith("data:")] == []
    assert await seen.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth") <= 0
    assert await seen.page.evaluate(OVERFLOW) == []
    assert await seen.page.evaluate(CONTRAST) == []
    broken = "[...document.images].filter(i => !i.complete || !i.naturalWidth).length"
    assert await seen.page.evaluate(broken) == 0
    return seen


@pytest.mark.parametrize(("size", "dark"), [((1280, 900), False), ((1280, 900), True), ((380, 800), True)])
async def test_the_report_reads_in_light_and_dark_wide_and_narrow(
    open_page: Open, tmp_path: Path, shots: Path, size: tuple[int, int], dark: bool
) -> None:
    write_report(sample_report(), tmp_path / "report.html")
    seen = await looked_at(open_page, tmp_path / "report.html", shots, size, dark)
    top = await seen.page.locator(".verdict .word").bounding_box()
    assert top is not None
    assert top["y"] + top["height"] < size[1] / 2  # the answer is seen without scrolling
    cut = "e => e.closest('.scroll').scrollWidth - e.closest('.scroll').clientWidth"
    if size[0] >= 1280:
        assert await seen.page.locator("#parity table.wide").evaluate(cut) <= 0  # what the gate found is not cut off


@pytest.mark.parametrize(("size", "dark"), [((1280, 900), True), ((380, 800), False)])
async def test_the_evaluation_reads_in_light_and_dark_wide_and_narrow(
    open_page: Open, tmp_path: Path, shots: Path, size: tuple[int, int], dark: bool
) -> None:
    write_evaluation(sample_evaluation(), tmp_path / "evaluation.html")
    await looked_at(open_page, tmp_path / "evaluation.html", shots, size, dark)
