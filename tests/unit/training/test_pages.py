"""Charts, pictures and figures of our pages."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from inspector.core.heat import HeatScale
from training.errors import RunError
from training.pages.charts import Axis, Plot, Row, histogram_rows, span
from training.pages.heat import RAMP_GREY, overlay, ramp
from training.pages.history import history_charts, read_history
from training.pages.page import count, number, percent, picture, step


def svg(figure: str) -> ElementTree.Element:
    found = re.search(r"<svg viewBox.*?</svg>", figure, re.DOTALL)
    assert found
    return ElementTree.fromstring(found.group(0))


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6), st.sampled_from(["plain", "share", "whole"]))
def test_ticks_are_few_and_inside_the_axis(low: float, width: float, kind: str) -> None:
    axis = Axis("x", low, low + width, kind)  # type: ignore[arg-type]
    ticks = axis.ticks()
    assert len(ticks) <= 8
    assert all(low - 1e-6 * width - 1e-6 <= t <= low + width + 1e-6 * width + 1e-6 for t in ticks)
    if kind == "whole":
        assert all(t == round(t) for t in ticks)


def test_a_line_leaves_out_what_is_not_finite_and_stays_inside() -> None:
    plot = Plot("Loss", Axis("epoch", 1, 3, "whole"), Axis("loss", 0, 1))
    plot.line([(1, 0.5), (2, float("nan")), (3, 7.0)], name="validation")
    points = svg(plot.figure()).find(".//polyline")
    assert points is not None
    xy = [tuple(map(float, pair.split(","))) for pair in points.attrib["points"].split()]
    assert len(xy) == 2
    assert xy[1][1] == plot.py(1.0)


def test_what_lies_on_the_wrong_side_of_a_limit_is_coloured_and_counted() -> None:
    rows = [Row("good", [1.0, 2.0, 99.0, float("nan")], [False, False, True, True], "warn"), Row("dent", [], [])]
    figure = histogram_rows("Scores", Axis("score", 0, 5), rows, (3.0,))
    drawn = svg(figure)
    bars = [r.attrib["class"] for r in drawn.iter("rect")]
    assert bars.count("b warn") == 1 and bars.count("b main") == 2  # both beyond the axis: one bar at its end
    assert "good (4)" in figure and "2 on the wrong side" in figure
    assert "dent (0)" in figure


def test_names_are_escaped() -> None:
    plot = Plot("<b>", Axis("<i>", 0, 1), Axis("<u>", 0, 1), note="<s>")
    plot.line([(0, 0), (1, 1)], name="<script>")
    plot.text(0.5, 0.5, "<p>")
    figure = plot.figure() + histogram_rows("<b>", Axis("<i>", 0, 1), [Row("<em>", [0.5], [False])], (0.5,))
    for tag in ("<b>", "<i>", "<u>", "<s>", "<script>", "<p>", "<em>"):
        assert tag not in figure.replace("<p class", "")


def test_a_span_has_room_even_where_all_values_are_one() -> None:
    low, high = span([2.0, 2.0])
    assert low < 2.0 < high
    assert span([]) == pytest.approx((-0.06, 1.06))
    assert span([0.5, float("inf")], floor=0.0)[0] == 0.0


def test_heat_is_amber_below_the_limit_red_from_it_on_and_denser_beyond() -> None:
    view = np.full((40, 40, 3), (90, 120, 60), np.uint8)
    heat = np.zeros((4, 4), np.float32)
    heat[0, 0], heat[0, 3], heat[3, 0], heat[3, 3] = 20.0, 10.0, 7.0, 4.0
    shown = overlay(view, heat, HeatScale(5.0, 10.0, 20.0)).astype(int)
    beyond, at, below, calm = shown[0, 0], shown[0, 39], shown[39, 0], shown[39, 39]
    assert at[0] - at[1] > 30 and beyond[0] - beyond[1] > at[0] - at[1] + 30
    assert below[0] - below[2] > 20 and abs(below[0] - below[1]) < 30  # yellowish
    assert np.ptp(calm) == 0 and np.ptp(shown[20, 30]) == 0  # grey as all that is normal
    with pytest.raises(ValueError, match="finite"):
        overlay(view, np.full((4, 4), np.nan, np.float32), HeatScale(0.0, 0.5, 1.0))


def test_the_ramp_begins_without_colour_and_has_the_limit_in_its_middle() -> None:
    shown = ramp(361, 14).astype(int)
    assert shown.shape == (14, 361, 3) and np.ptp(shown[0, 0]) == 0
    at_limit = overlay(np.full((2, 2, 3), RAMP_GREY, np.uint8), np.full((2, 2), 3.0), HeatScale(1.0, 3.0, 6.0))
    assert np.array_equal(shown[0, 180], at_limit[0, 0])


def test_a_picture_is_inline_and_no_larger_than_asked() -> None:
    tag = picture(np.zeros((100, 400, 3), np.uint8), 200, '"><script>')
    assert re.search(r'width="200" height="50" src="data:image/jpeg;base64,[^"]+"', tag)
    assert "<script>" not in tag


@pytest.mark.parametrize(
    ("share", "text"), [(0.0, "0 %"), (1.0, "100 %"), (0.005, "0.50 %"), (0.00021, "0.021 %"), (0.1662, "16.6 %")]
)
def test_shares_have_three_figures_at_most(share: float, text: str) -> None:
    assert percent(share).replace("\u00a0", " ") == text


def test_numbers_are_readable() -> None:
    assert (number(3.14159), number(123456.0), number("x"), count(2980)) == ("3.142", "123,456", "x", "2,980")
    assert step(0.005).replace("\u00a0", " ") == "0.5 %"


def test_a_training_has_a_curve_for_each_figure_it_kept_and_marks_the_epoch_that_was_kept() -> None:
    lines = [{"epoch": float(e), "val_loss": 1 / e, "val_escape": 0.0, "val_overkill": 0.01} for e in (1, 2, 3)]
    charts = history_charts(lines, 2.0)
    assert len(charts) == 2  # no recall, no waiting
    assert all("the epoch that was kept" in chart for chart in charts)
    assert ">training<" not in charts[0]
    assert history_charts(lines[:1], None) == []


def test_history_takes_the_numbers_and_a_run_without_one_has_none(tmp_path: Path) -> None:
    assert read_history(tmp_path) == ()
    (tmp_path / "history.json").write_text('[{"epoch": 1, "train_loss": 0.5, "gpu_used_percent": null}]')
    assert read_history(tmp_path) == ({"epoch": 1.0, "train_loss": 0.5},)
    (tmp_path / "history.json").write_text("[1]")
    with pytest.raises(RunError, match="move it away"):
        read_history(tmp_path)
