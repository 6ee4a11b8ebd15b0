from pathlib import Path
from typing import Any

import pytest
from page_fixtures import START_MS, grow_older, put, put_run, status

from orderflow.issues import LABELS, describe, losses
from page import foot_view, view
from page.contents import Bars, Depth, Metrics, Shown, parse_status
from page.files import PageData, PageFiles, Reading
from page.wording import MINUS, short
from viz_io import METRICS_FILE, STATUS_FILE


def read(directory: Path, **changed: Any) -> PageData:
    put_run(directory, 300, **changed)
    return PageFiles(directory).refresh()


def texts(tree: Any) -> str:
    """Return all text of a component tree, joined by spaces."""
    if isinstance(tree, list):
        return " ".join(filter(None, map(texts, tree)))
    if tree is None or isinstance(tree, (str, int, float)):
        return "" if tree is None else str(tree)
    return texts(getattr(tree, "children", None))


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (0.002, "0.002"),
        (0.00000012, "0.00000012"),
        (31.424, "31.42"),
        (-233.2, f"{MINUS}233.2"),
        (999.999, "1,000"),
        (4518.4, "4,518"),
        (52_345.0, "52.34 k"),
        (999_999.0, "1.00 M"),
        (1_250_000.0, "1.25 M"),
        (7.3e12, "7.30 T"),
        (9.9e15, "9,900.0 T"),
    ],
)
def test_short_numbers(value: float, text: str) -> None:
    assert short(value) == text


def test_prices_keep_their_own_decimals(tmp_path: Path) -> None:
    figures = view.headline_figures(read(tmp_path))
    assert figures.last.count(".") == 1
    assert figures.last.startswith("10")
    assert figures.last[3] == ","
    assert figures.spread == "0.1"


def test_the_head_names_the_newest_figures() -> None:
    bars = Bars([1000], [2.0], [3.0], [1.0], [1.5], [4.0])
    data = PageData(
        bars=_reading(bars),
        metrics=_reading(None),
        depth=_reading(Depth([(1.25, 1.0)], [(1.5, 1.0)])),
        status=_reading(None),
        issues=_reading(None),
        trading=_reading(None),
    )
    figures = view.headline_figures(data)
    assert (figures.last, figures.trend, figures.spread) == ("1.50", "down", "0.25")
    assert (figures.obi, figures.cvd) == (view.DASH, view.DASH)
    assert figures.event_time == "1970-01-01 00:00:01"


def _reading(content: Any) -> Any:
    return Reading(content, "v", missing=False)


def test_no_files_say_how_to_start(tmp_path: Path) -> None:
    data = PageFiles(tmp_path).refresh()
    assert view.run_state(data).label == "no data yet"
    assert "uv run main.py BTC-USDT 2025-06-09 2025-06-10" in texts(view.hint(data))
    assert "--demo" in texts(view.hint(data))
    assert view.notes_strip(data) == []


def test_running_shows_share_pace_and_time_left(tmp_path: Path) -> None:
    state = view.run_state(read(tmp_path, progress=0.5, seconds=10.0))
    assert (state.label, state.progress, state.note) == ("running", 0.5, None)
    assert state.detail == "50 % · 212,400 rows/s · 10 s left"


def test_running_without_bars_says_what_it_waits_for(tmp_path: Path) -> None:
    put_run(tmp_path, 0)
    assert "Waiting for the first bar" in texts(view.hint(PageFiles(tmp_path).refresh()))


def test_finished_says_when(tmp_path: Path) -> None:
    state = view.run_state(read(tmp_path, state="finished", progress=1, written=START_MS))
    assert state.label == "finished"
    assert state.detail.endswith("written 2025-06-09 00:00:00 UTC")
    assert state.progress is None


def test_kept_results_say_that_they_are_no_run(tmp_path: Path) -> None:
    put_run(tmp_path, 3, state="finished", stored=True, rows=None, counts=None, reliable=None)
    state = view.run_state(PageFiles(tmp_path).refresh())
    assert state.label == "kept results"
    assert state.note == view.STORED


def test_finished_without_a_trade_says_so(tmp_path: Path) -> None:
    put_run(tmp_path, 0, state="finished")
    data = PageFiles(tmp_path).refresh()
    assert "holds no trades" in texts(view.notes_strip(data))
    assert "ended without a bar" in texts(view.hint(data))


def test_failed_gives_the_reason(tmp_path: Path) -> None:
    data = read(tmp_path, state="failed", reason="BTC.db is cut short", progress=0.3)
    assert view.run_state(data).tone == "bad"
    assert texts(view.notes_strip(data)) == "Failed at 30 %: BTC.db is cut short"
    data = read(tmp_path, state="failed", reason=None, progress=None)
    assert "look at the replay's terminal" in texts(view.notes_strip(data))


