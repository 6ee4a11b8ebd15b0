"""What a run says of a recording holds: of what it cannot know it does not say "none".

Each is a recording made by hand, or a real one of which something was taken away. What fails today
is marked; such a mark goes when its cause does.
"""

import sqlite3
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from places import REAL_DATA
from real_recordings import needs_recordings
from recording_factory import DAY, START, settle
from truth_runs import (
    MARKED,
    Row,
    levels,
    replay,
    snapshot,
    trade,
    update,
    updates,
    write,
    write_days,
)

from recordings import recorded_table
from recordings.table_shape import BOOK
from replay.parallel import ParallelReplay

NEVER = 100 * 365 * DAY
fails = pytest.mark.xfail(strict=True, raises=AssertionError)


@pytest.fixture
def db(tmp_path: Path) -> Path:
    return tmp_path / "BTC-USDT.db"


def marked(count: int, *, without: int = -1) -> list[Row]:
    """Make a snapshot and updates, 100 ms apart, with an action and ids, but for one of them."""
    rows = [snapshot(0, "snapshot", 10, -1)]
    rows += [update(100 * i, "update", 10 + i, 9 + i) for i in range(1, count)]
    return rows[:without] + rows[without + 1 :] if without > 0 else rows


def changed(rows: list[Row], at: int, column: int, value: Any) -> list[Row]:
    row = rows[at]
    return [*rows[:at], (*row[:column], value, *row[column + 1 :]), *rows[at + 1 :]]


