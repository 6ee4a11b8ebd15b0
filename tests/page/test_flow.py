"""What of the order-flow files a browser is sent, and what of a file is refused."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import flow_files
import pytest
from flow_files import ROWS, START_MS, WINDOW_MS, footprint, heatmap, put_bytes, put_flow, trades

from orderflow.array_file import Array, pack, unpack
from page.checks import FileContentError
from page.contents import Metrics
from page.flow import PATHS, FlowContent, FlowFiles, cut_after, cvd_before, parse_flow

FIRST = START_MS // 250
KINDS: dict[str, Callable[..., bytes]] = {
    "heatmap": heatmap,
    "footprint": footprint,
    "trades": trades,
    "best": flow_files.best,
}


def content(raw: bytes) -> FlowContent:
    return parse_flow(raw, unpack(raw)[0]["kind"])


def numbers(array: Array) -> list[Any]:
    codes = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}
    return list(memoryview(bytes(array.data)).cast(codes[array.dtype]))  # type: ignore[call-overload]


def test_a_browser_that_has_nothing_gets_the_whole_file() -> None:
    for kind, make in KINDS.items():
        raw = make(5)
        header, arrays = unpack(cut_after(content(raw), "", -1))
        before, whole = unpack(raw)
        assert {name: bytes(a.data) for name, a in arrays.items()} == {
            name: bytes(a.data) for name, a in whole.items()
        }
        assert header["start"] == header["first"] == before["first"], kind
        assert header["run"] == "one"


def test_a_browser_gets_the_columns_after_its_last_sealed_one() -> None:
    header, arrays = unpack(cut_after(content(heatmap(10)), "one", FIRST + 7))
    assert (header["first"], header["columns"], header["start"]) == (FIRST + 8, 2, FIRST)
    assert arrays["cells"].shape == (2, ROWS)
    assert numbers(arrays["cells"])[0] == 0x4000 + (FIRST + 8) % 1000
    assert len(numbers(arrays["low"])) == 2


def test_two_new_columns_cost_less_than_three_kilobytes() -> None:
    assert len(cut_after(content(heatmap(1024)), "one", FIRST + 1021)) < 2800


def test_a_browser_gets_the_cells_of_its_new_bars() -> None:
    header, arrays = unpack(cut_after(content(footprint(6, first=4)), "one", 7))
    assert (header["first"], header["start"]) == (8, 4)
    assert numbers(arrays["time"]) == [START_MS + number * WINDOW_MS for number in (8, 9)]
    assert numbers(arrays["cells_end"]) == [2, 4]
    assert numbers(arrays["cell_buy"]) == [3.0, 0.0, 3.0, 0.0]
    assert numbers(arrays["profile_buy"]) == [18.0, 0.0]  # the session's, whole


def test_trades_go_on_where_the_browser_ends() -> None:
    header, arrays = unpack(cut_after(content(trades(8, first=100)), "one", 104))
    assert header["first"] == 105
    assert numbers(arrays["time"]) == [START_MS + number * 1000 for number in (105, 106, 107)]


def test_nothing_new_is_an_empty_file() -> None:
    header, arrays = unpack(cut_after(content(trades(8)), "one", 7))
    assert header["first"] == 8
    assert len(arrays["time"].data) == 0


@pytest.mark.parametrize(
    ("run", "after"),
    [("two", FIRST + 7), ("one", FIRST - 50), ("one", FIRST + 10), ("one", 10**15)],
    ids=["of another run", "that fell behind", "ahead of a run that went back", "of a far number"],
)
def test_a_browser_that_cannot_go_on_gets_everything(run: str, after: int) -> None:
    header, arrays = unpack(cut_after(content(heatmap(10)), run, after))
    assert (header["first"], header["columns"]) == (FIRST, 10)
    assert arrays["cells"].shape == (10, ROWS)


def test_the_cvd_before_the_first_bar_comes_from_a_bar_that_both_files_know() -> None:
    bars = content(footprint(5, first=100))  # of delta 2 each
    times = [START_MS + number * WINDOW_MS for number in range(98, 104)]
    closes: list[float | None] = [46.0, 48.0, 50.0, 52.0, 54.0, None]
    assert cvd_before(bars, Metrics(times, cvd_closes=closes)) == 48.0
    assert cvd_before(bars, Metrics()) == 0.0


@pytest.mark.parametrize(("said", "told"), [(48.5, 48.5), (0, 0.0), ("48", 0.0), (1e31, 0.0)])
def test_the_cvd_before_the_first_bar_is_what_the_file_says_where_it_says_it(
    said: object, told: float
) -> None:
    bars = content(footprint(5, first=100))
    silent = [START_MS + number * WINDOW_MS for number in range(2000, 3000)]
    bars.header["cvd_start"] = said
    assert cvd_before(bars, Metrics(silent, cvd_closes=[58.5] * 1000)) == told


def refused(raw: bytes, kind: str, words: str) -> None:
    with pytest.raises(FileContentError, match=words):
        parse_flow(raw, kind)


def test_a_file_cut_anywhere_is_refused() -> None:
    for kind, make in KINDS.items():
        raw = make(3)
        for length in (0, 3, 7, 8, 100, len(raw) // 2, len(raw) - 8, len(raw) - 1):
            with pytest.raises(FileContentError):
                parse_flow(raw[:length], kind)
        with pytest.raises(FileContentError):
            parse_flow(raw + b"12345678", kind)


def test_a_file_of_another_kind_is_refused() -> None:
    refused(trades(3), "best", "it holds 'trades', not 'best'")


@pytest.mark.parametrize("changed", [{"run": 7}, {"first": -1}, {"first": "1"}, {"first": True}])
def test_a_header_without_run_or_number_is_refused(changed: dict[str, Any]) -> None:
    header, arrays = unpack(trades(3))
    refused(repacked(header | changed, arrays), "trades", "names no run, or no first number")


def repacked(header: dict[str, Any], arrays: dict[str, Array]) -> bytes:
    told = {name: value for name, value in header.items() if name not in ("schema", "arrays")}
    return pack(told, arrays)


def replaced(raw: bytes, **arrays: Array) -> bytes:
    """Return a file with arrays that its header does not stand for."""
    header, found = unpack(raw)
    return repacked(header, found | arrays)


def test_columns_of_different_lengths_are_refused() -> None:
    short = flow_files.array("float64", [1.0, 2.0])
    refused(replaced(heatmap(3), bid=short), "heatmap", "'bid' has 2 entries, 3 are needed")
    refused(replaced(trades(3), price=short), "trades", "'price' has 2 entries")


@pytest.mark.parametrize("ends", [[2, 4, 5], [4, 2, 6], [2, 4, 7]])
def test_cells_that_are_not_those_of_the_bars_are_refused(ends: list[int]) -> None:
    raw = replaced(footprint(3), cells_end=flow_files.array("uint32", ends))
    refused(raw, "footprint", "'cells_end' does not divide its cells")


def test_a_footprint_without_cells_is_refused() -> None:
    header, found = unpack(footprint(2))
    del found["cell_sell"]
    refused(repacked(header, found), "footprint", "it lacks cell_sell")


def test_versions_are_told_without_reading(tmp_path: Path) -> None:
    put_flow(tmp_path, 2)
    (tmp_path / "best_data.bin").unlink()
    (tmp_path / "trades_data.bin").write_bytes(b"foreign")
    flow = FlowFiles(tmp_path)
    before = flow.versions()
    assert set(before) == set(PATHS) - {"best"}
    assert flow.problems() == []
    put_bytes(tmp_path, "footprint_data.bin", footprint(3))
    after = flow.versions()
    assert {name for name in after if after[name] != before[name]} == {"footprint"}


def test_a_torn_file_leaves_the_last_good_content_and_one_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    put_flow(tmp_path, 2)
    flow = FlowFiles(tmp_path)
    good = flow.news("trades", "", -1, Metrics())
    for length in (40, 50, 60):
        put_bytes(tmp_path, "trades_data.bin", trades(120)[:-length])
        assert flow.news("trades", "", -1, Metrics()) == good
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    [(name, problem, kept)] = flow.problems()
    assert (name, kept) == ("trades_data.bin", True)
    assert "bytes" in problem
    put_bytes(tmp_path, "trades_data.bin", trades(121))
    assert flow.news("trades", "", -1, Metrics()) not in (None, good)
    assert flow.problems() == []


def test_a_file_that_goes_takes_its_content_along(tmp_path: Path) -> None:
    put_flow(tmp_path, 2)
    flow = FlowFiles(tmp_path)
    assert flow.news("best", "", -1, Metrics()) is not None
    (tmp_path / "best_data.bin").unlink()
    assert flow.news("best", "", -1, Metrics()) is None


def test_what_many_browsers_ask_for_is_made_once(tmp_path: Path) -> None:
    put_flow(tmp_path, 2)
    flow = FlowFiles(tmp_path)
    first = flow.news("heatmap_0", "one", FIRST + 5, Metrics())
    assert flow.news("heatmap_0", "one", FIRST + 5, Metrics()) is first
    answers = [flow.news("heatmap_0", "one", FIRST + n, Metrics()) for n in range(100)]
    assert len({id(answer) for answer in answers}) == 100  # and few are kept
    assert len(flow._files["heatmap_0"]._answers) <= 16
