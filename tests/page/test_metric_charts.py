"""The figure of the metrics: a panel for each, candles or lines."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson
from metric_files import CANDLES, described, metric_file, put_metrics
from page_fixtures import START_MS, WINDOW_MS, put_run

from page.files import PageFiles
from page.metric_charts import height_of, metric_traces, panels
from page.metric_contents import MAX_METRICS, parse_metric_bars
from page.sections import Sections, changes, seen_after

TIMES = [START_MS, START_MS + WINDOW_MS]


def traces(*metrics: Any, **options: Any) -> list[dict[str, Any]]:
    return metric_traces(parse_metric_bars(metric_file(2, *metrics, **options)))


def test_open_to_close_are_candles_and_bars_without_them_have_none() -> None:
    (found,) = traces(
        described("spread", CANDLES, "price"),
        values=lambda bar, name: float("nan") if bar == 0 else float(len(name)),
    )
    assert (found["type"], found["uid"], found["yaxis"]) == ("candlestick", "spread", "y")
    assert [found[name] for name in ("x", *CANDLES)] == [[TIMES[1]], [4.0], [4.0], [3.0], [5.0]]


def test_other_fields_are_lines_in_the_panel_of_their_metric() -> None:
    found = traces(described("ofi"), described("delta", ("value", "min", "max")))
    assert [(t["uid"], t["name"], t["yaxis"]) for t in found] == [
        ("ofi value", "ofi", "y"),
        ("delta value", "delta value", "y2"),
        ("delta min", "delta min", "y2"),
        ("delta max", "delta max", "y2"),
    ]
    assert all(trace["x"] == TIMES for trace in found)
    assert found[0]["y"] == [0.0, 1.0]


def test_what_a_file_says_is_no_markup() -> None:
    (found,) = traces(described("<b>x</b>:a=1"))
    assert found["name"] == "&lt;b&gt;x&lt;/b&gt;:a=1"
    (name,) = panels([("<b>x</b>", "<i>")])[("annotations",)]
    assert name["text"] == "&lt;b&gt;x&lt;/b&gt; · &lt;i&gt;"


def test_panels_divide_the_height_and_those_of_before_are_hidden() -> None:
    layout = panels([("ofi", "size"), ("vpin:volume=5", "none, from 0 to 1"), ("x" * 70, "price")])
    domains = [layout[(axis,)]["domain"] for axis in ("yaxis", "yaxis2", "yaxis3")]
    assert domains[0][1] < 1
    assert domains[2][0] == 0
    for above, below in pairwise(domains):
        assert above[0] > below[1]
    assert layout[("xaxis", "anchor")] == "y3"
    names = [name["text"] for name in layout[("annotations",)]]
    assert names == ["ofi · size", "vpin:volume=5", f"{'x' * 59}… · price"]
    hidden = [axis for (axis, *_), value in layout.items() if value == panels([])[("yaxis",)]]
    assert len(hidden) == MAX_METRICS - 3
    assert height_of([("a", "")] * 3) > 3 * 80


def test_a_browser_gets_the_panels_once_and_the_values_when_they_change(tmp_path: Path) -> None:
    put_run(tmp_path, 3)
    sections = Sections(PageFiles(tmp_path))
    plain = changes(sections.newest(), "")
    assert "measured-frame" not in plain
    seen = seen_after(sections.newest(), "")
    put_metrics(tmp_path, 2, described("ofi"))
    found = changes(sections.newest(), seen)
    assert found["measured-frame"]["hidden"] is False
    assert set(paths(found)) > {("data",), ("layout", "yaxis"), ("layout", "annotations")}
    seen = seen_after(sections.newest(), seen)
    assert "measured" not in changes(sections.newest(), seen)
    put_metrics(tmp_path, 3, described("ofi"))
    found = changes(sections.newest(), seen)
    assert paths(found) == [("data",)]
    assert "measured-frame" not in found
    seen = seen_after(sections.newest(), seen)
    (tmp_path / "metric_bars.bin").unlink()
    found = changes(sections.newest(), seen)
    assert found["measured-frame"]["hidden"] is True
    (drawn,) = [value for path, value in operations(found) if path == ("data",)]
    assert drawn == []


def operations(found: dict[str, Any]) -> list[tuple[tuple[str, ...], Any]]:
    patch = orjson.loads(orjson.dumps(found["measured"]["figure"]))
    return [(tuple(each["location"]), each["params"]["value"]) for each in patch["operations"]]


def paths(found: dict[str, Any]) -> list[tuple[str, ...]]:
    return [path for path, _ in operations(found)]
