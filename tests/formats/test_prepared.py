"""A replay from a prepared copy is that of the text to the last bit, or is not of the copy."""

import errno
import json
import os
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import chain
from pathlib import Path
from random import Random
from typing import Any

import pyarrow.parquet as pq
import pytest
from places import PROJECT
from prepared_runs import EVER, assert_equal, prepare, replay, run_program
from real_recordings import DATA, needs_recordings
from recording_factory import DAY, START, change, settle, small_batches
from truth_runs import levels, snapshot, trade, update, updates, write, write_days

from formats import parquet_columns, preparing
from formats import prepared as copies
from formats.prepared import place_of, use_prepared
from formats.prepared_reading import METADATA, ParquetBook, last_levels
from formats.prepared_samples import sampled_bars
from orderbook_manager import OrderbookManager
from orderflow.errors import RecordingError
from recordings.discovery import find_recording
from recordings.recorded_table import instruments_in

METRICS = ("obi", "ofi", "vwap")


def odd_recording(path: Path, *, index: bool = False, seed: int = 1) -> Path:
    """Write rows of every kind that is counted: odd, late, lost, crossed, unreadable, and more."""
    draw = Random(seed)
    rows: list[tuple[Any, ...]] = [snapshot(0)]
    for number in range(1, 400):
        at = number * 100
        one = update(at)
        kinds = {
            20: (START + at, "garbage", "[]"),
            21: (START + at, levels((999, 3)), b"\xff\xfe"),
            40: (START + at, '[["nan", "1"], ["998.5", "2"], ["-1", "2"]]', '[["1001", "inf"]]'),
            60: (START + at, "[]", "[]"),
            61: (START + at, " [ ]", None),
            62: (START + at, None, ""),
            80: (None, levels((999, 4)), "[]"),
            81: ("no time", levels((999, 4)), "[]"),
            100: (START + at, levels((1003, 7)), "[]"),
            101: (START + at, levels((1003, 0)), levels((1000.5, 1e-300))),
            120: (START + at, [(1)][0], "[]"),
            150: snapshot(at),
        }
        rows.append(kinds.get(number, one))
    rows += [update(40_000 - 13_000), update(90_000), update(90_000)]
    trades: list[tuple[Any, ...]] = [
        (START + draw.randrange(90_000), f"t{n % 350}", 1000.0 + n % 7, n % 5 / 10, side)
        for n, side in enumerate(draw.choices(("buy", "SELL ", "sell", "?", None), k=400))
    ]
    trades += [
        (START + 5, None, "1000.50", "1e-3", "buy"),
        (START + 5, 7, -1.0, 1.0, "buy"),
        (START + 6, "é", float("inf"), None, b"\xff"),
        (None, "x", 1.0, 1.0, "sell"),
    ]
    trades += trades[10:20]
    return write(path, rows, trades, index=index)


