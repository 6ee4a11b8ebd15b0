import pytest
from page_fixtures import START_MS, market

from orderflow.issues import DataIssue
from page.contents import Bars, Metrics, Shown, parse_bars, parse_metrics
from page.marks import MAX_CELLS, Grid, describe_span, grid_of, marks

MINUTE = 60_000
SHOWN = Shown(parse_bars(market(100)[0]), parse_metrics(market(100)[1]))
GRID = grid_of(SHOWN, 60)


def issue(start: float, end: float, kind: str = "silences", count: int = 1) -> DataIssue:
    """Return an issue from and to these minutes of the market."""
    first, last = (START_MS + int(minutes * MINUTE) for minutes in (start, end))
    return DataIssue(kind, first, last, count)


def test_the_cells_are_the_windows_of_the_bars() -> None:
    assert Grid(START_MS, MINUTE, 100, 0) == GRID
    for useless in (None, 0, -60, 1e30):
        assert grid_of(SHOWN, useless) == GRID  # from the bars themselves
    assert grid_of(Shown(Bars(), Metrics()), 60).count == 0


def test_one_moment_marks_the_bar_it_is_in() -> None:
    found = marks([issue(7.5, 7.5, "crossed_books", 12)], GRID)
    assert [mark.time for mark in found] == [START_MS + 7 * MINUTE]
    assert found[0].text == "crossed books: 12 · 00:07:30"


def test_a_span_marks_every_bar_it_touches() -> None:
    found = marks([issue(7.5, 17.25)], GRID)
    assert [mark.time for mark in found] == [START_MS + n * MINUTE for n in range(7, 18)]
    assert {mark.text for mark in found} == {
        "silences of the book: 1 · 00:07:30 to 00:17:15 · 9 min 45 s"
    }


def test_what_lies_outside_is_cut_off() -> None:
    spans = [issue(-90, -80), issue(-5, 1), issue(99, 300), issue(101, 200)]
    assert [mark.time for mark in marks(spans, GRID)] == [
        START_MS,
        START_MS + MINUTE,
        START_MS + 99 * MINUTE,
    ]


def test_an_issue_of_unknown_time_has_no_mark() -> None:
    assert marks([DataIssue("trades_skipped", None, None, 3)], GRID) == []


def test_losses_are_told_before_repeats() -> None:
    spans = [
        issue(1, 1, "repeated_rows"),
        issue(1.5, 1.5, "late_rows"),
        issue(3, 3, "repeated_rows"),
    ]
    first, second = marks(spans, GRID)
    assert (first.harmless, second.harmless) == (False, True)
    assert first.text.startswith("out-of-order book rows left out: 1 · 00:01:30<br>repeated")


def test_a_mark_tells_of_some_and_counts_the_rest() -> None:
    (mark,) = marks([issue(2 + n / 100, 2.5) for n in range(30)], GRID)
    assert mark.text.count("<br>") == 4
    assert mark.text.endswith("<br>and 26 more")


def test_a_span_of_days_has_its_dates() -> None:
    text = describe_span(issue(60 * 23, 60 * 25), START_MS)
    assert text.endswith("· 2025-06-09 23:00:00 to 2025-06-10 01:00:00 · 2 h")


@pytest.mark.parametrize("kind", ["no_book", "no_trades"])
def test_what_is_not_counted_has_no_number(kind: str) -> None:
    assert ": 1" not in describe_span(issue(0, 5, kind), START_MS).partition("·")[0]


def test_a_foreign_kind_is_text_and_no_markup() -> None:
    text = describe_span(issue(1, 1, "<b>new_kind&"), START_MS)
    assert text == "&lt;b&gt;new kind&amp;: 1 · 00:01:00"


def test_many_windows_share_the_marks_there_are() -> None:
    bars = parse_bars([[0, 1, 1, 1, 1, 1], [10_000_000_000, 1, 1, 1, 1, 1]])
    grid = grid_of(Shown(bars, Metrics()), 1)
    assert grid.count <= MAX_CELLS
    assert grid.first + grid.count * grid.step > 10_000_000_000
    assert grid.shift == (grid.step - 1000) / 2


def test_thousands_of_long_spans_are_told_by_their_number() -> None:
    found = marks([issue(n / 100, 100) for n in range(5000)], GRID)
    assert len(found) == 100
    assert found[-1].text.endswith("and 4,996 more")
