from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orderflow.issues import LABELS, MAX_SPANS, DataIssue, IssueLog, describe, losses

notes = st.lists(
    st.tuples(
        st.sampled_from(("late_rows", "silences")),
        st.integers(0, 10**9),
        st.integers(0, 10**6),
        st.integers(1, 9),
    ),
    max_size=1000,
)


def log_of(given: list[tuple[str, int, int, int]]) -> IssueLog:
    log = IssueLog()
    for kind, start, length, count in given:
        log.note(kind, start, start + length, count)
    return log


def test_issues_of_one_second_are_one_span() -> None:
    log = IssueLog()
    log.note("crossed_books", 5000)
    log.note("crossed_books", 5999, count=2)
    log.note("crossed_books", 9000)
    assert log.spans() == [
        DataIssue("crossed_books", 5000, 5999, 3),
        DataIssue("crossed_books", 9000, 9000, 1),
    ]
    assert log.counts()["crossed_books"] == 4


def test_a_loss_at_an_unknown_time_stands_first() -> None:
    log = IssueLog()
    log.note("rows_skipped", 1000)
    log.note("rows_skipped", None, count=3)
    assert log.spans()[0] == DataIssue("rows_skipped", None, None, 3)
    assert log.counts()["rows_skipped"] == 4


@given(notes)
def test_nothing_is_dropped_and_memory_is_bounded(given: list[tuple[str, int, int, int]]) -> None:
    log = log_of(given)
    for kind in ("late_rows", "silences"):
        own = [note for note in given if note[0] == kind]
        spans = [span for span in log.spans() if span.kind == kind]
        assert len(spans) <= MAX_SPANS
        assert sum(span.count for span in spans) == sum(note[3] for note in own)
        for _, start, length, _ in own:
            assert any(
                s.start is not None
                and s.end is not None
                and s.start <= start <= start + length <= s.end
                for s in spans
            )


@given(notes, st.integers(0, 1000), st.randoms(use_true_random=False))
def test_logs_of_parts_add_up_in_any_order(
    given: list[tuple[str, int, int, int]], cut: int, random: Random
) -> None:
    whole = log_of(given)
    shuffled = random.sample(given, len(given))
    parts = log_of(shuffled[:cut])
    parts.add(log_of(shuffled[cut:]))
    assert parts.spans() == whole.spans()
    assert parts.counts() == whole.counts()


@pytest.mark.parametrize("spacing", [1000, 20_000, 3_600_000])
def test_many_spans_become_fewer_and_never_one(spacing: int) -> None:
    log = log_of([("sequence_gaps", number * spacing, 5, 1) for number in range(3000)])
    spans = log.spans()
    if spacing == 1000:  # no further apart than the finest grid
        assert spans == [DataIssue("sequence_gaps", 0, 2_999_005, 3000)]
        return
    assert MAX_SPANS / 2 <= len(spans) <= MAX_SPANS
    assert sum(span.count for span in spans) == 3000


def test_repeats_are_no_loss() -> None:
    counts = dict.fromkeys(LABELS, 0) | {"repeated_rows": 5, "late_rows": 2}
    assert losses(counts) == {"late_rows": 2}


def test_kinds_are_said_in_words_and_foreign_ones_by_their_name() -> None:
    assert describe({"late_rows": 1200, "no_book": 1, "odd_things": 3, "silences": 0}) == [
        "1,200 out-of-order book rows left out",
        "no book: OBI and TOT are empty",
        "3 odd things",
    ]


def test_an_unknown_kind_is_a_mistake() -> None:
    with pytest.raises(ValueError, match="unknown kind"):
        IssueLog().note("typo", 1)


def test_there_are_no_more_than_promised_and_each_holds_what_it_counts() -> None:
    draw, log = Random(1), IssueLog()
    times = sorted(draw.randrange(86_400_000) for _ in range(3000))
    for time in times:
        log.note("crossed_books", time)
    spans = log.spans()
    assert len(spans) <= MAX_SPANS
    for span in spans:
        assert span.start is not None
        assert span.end is not None
        assert sum(span.start <= time <= span.end for time in times) == span.count


@pytest.mark.xfail(strict=True, raises=AssertionError)
def test_those_of_unknown_time_are_among_the_most_there_are() -> None:
    log = IssueLog()
    for time in (None, *range(0, 2000 * MAX_SPANS, 2000)):
        log.note("rows_skipped", time)
    assert len(log.spans()) <= MAX_SPANS


@pytest.mark.xfail(strict=True, raises=AssertionError)
def test_many_issues_over_a_day_are_still_told_apart_by_the_hour() -> None:
    log = IssueLog()
    for time in range(0, 86_400_000, 60_000):
        log.note("sequence_gaps", time)
    assert len(log.spans()) >= 24