class TestEqual:
    @pytest.mark.parametrize("index", [False, True])
    def test_of_a_recording_with_every_kind_of_issue_all_files_are_equal(
        self, tmp_path: Path, index: bool
    ) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db", index=index)
        prepare(data, tmp_path / "copies")
        assert_equal(data, tmp_path / "copies", tmp_path, window_seconds=7, metrics=METRICS)
        issues = json.loads((tmp_path / "of-copies" / "data_issues.json").read_bytes())["issues"]
        kinds = {issue["kind"] for issue in issues}
        assert {"rows_skipped", "levels_rejected", "trades_skipped", "repeated_trades"} <= kinds
        assert {"crossed_books", "unknown_sides", "silences", "unreliable_rows"} <= kinds

    @pytest.mark.parametrize(
        "how",
        [
            {"start_ms": START + 9000, "end_ms": START + 17_300},
            pytest.param({"start_ms": START + 20_001}, marks=pytest.mark.thorough),
            pytest.param({"uncross": True, "depth_levels": 3}, marks=pytest.mark.thorough),
            pytest.param({"speed": 1e6}, marks=pytest.mark.thorough),
            pytest.param({"flow": False}, marks=pytest.mark.thorough),
        ],
    )
    def test_any_part_of_it_and_any_way_of_replaying_is_equal(
        self, tmp_path: Path, how: dict[str, Any]
    ) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db", seed=2)
        prepare(data, tmp_path / "copies")
        assert_equal(data, tmp_path / "copies", tmp_path, window_seconds=5, **how)

    def test_ids_gaps_and_actions_are_equal(self, tmp_path: Path) -> None:
        rows = [snapshot(0, "snapshot", 5, -1), update(100, "update", 6, 5)]
        rows += [update(200, "update", 8, 7), update(300, None, None, None)]
        rows += [update(400, "update", b"9", "8"), snapshot(500, None, 12.0, -1)]
        rows += [update(600, "odd", "x", 12), update(700, "UPDATE ", 14, 13)]
        data = write(tmp_path / "BTC-USDT.db", rows, more="action, seq_id, prev_seq_id")
        prepare(data, tmp_path / "copies")
        assert_equal(data, tmp_path / "copies", tmp_path, window_seconds=1)

    def test_full_snapshots_of_which_some_are_empty_are_equal(self, tmp_path: Path) -> None:
        rows = [snapshot(at, depth=5) for at in range(0, 4000, 100)]
        rows[7] = START + 700, "[]", "[]"
        rows[9] = START + 900, " []", "[]"
        data = write(tmp_path / "BTC-USDT.db", rows)
        prepare(data, tmp_path / "copies")
        assert_equal(data, tmp_path / "copies", tmp_path, window_seconds=1)
        assert find_recording("BTC-USDT", data, START, START + DAY).book_mode == "auto"

    def test_times_finer_than_a_millisecond_are_equal(self, tmp_path: Path) -> None:
        rows = [
            (start * 1000 + 300 - n % 3, *sides)
            for n, (start, *sides) in enumerate(
                [snapshot(0), *updates([0, 0, 0, 100, 100, 100, 200])]
            )
        ]
        given = [(trade(at)[0] * 1000 + 7 - at, f"t{at}", 1000.0, 1.0, "buy") for at in range(5)]
        data = write(tmp_path / "BTC-USDT.db", rows, given)
        prepare(data, tmp_path / "copies")
        assert_equal(data, tmp_path / "copies", tmp_path, window_seconds=1)

    @pytest.mark.parametrize("jobs", [1, pytest.param(2, marks=pytest.mark.thorough)])
    def test_files_that_follow_one_another_are_equal_also_from_the_middle(
        self, tmp_path: Path, jobs: int
    ) -> None:
        day = [snapshot(0), *updates(range(100, 30_000, 100))]
        later = [(row[0] + DAY, *row[1:]) for row in day]
        data = write_days(tmp_path / "data", day, later)
        made = prepare(data, tmp_path / "copies")
        assert [one.rows for one in made] == [300, 300]
        for start_ms in (START, START + DAY + 3000):
            assert_equal(
                data, tmp_path / "copies", tmp_path, window_seconds=3, start_ms=start_ms, jobs=jobs
            )

    def test_a_recording_without_books_or_without_trades_is_equal(self, tmp_path: Path) -> None:
        for name, book, given in (
            ("BTC-USDT", None, [trade(at) for at in range(50)]),
            ("ETH-USDT", [snapshot(0), update(100)], []),
        ):
            data = write(tmp_path / f"{name}.db", book, given)
            prepare(data, tmp_path / "copies", name)
            assert_equal(data, tmp_path / "copies", tmp_path, name)

    @pytest.mark.thorough
    @needs_recordings
    @pytest.mark.parametrize("name", sorted(path.stem for path in DATA.glob("*.db")))
    def test_of_a_real_recording_all_files_are_equal(self, tmp_path: Path, name: str) -> None:
        data = DATA / f"{name}.db"
        for instrument in list(instruments_in(data))[:2]:
            prepare(data, tmp_path / "copies", instrument)
            span = {"start_ms": 0, "end_ms": EVER}
            assert_equal(data, tmp_path / "copies", tmp_path, instrument, **span, metrics=METRICS)

    @pytest.mark.thorough
    def test_without_the_compiled_book_it_is_equal_too(self, tmp_path: Path) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db")
        code = (
            "import sys; sys.path[:0] = ['.', 'tests/support']\n"
            "from pathlib import Path\n"
            "from orderbook_manager import OrderbookManager\n"
            "from prepared_runs import assert_equal, prepare\n"
            "assert OrderbookManager.engine == 'python'\n"
            "data, root, tmp = map(Path, sys.argv[1:])\n"
            "prepare(data, root)\n"
            "assert_equal(data, root, tmp, window_seconds=7)\n"
        )
        copies_of_python = tmp_path / "python"
        done = run_program("-c", code, data, copies_of_python, tmp_path, ORDERFLOW_PURE_PYTHON="1")
        assert done.stderr == ""
        prepare(data, tmp_path / "copies")
        for name in ("book.parquet", "trades.parquet"):
            one, other = (
                pq.read_table(place_of(root, data, "BTC-USDT") / name)
                for root in (copies_of_python, tmp_path / "copies")
            )
            assert repr(one.to_pylist()) == repr(other.to_pylist())  # NaN is no NaN's equal


