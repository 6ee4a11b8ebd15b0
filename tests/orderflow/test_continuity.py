from itertools import pairwise
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from orderflow.continuity import BookReliability, Silences
from orderflow.events import BookBatch, LostRows
from orderflow.issues import DataIssue, IssueLog

MINUTE, HOUR = 60_000, 3_600_000


def batch(
    *rows: tuple[int, bool], ids: list[tuple[int | None, int | None]] | None = None
) -> BookBatch:
    """Make rows of `(time, is a snapshot)`, perhaps with `(seq_id, prev_seq_id)`."""
    return BookBatch(
        [(time, 0, b"", b"") for time, _ in rows],
        [snapshot for _, snapshot in rows],
        None if ids is None else [own for own, _ in ids],
        None if ids is None else [before for _, before in ids],
    )


def chained(*ids: tuple[int, int]) -> BookBatch:
    """Make rows a second apart, the first of which is a snapshot where its previous id is -1."""
    return batch(
        *((1000 * number, before == -1) for number, (_, before) in enumerate(ids)), ids=list(ids)
    )


def issues_of(batch: BookBatch, *, start: int = -1) -> tuple[bool, list[DataIssue]]:
    issues = IssueLog()
    book = BookReliability(issues, start)
    book.follow(batch)
    book.note_open(issues, batch.rows[-1][0])
    return book.reliable, issues.spans()


class TestSequence:
    def test_an_unbroken_chain_is_no_issue(self) -> None:
        # 11 again: a keep-alive; 3: the exchange's reset.
        assert issues_of(chained((10, -1), (11, 10), (11, 11), (3, 11), (4, 3))) == (True, [])

    def test_a_gap_makes_the_book_unreliable_until_the_next_snapshot(self) -> None:
        rows = chained((10, -1), (13, 12), (14, 13), (20, -1), (21, 20))
        assert issues_of(rows) == (
            True,
            [
                DataIssue("sequence_gaps", 1000, 1000, 1),
                DataIssue("unreliable_rows", 1000, 3000, 2),
            ],
        )

    def test_an_id_that_falls_without_following_the_last_is_a_gap(self) -> None:
        reliable, issues = issues_of(chained((10, -1), (11, 10), (5, 4)))
        assert not reliable
        assert issues[0] == DataIssue("sequence_gaps", 2000, 2000, 1)

    def test_a_recording_that_begins_without_a_snapshot_has_a_gap_and_is_unproven(self) -> None:
        reliable, issues = issues_of(chained((11, 10), (12, 11)))
        assert not reliable
        assert issues == [
            DataIssue("sequence_gaps", 0, 0, 1),
            DataIssue("unproven_rows", 0, 1000, 2),
        ]

    def test_rows_without_ids_among_others_are_no_gap(self) -> None:
        rows = batch((1, True), (2, False), (3, False), ids=[(10, -1), (None, None), (11, 10)])
        assert issues_of(rows) == (True, [])


class TestLosses:
    @pytest.mark.parametrize("kind", ["rows_skipped", "late_rows"])
    def test_a_lost_row_makes_the_book_unreliable_until_the_next_snapshot(self, kind: str) -> None:
        rows = batch((1000, True), (5000, False), (9000, True))
        lost = BookBatch(rows.rows, rows.snapshots, lost=[(1, LostRows(kind, 3000))])
        assert issues_of(lost) == (
            True,
            [DataIssue(kind, 3000, 3000, 1), DataIssue("unreliable_rows", 3000, 9000, 1)],
        )

    def test_a_row_lost_after_the_last_makes_the_book_unreliable(self) -> None:
        rows = batch((1000, True), (5000, False))
        lost = BookBatch(rows.rows, rows.snapshots, lost=[(2, LostRows("rows_skipped", 5000))])
        assert not issues_of(lost)[0]

    def test_after_a_loss_at_an_unknown_time_only_a_snapshot_itself_is_reliable(self) -> None:
        rows = batch((1000, True), (2000, False), (3000, True))
        lost = BookBatch(rows.rows, rows.snapshots, lost=[(0, LostRows("rows_skipped", None))])
        reliable, issues = issues_of(lost)
        assert reliable
        assert issues == [
            DataIssue("rows_skipped", None, None, 1),
            DataIssue("unreliable_rows", 2000, 3000, 1),
        ]

    def test_a_snapshot_that_could_not_be_read_proves_nothing(self) -> None:
        book = BookReliability(IssueLog())
        book.follow(batch((1000, True), (2000, False)), skipped=[0])
        assert not book.reliable


@given(
    st.lists(st.tuples(st.booleans(), st.integers(0, 3)), max_size=12),
    st.booleans(),
    st.dictionaries(st.integers(0, 12), st.sampled_from([None, 5]), max_size=2),
    st.sets(st.integers(0, 11), max_size=1),
)
def test_each_row_leaves_the_book_as_it_does_when_followed_alone(
    rows: list[tuple[bool, int]], has_ids: bool, lost: dict[int, int | None], skipped: set[int]
) -> None:
    count = len(rows)
    ids = [(number, number - 1 if step else 99) for number, (_, step) in enumerate(rows)]
    plain = batch(*((n, s) for n, (s, _) in enumerate(rows)), ids=list(ids) if has_ids else None)
    losses = [(at, LostRows("rows_skipped", ms)) for at, ms in sorted(lost.items()) if at <= count]
    whole = BookBatch(plain.rows, plain.snapshots, plain.seq_ids, plain.prev_seq_ids, losses)
    unread = sorted(index for index in skipped if index < count)
    together, alone = BookReliability(IssueLog()), BookReliability(IssueLog())
    wanted = []
    for index in range(count):
        for at, one in losses:
            if at == index:
                alone.follow(BookBatch([], [], lost=[(0, one)]))
        row = plain.part(index, index + 1)
        alone.follow(row, [0] if index in unread else [])
        wanted.append(alone.reliable)
    assert list(together.follow_each(whole, unread)) == wanted
    at_once = BookReliability(IssueLog())
    at_once.follow(whole, unread)
    assert together.reliable == at_once.reliable