def test_stopped_says_what_is_shown(tmp_path: Path) -> None:
    data = read(tmp_path, state="stopped", reason="Ctrl+C")
    assert texts(view.notes_strip(data)).startswith("Stopped at 64 % (Ctrl+C). What was")


def test_stale_says_what_to_do(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    grow_older(tmp_path / STATUS_FILE.name, 60)
    data = PageFiles(tmp_path).refresh()
    assert view.run_state(data).label == "stale"
    assert "start it again" in texts(view.notes_strip(data))


def test_files_of_another_writer_draw_without_a_status(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    (tmp_path / STATUS_FILE.name).unlink()
    data = PageFiles(tmp_path).refresh()
    assert view.run_state(data).label == "no run status"
    assert view.hint(data) == []
    assert view.headline_figures(data).last != view.DASH


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    put(tmp_path, STATUS_FILE.name, "{")
    put(tmp_path, "ohlc_data.json", "[[")
    data = PageFiles(tmp_path).refresh()
    assert view.run_state(data).label == "unreadable"
    told = texts(view.notes_strip(data))
    assert "ohlc_data.json cannot be used: it is not JSON" in told
    assert "status_data.json cannot be used" in told
    assert "cannot be read" in texts(view.hint(data))


NOTHING = Shown(Bars(), Metrics())


def foot(**changed: Any) -> str:
    return texts(foot_view.foot(parse_status(status(**changed)), NOTHING))


def notes(directory: Path, **changed: Any) -> str:
    return texts(view.notes_strip(read(directory, **changed)))


def test_an_unreliable_book_is_told(tmp_path: Path) -> None:
    told = notes(tmp_path, reliable=False, counts={"sequence_gaps": 1})
    assert told == "The book is not reliable: an update is missing; the next snapshot mends it."
    assert foot(reliable=False, counts={}).startswith("▲ data issues")
    assert "book not reliable" in foot(reliable=False)


def test_a_book_that_no_snapshot_has_proven_is_told(tmp_path: Path) -> None:
    counts = {"unproven_rows": 12}
    told = notes(tmp_path, reliable=False, counts=counts)
    assert told == (
        "The recording does not begin with a snapshot: the book is not known until one comes."
    )
    assert "12 book rows before the first snapshot" in foot(reliable=False, counts=counts)
    assert notes(tmp_path, reliable=True, counts=counts) == ""


@pytest.mark.parametrize("reliable", [True, False, None])
def test_a_recording_without_a_book_or_trades_is_told(
    tmp_path: Path, reliable: bool | None
) -> None:
    told = notes(tmp_path, reliable=reliable, counts={"no_book": 1})
    assert told == "No book: OBI and TOT are empty."
    assert foot(counts={"no_book": 1}, state="finished").startswith("▲ data issues")
    assert "no book: OBI and TOT are empty" in foot(counts={"no_book": 1})
    told = notes(tmp_path, counts={"no_trades": 1})
    assert told == "No trades: OHLC bars and CVD are empty."


def test_a_run_of_trades_alone_has_a_dash_for_obi(tmp_path: Path) -> None:
    put_run(tmp_path, 5)
    put(tmp_path, METRICS_FILE.name, [[START_MS, *[None] * 8, 0, 2, 0, 1.5]])
    figures = view.headline_figures(PageFiles(tmp_path).refresh())
    assert (figures.obi, figures.cvd) == (view.DASH, "1.5")


def test_the_foot_of_a_run_without_data_issues() -> None:
    told = foot(state="finished")
    assert told.startswith("● no data issues 553,118 book rows 431,604 trades 1,000 bars")
    assert "longest silence 0.4 s" in told
    assert "rejected" not in told


@pytest.mark.parametrize("state", ["running", "stopped", "failed"])
def test_a_run_that_is_not_over_is_free_of_issues_so_far(state: str) -> None:
    assert foot(state=state).startswith("● no data issues so far ")


def test_a_writer_that_counts_nothing_is_not_called_free_of_issues() -> None:
    assert "data issues" not in foot(counts={}, reliable=None, state="finished")


def test_the_foot_lists_every_data_issue() -> None:
    told = foot(counts={"rows_skipped": 3, "levels_rejected": 0, "invented_later": 1200})
    assert told.startswith("▲ data issues")
    assert "3 book rows skipped" in told
    assert "1,200 invented later" in told
    assert "rejected" not in told


def test_repeats_alone_are_no_data_issues() -> None:
    told = foot(counts={"repeated_trades": 7}, state="finished")
    assert told.startswith("● no data issues")
    assert "7 repeated trades (harmless)" in told


@pytest.mark.parametrize("kind", LABELS)
def test_the_foot_and_the_one_definition_agree(kind: str) -> None:
    counts = {kind: 1}
    told = foot(counts=counts, state="finished")
    assert told.startswith("▲ data issues" if losses(counts) else "● no data issues")
    assert describe(counts)[0] in told


def test_older_bars_that_were_cut_are_told() -> None:
    def told(begin: int | None, **changed: Any) -> str:
        shown = Shown(Bars(), Metrics(), begin)
        return texts(foot_view.foot(parse_status(status(**changed)), shown))

    assert "showing" not in told(None)
    assert "showing" not in told(START_MS)
    hour = START_MS + 3_600_000
    assert "showing the last 1,000 bars, from 2025-06-09 01:00:00 UTC" in told(hour)
    assert "showing the last 1,000 bars" in told(hour, start=None)
    found = texts(foot_view.foot(None, Shown(Bars(), Metrics(), hour)))
    assert found.startswith("showing the last")


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({}, "BTC-USDT 2025-06-09 to 2025-06-10"),
        ({"end": START_MS + 45_000_000}, "BTC-USDT 2025-06-09 to 2025-06-09 12:30"),
        ({"end": None}, "BTC-USDT"),
        ({"instrument": None}, "Order flow"),
    ],
)
def test_the_title_names_instrument_and_range(changed: dict[str, Any], title: str) -> None:
    assert view.title(parse_status(status(**changed))) == title