def append(path: Path) -> None:
    sql = "INSERT INTO book(timestamp, bids, asks) SELECT max(timestamp) + 1, bids, asks FROM book"
    change(path, sql)


def touch(path: Path) -> None:
    os.utime(path)


def put_a_copy_in_its_place(path: Path) -> None:
    shutil.copy2(path, path.with_suffix(".copy"))
    path.with_suffix(".copy").rename(path)


def change_a_byte_and_hide_it(path: Path) -> None:
    before = path.stat()
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def leave_rows_in_a_log(path: Path) -> None:
    other = path.with_suffix(".other")
    shutil.copy2(path, other)
    with closing(sqlite3.connect(other)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("INSERT INTO book(timestamp, bids, asks) VALUES(1, '[]', '[]')")
        connection.commit()
        shutil.copy2(f"{other}-wal", f"{path}-wal")
    other.unlink()


CHANGES = [append, touch, put_a_copy_in_its_place, change_a_byte_and_hide_it, leave_rows_in_a_log]


class TestChanged:
    @pytest.fixture
    def data(self, tmp_path: Path) -> Path:
        data = write(tmp_path / "BTC-USDT.db", [snapshot(0), *updates(range(100, 5000, 100))])
        prepare(data, tmp_path / "copies")
        return data

    def why(self, data: Path, tmp_path: Path, *, is_named: bool = True) -> str | None:
        found = find_recording("BTC-USDT", data, START, START + DAY)
        why = use_prepared(found, tmp_path / "copies", is_named=is_named)
        used = [table.prepared is not None for table in (*found.books, *found.trades)]
        assert used == [why is None] * 2
        return why

    @pytest.mark.parametrize("make_other", CHANGES)
    def test_a_recording_that_has_changed_is_read_itself_and_that_is_said(
        self, data: Path, tmp_path: Path, make_other: Callable[[Path], None]
    ) -> None:
        assert self.why(data, tmp_path) is None
        make_other(data)
        why = self.why(data, tmp_path)
        assert why is not None
        assert why.startswith("the prepared copy is not used: BTC-USDT.db: the recording ")
        assert why.endswith("; the recording itself is read")
        assert "\n" not in why

    @pytest.mark.parametrize("name", copies.FILES)
    @pytest.mark.parametrize("damage", ["cut", "flip", "remove", "swap", "pipe"])
    def test_a_torn_or_foreign_copy_is_refused_and_made_again(
        self, data: Path, tmp_path: Path, name: str, damage: str
    ) -> None:
        path = place_of(tmp_path / "copies", data, "BTC-USDT") / name
        content = bytearray(path.read_bytes())
        if damage == "cut":
            path.write_bytes(content[:-1])
        elif damage == "flip":
            content[len(content) // 2] ^= 1
            path.write_bytes(content)
        elif damage in ("remove", "pipe"):
            path.unlink()
            if damage == "pipe":
                os.mkfifo(path)
        else:
            other = write(tmp_path / "BTC-USDT-25-06-01.db", [snapshot(0)])
            (made,) = prepare(other, tmp_path / "others")
            shutil.copy(made.place / name, path)
        why = self.why(data, tmp_path)
        assert why is not None
        assert name in why
        assert [one.state for one in prepare(data, tmp_path / "copies")] == ["made"]
        assert self.why(data, tmp_path) is None
        assert [one.state for one in prepare(data, tmp_path / "copies")] == ["true already"]

    @pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"schema": 99}', b'{"schema": 2}'])
    def test_a_manifest_that_is_none_is_refused(
        self, data: Path, tmp_path: Path, content: bytes
    ) -> None:
        (place_of(tmp_path / "copies", data, "BTC-USDT") / copies.MANIFEST).write_bytes(content)
        assert self.why(data, tmp_path) is not None
        assert [one.state for one in prepare(data, tmp_path / "copies")] == ["made"]

    def test_a_manifest_with_another_digit_or_a_pipe_in_its_place_is_refused(
        self, data: Path, tmp_path: Path
    ) -> None:
        path = place_of(tmp_path / "copies", data, "BTC-USDT") / copies.MANIFEST
        said = path.read_bytes()
        for old, new in ((b'"rows":', b'"rows":1'), (b'"last_ms"', b'"last_mr"')):
            path.write_bytes(said.replace(old, new, 1))
            assert "its manifest was changed" in str(self.why(data, tmp_path))
        path.unlink()
        os.mkfifo(path)
        assert "its manifest is none" in str(self.why(data, tmp_path))
        assert [one.state for one in prepare(data, tmp_path / "copies")] == ["made"]
        assert self.why(data, tmp_path) is None

    def test_the_whole_copy_of_another_recording_is_refused(
        self, data: Path, tmp_path: Path
    ) -> None:
        other = write(tmp_path / "BTC-USDT-25-06-01.db", [snapshot(0)])
        (made,) = prepare(other, tmp_path / "others")
        place = place_of(tmp_path / "copies", data, "BTC-USDT")
        shutil.rmtree(place)
        shutil.copytree(made.place, place)
        assert "another file now" in str(self.why(data, tmp_path))

    def test_of_a_copied_recording_it_is_said_that_the_copy_is_of_another(
        self, data: Path, tmp_path: Path
    ) -> None:
        moved = tmp_path / "elsewhere" / data.name
        moved.parent.mkdir()
        shutil.copy2(data, moved)
        assert f"there is none of {moved}" in str(self.why(moved, tmp_path, is_named=False))

    def test_a_directory_that_may_not_be_looked_at_is_said(
        self, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        place = place_of(tmp_path / "copies", data, "BTC-USDT")
        is_dir = Path.is_dir

        def denied(path: Path) -> bool:
            if path == place:
                raise PermissionError(errno.EACCES, "Permission denied", str(path))
            return is_dir(path)

        monkeypatch.setattr(Path, "is_dir", denied)
        assert f"{place} cannot be looked at (Permission denied)" in str(self.why(data, tmp_path))

    def test_a_copy_replaced_while_a_run_begins_ends_it(self, data: Path, tmp_path: Path) -> None:
        found = find_recording("BTC-USDT", data, START, START + DAY)
        assert use_prepared(found, tmp_path / "copies") is None
        shutil.rmtree(tmp_path / "copies")
        source = found.books[0].source()
        source.fetch()
        assert "the prepared copy cannot be read" in str(source.failure)

    def test_nothing_is_said_where_nobody_has_prepared_anything(
        self, data: Path, tmp_path: Path
    ) -> None:
        shutil.rmtree(tmp_path / "copies")
        assert self.why_of_nothing(data, tmp_path, is_named=False) is None
        assert self.why_of_nothing(data, tmp_path, is_named=True) is not None

    def why_of_nothing(self, data: Path, tmp_path: Path, *, is_named: bool) -> str | None:
        found = find_recording("BTC-USDT", data, START, START + DAY)
        why = use_prepared(found, tmp_path / "copies", is_named=is_named)
        assert found.books[0].prepared is None
        return why

    def test_files_that_overlap_in_time_are_read_themselves(self, tmp_path: Path) -> None:
        day = [snapshot(0), *updates(range(100, 5000, 100))]
        data = tmp_path / "days"
        data.mkdir()
        write(data / "BTC-USDT-25-06-09.db", day)
        write(data / "BTC-USDT-25-06-10.db", day[10:], [trade(60_000)])
        prepare(data, tmp_path / "copies")
        found = find_recording("BTC-USDT", data, START, START + DAY)
        assert "overlap in time" in str(use_prepared(found, tmp_path / "copies"))
        assert not any(table.prepared for table in found.books)

    def test_all_files_of_a_range_are_read_from_copies_or_none(self, tmp_path: Path) -> None:
        day = [snapshot(0), *updates(range(100, 5000, 100))]
        later = [(row[0] + DAY, *row[1:]) for row in day]
        data = write_days(tmp_path / "data", day, later)
        prepare(data, tmp_path / "copies", start_ms=START, end_ms=START + DAY)
        found = find_recording("BTC-USDT", data, START, START + 2 * DAY)
        why = use_prepared(found, tmp_path / "copies")
        assert "BTC-USDT-25-06-10.db: there is none of" in str(why)
        assert not any(table.prepared for table in found.books)


class TestFiles:
    def test_the_columns_are_the_documented_ones_and_say_what_they_are_of(
        self, tmp_path: Path
    ) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db")
        (made,) = prepare(data, tmp_path / "copies")
        page = (PROJECT / "docs" / "prepared.md").read_text()
        for name in copies.FILES:
            schema = pq.read_schema(made.place / name)
            listed = page.split(f"| `{name}` |")[1].splitlines()[0]
            assert [column for column in schema.names if f"`{column}`" not in listed] == []
            said = json.loads(pq.read_metadata(made.place / name).metadata[METADATA])
            assert said["instrument"] == "BTC-USDT"
            assert said["source"]["size"] == data.stat().st_size
        counts = json.loads(pq.read_metadata(made.place / "samples.parquet").metadata[METADATA])
        assert counts["counts"] == made.counts
        assert counts["counts"]["rows_skipped"] == 5

    def test_samples_give_the_bars_of_the_replay_and_the_best_of_the_book(
        self, tmp_path: Path
    ) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db")
        (made,) = prepare(data, tmp_path / "copies")
        files, _ = replay(data, tmp_path / "out", window_seconds=7)
        bars = [bar[:9] for bar in json.loads(files["metrics_data.json"])]
        found = sampled_bars([made.place / "samples.parquet"], 7)
        assert found == [bar for bar in bars if bar[0] in {one[0] for one in found}]
        part = sampled_bars([made.place / "samples.parquet"], 7, START + 7000, START + 14_000)
        first = START + 7000 - START % 7000
        assert [bar[0] for bar in part] == [first, first + 7000]
        last = pq.read_table(made.place / "samples.parquet").to_pylist()[-1]
        depth = json.loads(files["depth_data.json"])
        assert [last["best_bid"], last["best_bid_size"]] == depth["bids"][0]
        assert [last["best_ask"], last["best_ask_size"]] == depth["asks"][0]

    def test_a_checkpoint_is_the_book_after_so_many_rows(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(preparing, "CHECKPOINT_ROWS", 100)
        monkeypatch.setattr(parquet_columns, "GROUP_ROWS", 50)
        data = odd_recording(tmp_path / "BTC-USDT.db")
        with small_batches(30, 150):
            (made,) = prepare(data, tmp_path / "copies")
        path = made.place / "checkpoints.parquet"
        assert [one["rows"] for one in pq.read_table(path).to_pylist()] == [118, 208, 401]
        book = OrderbookManager(50)
        rows = chain.from_iterable(
            rows for rows, _ in ParquetBook.at(made.place / "book.parquet").batches()
        )
        for number, row in enumerate(rows):
            if number == 208:
                levels_then = book.top_levels(1000)
            book.update(row[2], row[3], number == 0)
        assert last_levels(path) == book.top_levels(1000)
        bids, asks = levels_then
        second = pq.read_table(path).to_pylist()[1]
        assert second["price"] == [price for price, _ in (*bids, *asks)]
        assert second["size"] == [size for _, size in (*bids, *asks)]
        assert second["bid_levels"] == len(bids)

    def test_the_book_goes_on_in_a_file_that_begins_with_an_update(self, tmp_path: Path) -> None:
        later = [(row[0] + DAY, *row[1:]) for row in updates(range(100, 3000, 100))]
        data = write_days(tmp_path / "data", [snapshot(0), update(100)], later)
        first, second = prepare(data, tmp_path / "copies", start_ms=START)
        again = prepare(data, tmp_path / "copies", start_ms=START)
        assert [one.state for one in again] == ["true already"] * 2
        shutil.rmtree(second.place)
        prepare(data, tmp_path / "copies", start_ms=START)
        depths = [last_levels(one.place / "checkpoints.parquet") for one in (first, second)]
        assert [len(bids) for bids, _ in depths] == [20, 20]


class TestCommand:
    def test_it_prepares_a_range_and_a_replay_uses_the_copy(self, tmp_path: Path) -> None:
        data = odd_recording(tmp_path / "BTC-USDT.db")
        asked = ["BTC-USDT", "2025-06-09", "2025-06-10", "--data-dir", data]
        asked += ["--prepared-dir", tmp_path / "copies"]
        done = run_program("-m", "formats", "prepare", *asked, "--json")
        assert done.returncode == 0
        (said,) = json.loads(done.stdout)["files"]
        assert said["state"] == "made"
        assert said["rows"] == 401
        assert said["counts"]["trades_skipped"] == 3
        main = ["main.py", *asked, "--no-ui", "--output-dir", tmp_path / "out"]
        assert "prepared" not in run_program(*main).stderr
        os.utime(data)
        warned = run_program(*main).stderr.splitlines()
        assert sum("the prepared copy is not used" in line for line in warned) == 1

    def test_what_may_still_be_written_to_is_refused_and_nothing_is_left(
        self, tmp_path: Path
    ) -> None:
        data = write(tmp_path / "BTC-USDT.db", [snapshot(0)])
        os.utime(data)
        with pytest.raises(RecordingError, match="unchanged for 60 s; run again later"):
            prepare(data, tmp_path / "copies")
        settle(data)
        content = bytearray(data.read_bytes())
        data.write_bytes(content[:-4096])
        settle(data)
        with pytest.raises(RecordingError):
            prepare(data, tmp_path / "copies")
        assert [path for path in (tmp_path / "copies").rglob("*") if path.is_file()] == []

    def test_what_a_dead_process_has_begun_goes_with_the_next_copy(self, tmp_path: Path) -> None:
        data = write(tmp_path / "BTC-USDT.db", [snapshot(0)])
        (made,) = prepare(data, tmp_path / "copies")
        dead = made.place.with_name(f".{made.place.name}.4194304.0a.tmp")
        alive = made.place.with_name(f".{made.place.name}.{os.getppid()}.0a.tmp")
        for path in (dead, alive):
            path.mkdir()
        shutil.rmtree(made.place)
        prepare(data, tmp_path / "copies")
        assert (dead.exists(), alive.exists()) == (False, True)

    @pytest.mark.thorough
    def test_without_pyarrow_it_says_how_to_get_it_and_a_replay_reads_the_text(
        self, tmp_path: Path
    ) -> None:
        data = write(tmp_path / "BTC-USDT.db", [snapshot(0), update(100)])
        prepare(data, tmp_path / "copies")
        code = (
            "import sys, runpy; sys.modules['pyarrow'] = None; sys.path.insert(0, '.')\n"
            "sys.argv = sys.argv[1:]\n"
            "name = sys.argv[0]\n"
            "sys.argv[0] = 'formats/__main__.py' if name == 'formats' else name\n"
            "runpy.run_path(sys.argv[0], run_name='__main__')\n"
        )
        asked = ["BTC-USDT", "2025-06-09", "2025-06-10", "--data-dir", data]
        asked += ["--prepared-dir", tmp_path / "copies"]
        done = run_program("-c", code, "formats", "prepare", *asked)
        assert (done.returncode, done.stdout) == (2, "")
        assert "uv sync --group data installs it" in done.stderr
        out = ["--no-ui", "--output-dir", tmp_path / "out"]
        done = run_program("-c", code, "main.py", *asked, *out)
        assert done.returncode == 0
        assert "the prepared copy is not used: pyarrow is missing" in done.stderr

    def test_a_replay_of_text_does_not_import_pyarrow(self, tmp_path: Path) -> None:
        data = write(tmp_path / "BTC-USDT.db", [snapshot(0), update(100)])
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "import main\n"
            "from typer.main import get_command\n"
            "get_command(main.app)(sys.argv[1:], standalone_mode=False)\n"
            "of_formats = {n for n in sys.modules if n.startswith('formats.')}\n"
            "assert of_formats == {'formats.prepared_use'}\n"
            "assert 'pyarrow' not in sys.modules\n"
        )
        asked = ["BTC-USDT", "2025-06-09", "2025-06-10", "--data-dir", data, "--no-ui"]
        done = run_program(
            "-c", code, *asked, "--output-dir", tmp_path / "out", ORDERFLOW_CACHE_DIR=str(tmp_path)
        )
        assert done.returncode == 0, done.stderr