class TestProof:
    def test_a_book_is_unproven_until_the_first_snapshot(self) -> None:
        rows = batch((1000, False), (2000, False), (3000, True), (4000, False))
        assert issues_of(rows) == (True, [DataIssue("unproven_rows", 1000, 3000, 2)])

    def test_rows_before_the_start_are_in_no_count(self) -> None:
        rows = batch((1000, False), (2000, False), (3000, True))
        assert issues_of(rows, start=2000) == (True, [DataIssue("unproven_rows", 2000, 3000, 1)])
        assert issues_of(rows, start=3000) == (True, [])

    def test_without_a_row_no_book_is_reliable(self) -> None:
        assert not BookReliability(IssueLog()).reliable


def silences_in(times: list[int]) -> list[tuple[int, int]]:
    silences = Silences()
    silences.add(times)
    return silences.found()


class TestSilences:
    def test_a_hole_of_ten_minutes_in_a_channel_of_100_ms_is_one(self) -> None:
        times = [*range(0, MINUTE, 100), *range(11 * MINUTE, 12 * MINUTE, 100)]
        assert silences_in(times) == [(MINUTE - 100, 11 * MINUTE)]

    def test_many_holes_do_not_hide_one_another(self) -> None:
        times = [t for k in range(20) for t in range(k * 11 * MINUTE, k * 11 * MINUTE + 6000, 100)]
        assert len(silences_in(times)) == 19

    def test_forty_seconds_in_a_thin_market_are_not(self) -> None:
        draw = Random(1)
        times, now = [], 0
        for _ in range(10_000):
            now += int(draw.expovariate(1 / 1200))
            times.append(now)
        times += [now + 43_000, now + 44_000]
        assert silences_in(times) == []

    def test_a_quiet_night_is_judged_by_its_own_hours(self) -> None:
        day = list(range(0, 6 * HOUR, 100))
        night = list(range(6 * HOUR, 12 * HOUR, 3000))
        evening = [t for t in night if not 9 * HOUR <= t < 9 * HOUR + 15_000]
        assert silences_in(day + evening) == []
        assert silences_in([t for t in day if not HOUR <= t < HOUR + 15_000] + night) == [
            (HOUR - 100, HOUR + 15_000)
        ]

    def test_a_hole_that_reaches_over_the_start_is_found(self) -> None:
        silences = Silences()
        silences.begin_after(0)
        silences.add(list(range(20 * MINUTE, 21 * MINUTE, 100)))
        assert silences.found() == [(0, 20 * MINUTE)]
        assert silences.span == (20 * MINUTE, 21 * MINUTE - 100)

    def test_rows_of_one_time_are_no_rhythm(self) -> None:
        bursts = [time for number in range(500) for time in [number * 15_000] * 50]
        assert silences_in(bursts) == []

    def test_of_more_holes_than_are_kept_the_longest_are_listed(self) -> None:
        times: list[int] = []
        now = 0
        for number in range(1500):
            times += range(now, now + 1200, 100)
            now += 12_100 + number
        found = silences_in([*times, now])
        assert len(found) == 1000
        assert min(end - start for start, end in found) == 11_000 + 500

    def test_a_rhythm_of_a_few_rows_is_not_known(self) -> None:
        assert silences_in([0, 100, 200, 20 * MINUTE]) == []

    @settings(max_examples=50)
    @given(
        st.lists(st.integers(0, 60_000), max_size=300), st.lists(st.integers(0, 300), max_size=4)
    )
    def test_parts_join_to_the_whole(self, gaps: list[int], cuts: list[int]) -> None:
        times, now = [], 0
        for gap in gaps:
            now += gap if gap > 50_000 else gap % 200
            times.append(now)
        whole, joined = Silences(), Silences()
        whole.add(times)
        edges = [0, *sorted(min(cut, len(times)) for cut in cuts), len(times)]
        for begin, end in pairwise(edges):
            part = Silences()
            part.add(times[begin:end])
            joined.join(part)
        assert joined.found() == whole.found()
        assert (joined.span, joined.longest_ms) == (whole.span, whole.longest_ms)

    @pytest.mark.parametrize("at", [100_000, 3_595_000, 3_600_000])
    @pytest.mark.parametrize(
        ("length", "is_one"), [(9900, False), (10_000, True), (600_000, True), (7_200_000, True)]
    )
    def test_a_hole_is_found_with_its_ends(self, at: int, length: int, is_one: bool) -> None:
        times = [t for t in range(0, 12_000_000, 100) if not at < t < at + length]
        assert silences_in(times) == ([(at, at + length)] if is_one else [])

    @pytest.mark.parametrize(
        "rows_at_once",
        [1, 50],
    )
    def test_a_thin_market_has_none_also_where_many_rows_have_one_time(
        self, rows_at_once: int
    ) -> None:
        draw, now, times = Random(3), 0, []
        for _ in range(5000):
            now += int(draw.expovariate(1 / 15_000))
            times += [now] * rows_at_once
        assert silences_in(times) == []