def test_a_directory_that_is_not_there_is_said_without_its_name(tmp_path: Path) -> None:
    data = PageFiles(tmp_path / "typo").refresh()
    assert "output directory does not exist" in texts(view.notes_strip(data))
    assert "The output directory does not exist" in texts(view.hint(data))
    assert "typo" not in texts(view.notes_strip(data)) + texts(view.hint(data))


def test_the_ladder_has_both_sides_best_first() -> None:
    depth = Depth([(99.5, 1.0), (99.0, 2.25)], [(100.5, 0.5), (101.0, 4.0)])
    told = texts(view.ladder(Bars(), depth))
    assert told == (
        "Price Size Sum 100.5 0.5 0.5 101.0 4.0 4.5 "
        "mid 100 · spread 1.0 (100.00 bp) 99.5 1.00 1.00 99.0 2.25 3.25"
    )


def test_the_ladder_says_what_is_missing_or_crossed() -> None:
    assert view.ladder(Bars(), Depth()) == []
    assert view.mid_line(Depth([], [(1.0, 1.0)]), 1) == "no bids"
    assert view.mid_line(Depth([(1.0, 1.0)], []), 1) == "no asks"
    assert view.mid_line(Depth([(2.0, 1.0)], [(1.0, 1.0)]), 1).endswith("crossed")


@pytest.mark.parametrize(
    ("told", "label", "detail"),
    [
        ({"live": True, "behind_ms": 300, "newest_row_age_ms": 400}, "live", "0.3 s behind"),
        (
            {"live": True, "behind_ms": 0, "newest_row_age_ms": 65_000},
            "live",
            "0 s behind · newest row 1 min 5 s old",
        ),
        # An old recording, written again now: how old its rows are says nothing.
        ({"live": True, "behind_ms": 0, "newest_row_age_ms": 9 * 10**10}, "live", "0 s behind"),
        (
            {"live": False, "behind_ms": 7_200_000, "newest_row_age_ms": 500},
            "catching up",
            "2 h behind · 212,400 rows/s",
        ),
        ({"live": False, "waiting_for": "no recording of X"}, "waiting", ""),
    ],
)
def test_a_followed_recording_says_how_far_behind_it_the_page_is(
    tmp_path: Path, told: dict[str, Any], label: str, detail: str
) -> None:
    state = view.run_state(read(tmp_path, **told))
    assert (state.label, state.detail) == (label, detail)
    assert state.progress is None
    assert bool(state.note) == bool(told.get("waiting_for"))


def test_what_is_waited_for_stands_in_the_notes(tmp_path: Path) -> None:
    put_run(tmp_path, 0, waiting_for="no recording of X under D", reliable=False)
    data = PageFiles(tmp_path).refresh()
    said = texts(view.notes_strip(data))
    assert said == "Nothing to replay yet: no recording of X under D."
    assert foot_view.foot(data.status.content, Shown(Bars(), Metrics())) == []
    assert "as soon as the recorder writes" in texts(view.hint(data))


def test_what_the_recorder_lost_is_said_and_no_recording_is_whole_then(tmp_path: Path) -> None:
    data = read(tmp_path, recorder_losses={"gap": 2, "late_writer": 1})
    nothing = Shown(Bars(), Metrics())
    foot = texts(foot_view.foot(data.status.content, nothing))
    assert "recorder lost: 2 \N{MULTIPLICATION SIGN} gap" in foot
    assert "▲ data issues" in foot
    lost_nothing = read(tmp_path / "other", recorder_losses={})
    assert "no data issues so far" in texts(foot_view.foot(lost_nothing.status.content, nothing))