class TestBeginning:
    @needs_recordings
    @pytest.mark.parametrize(
        ("stem", "instrument", "first"),
        [
            pytest.param("binance_spot_nexousdt_202407", "NEXO-USDT", 4744, marks=fails),
            pytest.param("binance_spot_nexousdt_202407", "NEXO-USDT", 17720, marks=fails),
            pytest.param("bitget_spot_20220407", "CULTUSDT", 49, marks=fails),
            pytest.param("bitget_spot_20220407", "GOGUSDT", 50, marks=fails),
            ("bitget_spot_20220407", "GOGUSDT", 1),
            ("okx_v5_202205", "UNI-USD-SWAP", 1),
            ("binance_usdm_btcusdt_20240808", "BTC-USDT-SWAP", 1),
        ],
    )
    def test_an_update_of_a_real_recording_proves_no_book_wherever_it_begins(
        self, tmp_path: Path, stem: str, instrument: str, first: int
    ) -> None:
        path = tmp_path / f"{instrument}.db"
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("ATTACH ? AS s", (str(REAL_DATA / f"{stem}.db"),))
            connection.execute(
                "CREATE TABLE book AS SELECT bids, asks, timestamp FROM s.book "
                "WHERE instrument = ? ORDER BY timestamp, id LIMIT 200 OFFSET ?",
                (instrument, first),
            )
        settle(path)
        said = replay(path, -NEVER // 2, NEVER, instrument=instrument)
        assert not said.reliable
        assert said.counts["unproven_rows"] == said.status["rows"] > 2

    @fails
    def test_quotes_that_come_and_go_prove_nothing_of_the_book(self, db: Path) -> None:
        rows = [(START, levels((999, 1)), levels((1001, 1)))]
        rows += [(START + 100 * i, levels((999, 1 - i % 2)), "[]") for i in range(1, 100)]
        said = replay(write(db, rows))
        assert (said.reliable, said.counts) == (False, {"unproven_rows": 100})

    @fails
    def test_rows_that_follow_one_another_by_their_ids_are_updates(self, db: Path) -> None:
        rows = [
            (START + 100 * i, levels((999 - i % 5, 1)), levels((1001, 1)), None, 10 + i, 9 + i)
            for i in range(100)
        ]
        said = replay(write(db, rows[:50] + rows[51:], more=MARKED))
        assert not said.reliable
        assert said.counts == {"unproven_rows": 99, "sequence_gaps": 2}

    @pytest.mark.parametrize(
        ("action", "replaces"),
        [
            (" SNAPSHOT\n", True),
            ("Partial", True),
            (b"snapshot", True),
            ("", False),
            ("snap", False),
            ("update", False),
        ],
    )
    def test_an_action_is_read_in_any_case_and_with_blanks(
        self, db: Path, action: Any, replaces: bool
    ) -> None:
        rows = [snapshot(0, action), *updates(range(100, 5000, 100), "update")]
        said = replay(write(db, rows, more="action"))
        assert said.reliable is replaces
        assert said.counts == ({} if replaces else {"unproven_rows": 50})

    @fails
    def test_an_action_decides_whatever_the_ids_say(self, db: Path) -> None:
        said = replay(write(db, changed(marked(100), 50, 5, -1), more=MARKED))
        assert said.depth == (20, 20)

    @fails
    def test_an_empty_row_among_full_snapshots_takes_nothing_away(self, db: Path) -> None:
        rows = [snapshot(100 * i, depth=5) for i in range(100)]
        assert replay(write(db, [*rows, (START + 10_000, "[]", "[]")])).depth == (5, 5)


class TestFilesOfDays:
    """At one time there is one book, wherever START is."""

    @fails
    def test_a_file_that_begins_with_a_snapshot_replaces_the_book_before(
        self, tmp_path: Path
    ) -> None:
        before = [snapshot(DAY - 20_000), *updates(range(DAY - 19_000, DAY - 8000, 100))]
        after = [snapshot(DAY, depth=12), *updates(range(DAY + 100, DAY + 9000, 100))]
        days = write_days(tmp_path / "days", before, after)
        assert replay(days, DAY).depth == (12, 12)
        assert replay(days).depth == (12, 12)

    @fails
    @pytest.mark.parametrize("snapshots_first", [True, False])
    def test_each_file_has_rows_of_its_own_kind(
        self, tmp_path: Path, snapshots_first: bool
    ) -> None:
        def day(number: int, *, snapshots: bool) -> list[Row]:
            begin = number * DAY
            if snapshots:
                return [snapshot(begin + 100 * i, depth=5) for i in range(100)]
            return [snapshot(begin), *updates(range(begin + 100, begin + 9900, 100))]

        first = day(0, snapshots=snapshots_first)
        days = write_days(tmp_path / "days", first, day(1, snapshots=not snapshots_first))
        alone, after = replay(days, DAY).depth, replay(days).depth
        assert alone == after == ((20, 20) if snapshots_first else (5, 5))

    @fails
    def test_a_missing_day_between_warm_up_and_range_is_said(self, tmp_path: Path) -> None:
        first = [snapshot(0), *updates(range(100, 30_000, 100))]
        third = updates(range(2 * DAY, 2 * DAY + 30_000, 100))
        days = write_days(tmp_path / "days", first, [], third)
        said = replay(days, 2 * DAY)
        assert not said.reliable
        assert said.counts

    @fails
    @pytest.mark.parametrize(
        ("rows_before", "start"), [(30, 0), (300, DAY)], ids=["kind learned", "warm-up sought"]
    )
    def test_a_loss_is_counted_once_however_often_a_file_is_looked_at(
        self, tmp_path: Path, rows_before: int, start: int
    ) -> None:
        before = [snapshot(0), *updates(range(100, 100 * rows_before, 100))]
        after = changed(updates(range(DAY, DAY + 20_000, 100)), 100, 0, "abc")
        said = replay(write_days(tmp_path / "days", before, after), start)
        assert said.counts["rows_skipped"] == 1

    @fails
    def test_trades_repeated_in_another_notation_are_used_once(self, tmp_path: Path) -> None:
        once = [(row[0], None, 1000.0, 1.0, "buy") for row in marked(50)]
        again = [(time, None, "1000", "1", "buy") for time, *_ in once[10:]]
        write(tmp_path / "BTC-USDT-25-06-09.db", marked(100), once, more=MARKED)
        write(tmp_path / "BTC-USDT-25-06-10.db", [], again, more=MARKED)
        assert replay(tmp_path).status["trades"] == 50

    @pytest.mark.parametrize(
        ("more", "index", "place", "value"),
        [
            ("", False, None, None),
            (MARKED, True, None, None),
            ("", True, (50, 1), "x"),
            (MARKED, False, (100 + 20, 4), 77),
            (MARKED, True, (100, 2), "x"),
            pytest.param("", False, (100 + 50, 0), None, marks=fails, id="loss in mid-file"),
            pytest.param("", True, (200 + 50, 0), None, marks=fails, id="loss of unknown time"),
            pytest.param(MARKED, False, (100, 0), None, marks=fails, id="first row lost"),
        ],
    )
    def test_two_processes_write_the_files_of_one(
        self,
        tmp_path: Path,
        more: str,
        index: bool,
        place: tuple[int, int] | None,
        value: Any,
    ) -> None:
        days = []
        for number in range(3):
            rows = [(row[0] + number * DAY, *row[1:]) for row in marked(100)]
            days.append(rows if more else [row[:3] for row in rows])
        if place:
            number, at = divmod(place[0], 100)
            days[number] = changed(days[number], at, place[1], value)
        data = write_days(tmp_path / "days", *days, more=more, index=index)
        one, two = replay(data), replay(data, kind=ParallelReplay)
        assert two.files == one.files

    @fails
    def test_two_processes_take_the_same_rows_for_snapshots(self, tmp_path: Path) -> None:
        days = [
            [
                snapshot(n * DAY, None, None, -1, depth=20 - 12 * n),
                *updates(range(n * DAY + 100, n * DAY + 9900, 100), None, None, None),
            ]
            for n in range(2)
        ]
        data = write_days(tmp_path / "days", *days, more=MARKED)
        assert replay(data, kind=ParallelReplay).files == replay(data).files


class TestSequence:
    @pytest.mark.parametrize(
        ("ids", "gaps", "unreliable"),
        [
            ([(10, -1), (11, 10), (5, 11), (6, 5)], 0, 0),  # reset by the exchange
            ([(10, -1), (11, 10), (5, 4), (6, 5)], 1, 2),  # falls without following
            ([(10, -1), (11, 10), (11, 10), (12, 11)], 1, 2),  # a row twice
            ([(10, -1), (10, 10), (11, 10)], 0, 0),  # keep-alive
            ([(10, -1), (11, 10), (20, -1), (21, 20)], 0, 0),  # a snapshot between
            ([(10, -1), (12, 12)], 1, 1),
            ([(10, -1), (None, None), (12, 11)], 1, 1),
            ([(2**63 - 2, -1), (2**63 - 1, 2**63 - 2), (0, 2**63 - 1)], 0, 0),
        ],
    )
    def test_a_row_that_does_not_follow_the_last_is_a_gap(
        self, db: Path, ids: list[tuple[int | None, int]], gaps: int, unreliable: int
    ) -> None:
        rows = [
            snapshot(100 * i, None, own, before)
            if before == -1
            else update(100 * i, None, own, before)
            for i, (own, before) in enumerate(ids)
        ]
        said = replay(write(db, rows, more=MARKED))
        found = {"sequence_gaps": gaps, "unreliable_rows": unreliable}
        assert said.counts == {kind: count for kind, count in found.items() if count}
        assert said.reliable is (gaps == 0)

    @pytest.mark.parametrize("kind", ["INTEGER", "TEXT", "BLOB", pytest.param("REAL", marks=fails)])
    def test_ids_are_followed_however_they_are_stored(self, db: Path, kind: str) -> None:
        columns = f"action, seq_id {kind}, prev_seq_id {kind}"
        said = replay(write(db, marked(200, without=50), more=columns))
        assert said.counts == {"sequence_gaps": 1, "unreliable_rows": 149}


BIG = "[]" + " " * 8_100_000


class TestLosses:
    @pytest.mark.parametrize("index", [False, True])
    @pytest.mark.parametrize(
        ("at", "column", "value", "seen"),
        [
            (50, 1, "x", ("rows_skipped", "unreliable_rows", 50)),  # it is a row all the same
            (50, 1, BIG, ("rows_skipped", "unreliable_rows", 49)),
            (50, 3, BIG, ("rows_skipped", "unreliable_rows", 49)),
            (0, 1, BIG, ("rows_skipped", "unproven_rows", 99)),
            (0, 2, "x", ("rows_skipped", "unproven_rows", 100)),
            (99, 1, BIG, ("rows_skipped", "", 0)),
        ],
    )
    def test_what_cannot_be_used_makes_the_book_unreliable(
        self, db: Path, index: bool, at: int, column: int, value: str, seen: tuple[str, str, int]
    ) -> None:
        rows = [row[:4] for row in marked(100)]
        said = replay(write(db, changed(rows, at, column, value), more="action", index=index))
        lost, after, count = seen
        assert said.counts == {lost: 1} | ({after: count} if after else {})
        assert not said.reliable

    @pytest.mark.parametrize("value", [None, -5, b"x", pytest.param("abc", marks=fails)])
    def test_a_row_of_unknown_time_leaves_only_snapshots_reliable(
        self, db: Path, value: Any
    ) -> None:
        rows = changed([row[:4] for row in marked(5000)], 3000, 0, value)
        said = replay(write(db, rows, more="action", index=True))
        assert said.counts == {"rows_skipped": 1, "unreliable_rows": 4998}

    @fails
    def test_a_row_lost_out_of_its_place_is_not_before_the_snapshot_that_follows_it_there(
        self, db: Path
    ) -> None:
        rows = [row[:4] for row in marked(200)]
        rows[50] = snapshot(5000, "snapshot")
        lost = rows.pop(100)
        rows.insert(10, (lost[0], BIG, *lost[2:]))
        assert not replay(write(db, rows, more="action")).reliable

    @fails
    def test_all_rows_after_a_late_one_are_unreliable(
        self, db: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        spec = replace(BOOK, batch=32, reorder=32)
        monkeypatch.setattr(recorded_table, "BOOK", spec)
        rows = [row[:4] for row in marked(200)]
        rows.insert(150, rows.pop(20))
        said = replay(write(db, rows, more="action"))
        assert said.counts == {"late_rows": 1, "unreliable_rows": 179}

    @fails
    @pytest.mark.parametrize("index", [False, True])
    def test_a_row_of_time_0_is_not_applied_before_all_others_in_silence(
        self, db: Path, index: bool
    ) -> None:
        rows = changed([row[:4] for row in marked(300)], 150, 0, 0)
        said = replay(write(db, rows, more="action", index=index))
        assert not said.reliable
        assert said.counts

    @fails
    def test_rows_that_name_no_instrument_are_counted(self, db: Path) -> None:
        rows = [(*row[:3], None if i % 10 == 9 else "BTC-USDT") for i, row in enumerate(marked(90))]
        assert replay(write(db, rows, more="instrument")).counts

    @pytest.mark.parametrize("start", [4000, 5100, 9000])
    def test_what_was_lost_before_the_range_counts_and_makes_its_rows_unreliable(
        self, db: Path, start: int
    ) -> None:
        rows = changed([row[:4] for row in marked(100)], 50, 1, "x")
        said = replay(write(db, rows, [trade(9500)], more="action"), start)
        unreliable = 100 - max(start // 100, 50)
        assert said.counts == {"rows_skipped": 1, "unreliable_rows": unreliable}
        assert said.spans[-1] == ("unreliable_rows", max(start, 5000), 9900, unreliable)


class TestEdges:
    @pytest.mark.parametrize(
        ("start", "end", "rows", "trades"),
        [(5000, 5001, 1, 1), (4900, 5000, 1, 0), (5001, 5100, 0, 0), (4999, 5001, 1, 1)],
    )
    def test_start_is_included_and_end_is_not(
        self, db: Path, start: int, end: int, rows: int, trades: int
    ) -> None:
        write(db, marked(100), [trade(5000)], more=MARKED)
        said = replay(db, start, end)
        assert (said.status["rows"], said.status["trades"]) == (rows, trades)
        assert said.counts == {
            kind: 1 for kind, count in (("no_book", rows), ("no_trades", trades)) if not count
        }

    def test_before_the_first_book_row_obi_and_tot_are_null(self, db: Path) -> None:
        rows = [(row[0] + 120_000, *row[1:]) for row in marked(10)]
        bars = replay(write(db, rows, more=MARKED)).files["metrics_data.json"]
        assert [bar[1:9] == [None] * 8 for bar in bars] == [True, False]

    @fails
    @pytest.mark.parametrize(("start", "end"), [(70_000, 250_000), (0, 150_000)])
    def test_a_hole_that_reaches_over_an_end_of_the_range_is_said(
        self, db: Path, start: int, end: int
    ) -> None:
        rows = [row for row in marked(2500) if not 60_000 < row[0] - START < 200_000]
        trades = [trade(at, at) for at in range(0, 250_000, 1000)]
        write(db, [row[:4] for row in rows], trades, more="action")
        assert replay(db, start, end).counts

    @fails
    @pytest.mark.parametrize("begin", [0, 3_500_000])
    def test_a_book_that_covers_a_part_of_the_trades_is_said(self, db: Path, begin: int) -> None:
        rows = [snapshot(begin), *updates(range(begin + 100, begin + 60_000, 100))]
        write(db, rows, [trade(at, at) for at in range(0, 3_600_000, 10_000)])
        assert replay(db).counts

    def test_numbers_at_the_edge_of_a_double_leave_the_files_finite(self, db: Path) -> None:
        rows = [(START, levels((1e-11, 1e308), (9e-12, 1e308)), levels((1e300, 1e308)), "snapshot")]
        rows += updates(range(100, 1000, 100), "update")
        trades = [
            (START, "a", 1e-11, 0.0, "buy"),
            (START + 1, "b", 1e300, 1e290, "sell"),
            (START + 2, "c", "9" * 400, 1, "buy"),
            (START + 3, "d", 5, "1e291", "buy"),
        ]
        said = replay(write(db, rows, trades, more="action"))
        assert said.counts["trades_skipped"] == 2
        assert said.counts["unusable_samples"] == 10
        assert said.files["ohlc_data.json"] == [[START, 1e-11, 1e300, 1e-11, 1e300, 1e290]]
