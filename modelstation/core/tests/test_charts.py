import math
import re
import xml.etree.ElementTree as ElementTree

import pytest

from modelstation.core import charts
from modelstation.core.charts import Interval, Series


def draw(*series, **options):
    return charts.line_chart(series, title="Loss", x_label="step", **options)


def polylines(markup):
    return re.findall(r'<polyline[^>]* points="([^"]+)"', markup)


def test_a_line_runs_from_the_left_edge_to_the_right_one():
    (line,) = polylines(draw(Series("train", [(0, 4.0), (50, 2.0), (100, 0.0)])))
    assert line == "0.0,0.0 50.0,50.0 100.0,100.0"


def test_the_markup_is_well_formed_and_carries_no_style_or_script():
    markup = draw(Series("train", [(1, 3.2), (2, 2.1)]), Series("validation", [(2, 2.4)]))
    ElementTree.fromstring(markup)
    assert "style" not in markup
    assert "script" not in markup


@pytest.mark.parametrize("hostile", ["<script>alert(1)</script>", '"><img src=x>', "a & b"])
def test_labels_are_escaped(hostile):
    markup = charts.line_chart([Series(hostile, [(1, 1), (2, 2)])], title=hostile, x_label=hostile)
    markup += charts.interval_bars([Interval(hostile, 0.5)], title=hostile)
    assert hostile not in markup
    ElementTree.fromstring(f"<div>{markup}</div>")


def test_a_chart_without_points_says_so():
    assert "nothing to draw yet" in draw(Series("train", []))
    assert "nothing to draw yet" in draw(Series("train", [(1, None), (2, math.nan)]))


def test_one_point_is_a_dot():
    markup = draw(Series("train", [(7, 0.5)]))
    assert markup.count("<circle") == 1
    assert not polylines(markup)
    assert "train: 0.5 at step 7." in markup


def test_values_that_are_no_numbers_leave_a_gap():
    values = [3.0, 2.0, math.nan, math.inf, 1.0, None, 1.5, 1.2]
    markup = draw(Series("train", list(enumerate(values))))
    assert len(polylines(markup)) == 2
    assert markup.count("<circle") == 1
    assert "nan" not in markup


def test_a_constant_series_has_an_axis_of_its_own():
    (line,) = polylines(draw(Series("rate", [(1, 0.001), (2, 0.001)])))
    assert line == "0.0,50.0 100.0,50.0"


def test_the_words_name_first_last_and_lowest():
    markup = draw(Series("validation", [(1, 3.0), (2, 0.5), (3, 0.75)]))
    words = "validation: 3 at step 1, 0.75 at 3, lowest 0.5 at 2."
    assert f'aria-label="Loss. {words}"' in markup
    assert f">{words}</figcaption>" in markup


def test_a_long_run_is_thinned_but_keeps_its_end():
    (line,) = polylines(draw(Series("train", [(step, 1 / step) for step in range(1, 5001)])))
    points = line.split(" ")
    assert len(points) <= charts.MAX_POINTS + 1
    assert points[-1].startswith("100.0,")


@pytest.mark.parametrize(
    ("low", "high", "ticks"),
    [
        (0.4, 3.2, [0.0, 1.0, 2.0, 3.0, 4.0]),
        (0, 250, [0, 50, 100, 150, 200, 250]),
        (0, 0.0013, [0, 0.0005, 0.001, 0.0015]),
        (-1, 1, [-1.0, -0.5, 0.0, 0.5, 1.0]),
    ],
)
def test_ticks_are_round_numbers_around_the_data(low, high, ticks):
    assert charts.nice_ticks(low, high) == ticks


def test_ticks_are_short():
    assert [charts.number(value) for value in (12000, 350, 0.42, 0.0013, 0.00001, math.nan)] == [
        "12,000", "350", "0.42", "0.0013", "1e-05", "–",
    ]  # fmt: skip


def test_interval_bars_show_the_score_the_interval_and_a_whisker():
    scores = [Interval("Base", 0.02, 0.0, 0.05), Interval("Tuned", 0.72, 0.66, 0.77)]
    markup = charts.interval_bars([*scores, Interval("Majority", 0.013)], title="Exact match")
    ElementTree.fromstring(markup)
    assert "72.0 % (66.0 to 77.0 %)" in markup
    assert 'width="72.0%"' in markup
    assert 'x1="66.0%" x2="77.0%" y1="12" y2="12"' in markup
    assert markup.count("bar-whisker") == 6


def test_a_score_that_is_no_number_draws_no_bar():
    markup = charts.interval_bars([Interval("Tuned", math.nan, math.nan, math.nan)], title="Score")
    assert "no score" in markup
    assert 'width="0.0%"' in markup
    assert "nan" not in markup


def test_a_share_never_leaves_its_track():
    assert 'class="share-part" width="25.0%"' in charts.share_bar(1, 4)
    assert 'class="share-part" width="0' in charts.share_bar(1, 0)
    assert 'class="share-part" width="100' in charts.share_bar(9, 4)
