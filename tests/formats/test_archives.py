"""Archives are replayed as if they had been imported, are read once, and no more than is needed."""

import json
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import archive_writers as writers
import pytest
from prepared_runs import run_program, written_of
from real_recordings import DATA
from recorded_market import START, Market, books_of, made_up
from truth_runs import snapshot, trade, write

from formats import archive_cache
from formats.archive_cache import ArchiveCache
from formats.archive_names import parse_name
from formats.archive_request import Asked, FoundRecording
from formats.archives import find_with_archives
from formats.importing import ImportOptions, import_file
from formats.sources import SourceError
from orderflow.errors import NothingToReplayError, RecordingError
from recordings.discovery import find_recording
from recordings.moment_service import MomentService, Run
from recordings.search import find_files
from replay.run import ReplayOptions

DAY = 86_400_000
SAMPLES = DATA.parent / "samples" / "imports"
ZIP = "BTC-USDT-trades-2025-06-09.zip"
TAR = "BTC-USDT-L2orderbook-400lv-2025-06-09.tar.gz"

Writer = Callable[[Path, Market], Path]
SOURCES: dict[str, tuple[Writer, Writer]] = {
    "okx": (writers.okx_books, writers.okx_trades),
    "tardis": (writers.tardis_books, writers.tardis_trades),
    "tardis snapshots": (writers.tardis_snapshots, writers.tardis_trades),
    "bybit": (writers.bybit_books, writers.bybit_trades),
}


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache" / "orderflow-replay" / "archives"


@pytest.fixture(scope="module")
def market(tmp_path_factory: pytest.TempPathFactory) -> Market:
    return made_up(tmp_path_factory.mktemp("market"), 2)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def found(
    data: Path, instrument: str = "BTC-USDT", start_ms: int = START, end_ms: int = START + DAY
) -> FoundRecording:
    asked = Asked(instrument, data, start_ms, end_ms)
    return find_with_archives(asked, find_files(data))


def names(found: FoundRecording) -> list[str]:
    tables = (*found.recording.books, *found.recording.trades)
    return sorted({table.path.name for table in tables})


def later(market: Market, days: float) -> Market:
    shift = round(days * DAY)
    rows = [row._replace(timestamp=row.timestamp + shift) for row in market.rows]
    trades = [one._replace(timestamp=one.timestamp + shift) for one in market.trades]
    return Market(market.instrument, rows, trades)


def of_day(path: Path, day: str) -> Path:
    """Give an archive the name of another day."""
    return path.rename(path.with_name(path.name.replace("2025-06-09", day)))


def assert_same_as_imported(
    data: Path, tmp_path: Path, instrument: str, start_ms: int, end_ms: int
) -> dict[str, Any]:
    """Assert that a replay of archives writes what one of their imports does; return its status."""
    for path in data.iterdir():
        import_file(path, ImportOptions(tmp_path / "in"))
    options = ReplayOptions(instrument, start_ms, end_ms, window_seconds=1)
    imported = find_recording(instrument, tmp_path / "in", start_ms, end_ms)
    direct = found(data, instrument, start_ms, end_ms)
    wanted = written_of(imported, options, tmp_path / "out-imported")
    got = written_of(direct.recording, options, tmp_path / "out-direct")
    assert wanted.keys() == got.keys()
    assert {name for name in wanted if wanted[name] != got[name]} == set()
    status: dict[str, Any] = json.loads(got["status_data.json"])
    return status


class TestSame:
    @pytest.mark.parametrize(
        "source",
        [
            "okx",
            "bybit",
            pytest.param("tardis", marks=pytest.mark.thorough),
            pytest.param("tardis snapshots", marks=pytest.mark.thorough),
        ],
    )
    def test_files_bars_and_issues_are_those_of_an_import_and_a_replay(
        self, source: str, market: Market, data: Path, tmp_path: Path
    ) -> None:
        for write_archive in SOURCES[source]:
            write_archive(data, market)
        status = assert_same_as_imported(data, tmp_path, "BTC-USDT", START, START + DAY)
        assert status["state"] == "finished"
        assert (status["rows"], status["trades"]) == (len(market.rows), len(market.trades))

    @pytest.mark.thorough
    @pytest.mark.skipif(not SAMPLES.is_dir(), reason="no small files of others here")
    @pytest.mark.parametrize(
        ("pattern", "instrument"),
        [
            ("BTC-USDT-*", "BTC-USDT"),
            ("bybit_*", "XRPUSDT"),
            ("tardis_deribit*", "BTC-PERPETUAL"),
            ("tardis_bitmex*", "XBTUSD"),
            ("tardis_binance*", "BTCUSDT"),
        ],
    )
    def test_real_samples_are_replayed_as_their_imports_are(
        self, pattern: str, instrument: str, data: Path, tmp_path: Path
    ) -> None:
        for path in SAMPLES.glob(pattern):
            shutil.copy(path, data)
        status = assert_same_as_imported(data, tmp_path, instrument, 0, 2_000_000_000_000)
        assert status["rows"] + status["trades"] > 0

    def test_lines_that_cannot_be_read_are_counted_as_those_of_an_import(
        self, market: Market, data: Path, tmp_path: Path
    ) -> None:
        lines = writers.okx_lines(market)
        lines[20] = lines[20][:50]
        name = "BTC-USDT-L2orderbook-400lv-2025-06-09.data"
        writers.gzipped(data / f"{name}.gz", writers.lines(lines))
        status = assert_same_as_imported(data, tmp_path, "BTC-USDT", START, START + DAY)
        assert status["counts"]["rows_skipped"] == 1

    def test_an_archive_named_itself_is_replayed_whatever_it_is_called(
        self, market: Market, tmp_path: Path
    ) -> None:
        path = writers.okx_books(tmp_path, market).rename(tmp_path / "x.y")
        assert [book.instrument for book in found(path).recording.books] == ["BTC-USDT"]

    def test_a_chain_has_many_instruments(self, data: Path, tmp_path: Path) -> None:
        contracts = ["BTC-USD-250627", "BTC-USD-250926"]
        lines: list[str] = []
        for number, name in enumerate(contracts):
            lines += writers.okx_lines(made_up(tmp_path, 2 + number, instrument=name))
        path = data / "BTC-USD-futureschain-L2orderbook-400lv-2025-06-09.data.gz"
        writers.gzipped(path, writers.lines(lines))
        for name in contracts:
            assert [book.instrument for book in found(data, name).recording.books] == [name]
        with pytest.raises(NothingToReplayError, match="no recording of ETH-USD-250627"):
            found(data, "ETH-USD-250627")

    def test_an_instrument_of_many_may_begin_further_on(self, data: Path) -> None:
        lines = ["exchange,symbol,timestamp,local_timestamp,id,side,price,amount"]
        for number, name in enumerate(["A-PERP", "B-PERP"] * 600 + ["C-PERP"]):
            time = START * 1000 + number
            lines.append(f"x,{name},{time},{time},{number},buy,1,1")
        writers.gzipped(data / "all.csv.gz", writers.lines(lines))
        assert [one.instrument for one in found(data, "C-PERP").recording.trades] == ["C-PERP"]


class TestReadOnce:
    def test_it_is_read_once_and_nothing_is_written_beside_it(
        self, market: Market, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writers.okx_books(data, market)
        first = found(data)
        monkeypatch.setattr(archive_cache, "import_file", pytest.fail)
        assert found(data).files == first.files
        assert [path.name for path in data.iterdir()] == [TAR]

    def test_one_that_has_changed_is_read_again_and_that_is_said(
        self, market: Market, data: Path, cache: Path, capsys: pytest.CaptureFixture[str]
    ) -> None:
        path = writers.okx_books(data, market)
        before, reading = path.stat(), ArchiveCache(lambda _: None)
        reading.read(path)
        reading._cache.release()
        writers.okx_books(data, later(market, 0.25))
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
        assert found(data).recording.first_ms == START + DAY // 4
        assert f"{path} has changed since it was read" in capsys.readouterr().err
        assert len([*cache.iterdir()]) == 1

    def test_a_killed_reading_leaves_nothing_that_is_taken_for_whole(
        self, market: Market, data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        writers.okx_books(data, market)
        wanted = names(found(data))
        (entry,) = cache.iterdir()
        (recording,) = entry.glob("*.db")
        left = entry / f".{recording.name}.0123456789ab.tmp"
        left.write_bytes(recording.read_bytes()[:999])
        recording.write_bytes(b"")
        assert names(found(data)) == wanted
        assert not left.exists()

    def test_what_another_run_is_reading_is_waited_for_and_not_read_twice(
        self, market: Market, data: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = writers.okx_books(data, market)
        said: list[str] = []
        waits = threading.Event()

        def waiting(line: str) -> None:
            said.append(line)
            waits.set()

        def slow(*given: Any) -> Any:
            first_reads.set()
            assert waits.wait(60)
            return import_file(*given)

        first_reads = threading.Event()
        monkeypatch.setattr(archive_cache, "import_file", slow)
        with ThreadPoolExecutor() as pool:
            first = pool.submit(ArchiveCache(said.append).read, path)
            assert first_reads.wait(60)
            second = pool.submit(ArchiveCache(waiting).read, path)
            assert (first.result().imported is None, second.result().imported) == (False, None)
        assert said == [f"{path} is being read by another run, which is waited for"]

    def test_what_is_not_used_makes_room(
        self, market: Market, data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(archive_cache, "MAX_ARCHIVES", 1)
        paths = [writers.okx_books(data, market), writers.okx_trades(data, market)]
        kept = []
        for path in paths:
            reading = ArchiveCache(lambda _: None)
            kept.append(reading.read(path).recording)
            reading._cache.release()
        assert [path.exists() for path in kept] == [False, True]

    def test_one_that_grows_while_it_is_read_is_not_kept(
        self, market: Market, data: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        path = writers.okx_books(data, market)

        def grow(*given: Any) -> Any:
            done = import_file(*given)
            with path.open("ab") as file:
                file.write(b"more")
            return done

        monkeypatch.setattr(archive_cache, "import_file", grow)
        with pytest.raises(SourceError, match="changed while it was read"):
            found(path)
        assert not [*cache.rglob("*.db")]


class TestCut:
    def test_what_is_before_the_cut_counts_and_the_run_says_why_it_failed(
        self, market: Market, data: Path, tmp_path: Path
    ) -> None:
        many = [row._replace(timestamp=row.timestamp + n) for n in range(9) for row in market.rows]
        path = data / "BTC-USDT-L2orderbook-400lv-2025-06-09.data.gz"
        writers.gzipped(path, writers.lines(writers.okx_lines(replace(market, rows=many))))
        path.write_bytes(path.read_bytes()[: path.stat().st_size * 2 // 3])
        for attempt in ("first", "again"):
            written = written_of(
                found(data).recording,
                ReplayOptions("BTC-USDT", START, START + DAY),
                tmp_path / attempt,
            )
            status = json.loads(written["status_data.json"])
            assert status["state"] == "failed"
            assert status["reason"].startswith(f"{path}: cut short or damaged")
            assert status["reason"].endswith(f"; the {status['rows']:,} rows before are used")
            assert 0 < status["rows"] < len(many)

    def test_a_zip_cut_short_fails_a_run_that_may_need_it(self, market: Market, data: Path) -> None:
        path = writers.okx_trades(data, market)
        path.write_bytes(path.read_bytes()[:-40])
        with pytest.raises(RecordingError, match=r"no whole zip .* do not cover the range"):
            found(data)


class TestOnlyWhatIsAsked:
    @pytest.mark.parametrize(
        ("name", "symbol", "hours"),
        [
            (TAR, "BTC-USDT", 0),
            (ZIP, "BTC-USDT", -8),
            ("okex_incremental_book_L2_2025-06-09_BTC-USDT.csv.gz", "BTC-USDT", 0),
            ("binance-futures_trades_2025-06-09_BTCUSDT.csv.gz", "BTCUSDT", 0),
            ("2025-06-09_BTCUSDT_ob500.data.zip", "BTCUSDT", 0),
            ("BTCUSDT2025-06-09.csv.gz", "BTCUSDT", 0),
            ("BTCUSDT_2025-06-09.csv.gz", "BTCUSDT", 0),
        ],
    )
    def test_names_say_instrument_and_day(self, name: str, symbol: str, hours: int) -> None:
        parsed = parse_name(Path(name))
        assert parsed
        assert (parsed.symbol, parsed.end_ms - parsed.first_ms) == (symbol, DAY)
        assert parsed.first_ms == START + hours * 3_600_000
        assert parsed.may_have(symbol)
        assert not parsed.may_have("ETH-USDT")

    def test_those_of_other_instruments_and_days_are_not_opened(
        self, market: Market, data: Path, cache: Path
    ) -> None:
        writers.okx_books(data, market)
        for name in (TAR.replace("BTC-", "ETH-"), TAR.replace("06-09", "06-07"), "notes.txt"):
            (data / name).write_bytes(b"no archive at all")
        assert names(found(data)) == ["BTC-USDT-L2orderbook-400lv-2025-06-09.okx.db"]
        assert len([*cache.iterdir()]) == 1

    def test_what_was_said_before_midnight_and_received_after_it_is_replayed(
        self, market: Market, data: Path, cache: Path
    ) -> None:
        early = later(market, 1)
        trades = [early.trades[0]._replace(timestamp=START + DAY - 30), *early.trades[1:]]
        for day, one in (("2025-06-10", replace(early, trades=trades)), ("2025-06-09", market)):
            path = writers.tardis_trades(data, one)
            path.rename(data / f"okex_trades_{day}_BTC-USDT.csv.gz")
            of_day(writers.tardis_books(data, one), day)
        recording = found(data).recording
        assert [len(recording.books), len(recording.trades)] == [1, 2]
        assert len([*cache.iterdir()]) == 3

    def test_a_day_that_begins_with_updates_is_read_from_the_snapshot_before_it(
        self, market: Market, data: Path, cache: Path
    ) -> None:
        updates = later(replace(market, rows=[r._replace(snapshot=False) for r in market.rows]), 1)
        for day, one in (
            ("2025-06-08", later(market, -1)), ("2025-06-10", updates), ("2025-06-09", market)
        ):  # fmt: skip
            of_day(writers.okx_books(data, one), day)
        recording = found(data, start_ms=START + DAY, end_ms=START + 2 * DAY).recording
        assert len(recording.books) == 2
        assert [path.stem[-14:] for path in cache.rglob("*.db")].count("2025-06-08.okx") == 0
        assert len([*cache.iterdir()]) == 2

    def test_of_a_name_that_says_nothing_the_content_tells(
        self, market: Market, data: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (other := writers.okx_books(data, made_up(data.parent, 3, instrument="ETH-USDT"))).rename(
            other.with_name("a.tar.gz")
        )
        writers.okx_books(data, market).rename(data / "b.tar.gz")
        writers.okx_books(data, later(market, -3)).rename(data / "c.tar.gz")
        assert len(found(data).recording.books) == 1
        assert f"{data / 'c.tar.gz'}: left out, it begins at 2025-06-06" in caplog.text
        assert "a.tar.gz" not in caplog.text


class TestBesideDatabases:
    def test_days_of_both_are_one_replay(self, market: Market, data: Path) -> None:
        write(data / "BTC-USDT-25-06-10.db", [snapshot(DAY)], [trade(DAY)])
        writers.okx_books(data, market)
        writers.okx_trades(data, market)
        recording = found(data, end_ms=START + 2 * DAY).recording
        assert [len(recording.books), len(recording.trades)] == [2, 2]

    def test_a_database_that_has_the_whole_time_is_used_and_the_archive_left_out(
        self, market: Market, data: Path, cache: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        rows = [snapshot(at) for at in range(0, DAY, 60_000)]
        write(data / "BTC-USDT.db", rows, [trade(0)])
        path = writers.okx_books(data, market)
        assert found(data).files == ()
        assert f"{path}: left out, its book is in BTC-USDT.db" in caplog.text
        assert not cache.exists() or not [*cache.iterdir()]

    def test_an_archive_that_has_the_whole_time_is_used_and_the_database_left_out(
        self, market: Market, data: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        database = write(
            data / "BTC-USDT.db", [snapshot(at) for at in range(0, 600_000, 1000)], [trade(0)]
        )
        path = writers.okx_books(data, market)
        both = found(data).recording
        assert [book.path.name for book in both.books] == [
            "BTC-USDT-L2orderbook-400lv-2025-06-09.okx.db"
        ]
        assert [one.path for one in both.trades] == [database]
        assert f"{database}: its book rows are left out, those of {path}" in caplog.text

    @pytest.mark.parametrize("seconds", [1, 50])
    def test_a_little_of_the_same_in_a_database_is_not_counted_twice(
        self, market: Market, data: Path, seconds: int
    ) -> None:
        rows = [snapshot(at) for at in range(0, seconds * 1000, 100)]
        write(data / "BTC-USDT.db", rows, [trade(DAY)])
        writers.okx_books(data, market)
        assert len(found(data).recording.books) == 1

    def test_a_database_before_the_range_is_not_mixed_with_an_archive_of_its_time(
        self, market: Market, data: Path
    ) -> None:
        write(data / "BTC-USDT.db", [snapshot(10_000), snapshot(90_000)], [trade(0)])
        many = [
            row._replace(timestamp=row.timestamp + n * 60_000)
            for n in range(9)
            for row in market.rows
        ]
        writers.okx_books(data, replace(market, rows=many))
        assert len(found(data, start_ms=START + 200_000).recording.books) == 1

    def test_where_neither_has_all_the_user_is_asked(self, market: Market, data: Path) -> None:
        rows = [snapshot(at) for at in range(DAY // 2, DAY + DAY // 2, 60_000)]
        write(data / "BTC-USDT.db", rows, [trade(0)])
        writers.okx_books(data, market)
        with pytest.raises(SourceError, match="have book rows of the same time, and neither"):
            found(data, end_ms=START + 2 * DAY)

    def test_where_they_merely_meet_both_are_used_and_that_is_said(
        self, market: Market, data: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        write(data / "BTC-USDT.db", [snapshot(DAY - 100), snapshot(DAY)], [trade(DAY)])
        writers.okx_books(data, market)
        assert len(found(data, end_ms=START + 2 * DAY).recording.books) == 2
        assert "meet for up to 0.1 s, from 2025-06-09 23:59:59 UTC: the book rows" in caplog.text

    def test_a_book_that_goes_on_from_a_database_is_not_mixed_with_an_archive_of_its_time(
        self, market: Market, data: Path
    ) -> None:
        rows = [(START + at, '[["999", "1"]]', "[]") for at in range(-600_000, 600_000, 1000)]
        write(data / "BTC-USDT.db", rows, [trade(0)])
        of_day(writers.okx_books(data, later(market, -0.5)), "2025-06-08")
        assert len(found(data).recording.books) == 1

    def test_the_import_of_an_archive_is_used_and_the_archive_is_not_mentioned(
        self, market: Market, data: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        for write_archive in (writers.okx_books, writers.okx_trades):
            import_file(write_archive(data, market), ImportOptions(data))
        assert found(data).files == ()
        assert not caplog.records

    def test_books_of_one_time_from_two_sources_are_not_mixed(
        self, market: Market, data: Path
    ) -> None:
        writers.okx_books(data, market)
        writers.tardis_books(data, market)
        with pytest.raises(SourceError, match="have the same time: which one is meant"):
            found(data)

    def test_days_of_two_sources_follow_one_another(self, market: Market, data: Path) -> None:
        second = later(market, 1)
        rows = [second.rows[0]._replace(timestamp=START + DAY - 30), *second.rows[1:]]
        of_day(writers.tardis_books(data, replace(second, rows=rows)), "2025-06-10")
        writers.okx_books(data, market)
        assert len(found(data, end_ms=START + 2 * DAY).recording.books) == 2

    def test_a_name_in_other_case_finds_databases_and_archives(
        self, market: Market, data: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        of_day(writers.okx_books(data, later(market, 1)), "2025-06-10")
        both = found(data, "btc-usdt", end_ms=START + 2 * DAY).recording
        write(data / "BTC-USDT.db", [snapshot(0)], [trade(0)])
        assert len(both.books) == 1
        caplog.clear()
        assert len(found(data, "btc-usdt", end_ms=START + 2 * DAY).recording.books) == 2
        assert caplog.messages == ["no recording of btc-usdt; BTC-USDT is replayed"]


class TestUnknownFiles:
    def test_a_directory_of_other_files_says_which_they_are_and_how_to_import_them(
        self, market: Market, data: Path
    ) -> None:
        writers.binance_trades(data, market)
        (data / "notes.txt").write_text("hello")
        with pytest.raises(NothingToReplayError) as caught:
            found(data)
        assert str(caught.value).endswith(
            "uv run -m formats import FILE… --into DIR makes recordings of "
            "BTCUSDT-trades-2025-06-09.zip (Binance trades)"
        )

    def test_a_directory_of_files_that_nobody_knows_names_them(self, data: Path) -> None:
        (data / "notes.txt").write_text("hello")
        with pytest.raises(NothingToReplayError) as caught:
            found(data)
        assert "notes.txt: of no format that uv run -m formats import FILE…" in str(caught.value)

    def test_archives_of_others_are_named_with_their_days(self, market: Market, data: Path) -> None:
        writers.okx_books(data, market)
        with pytest.raises(NothingToReplayError, match=r"there are archives of BTC-USDT \(2025-06"):
            found(data, "ETH-USDT")
        with pytest.raises(NothingToReplayError, match="no row of BTC-USDT in the range under"):
            found(data, start_ms=START + 5 * DAY, end_ms=START + 6 * DAY)

    def test_a_file_of_another_importer_names_it(self, market: Market, tmp_path: Path) -> None:
        path = writers.binance_trades(tmp_path, market)
        with pytest.raises(SourceError) as caught:
            found(path)
        assert str(caught.value) == (
            f"{path} (Binance trades) is not replayed as it is: uv run -m formats import {path} "
            "--into DIR makes a recording of it"
        )

    def test_a_file_that_nobody_knows_is_said_with_how_it_begins(self, tmp_path: Path) -> None:
        path = tmp_path / "x.bin"
        path.write_text("hello")
        with pytest.raises(SourceError, match="not recognised as a file to import: it begins"):
            found(path)


class TestCommand:
    ASKED = ("BTC-USDT", "2025-06-09", "2025-06-10", "--no-ui", "--json", "--data-dir")

    def test_main_replays_archives_and_says_in_the_status_which_files_they_became(
        self, market: Market, data: Path, tmp_path: Path
    ) -> None:
        writers.okx_books(data, market)
        writers.okx_trades(data, market)
        done = run_program("main.py", *self.ASKED, data, "--output-dir", tmp_path / "out")
        assert done.returncode == 0, done.stderr
        summary = json.loads(done.stdout)
        assert (summary["rows"], summary["trades"]) == (len(market.rows), len(market.trades))
        status = json.loads((tmp_path / "out" / "status_data.json").read_bytes())
        assert sorted(Path(path).name for path in status["files"]) == names(found(data))
        run = Run("BTC-USDT", data, START, START + DAY, files=tuple(map(Path, status["files"])))
        answer = MomentService(run).answer({"row": len(market.rows)})
        assert answer["bids"] == books_of(market.rows)[-1][1][:50]

    @pytest.mark.thorough
    def test_a_file_that_is_cut_ends_with_1_and_one_line(
        self, market: Market, data: Path, tmp_path: Path
    ) -> None:
        lines = writers.lines(writers.okx_lines(market) * 20)
        path = data / "BTC-USDT-L2orderbook-400lv-2025-06-09.data.gz"
        writers.gzipped(path, lines)
        path.write_bytes(path.read_bytes()[:-2000])
        done = run_program("main.py", *self.ASKED, data, "--output-dir", tmp_path / "out", "-q")
        assert done.returncode == 1
        assert done.stderr.startswith(f"Error: {path}: cut short or damaged")
        assert done.stderr.count("\n") == 1

    @pytest.mark.thorough
    def test_a_replay_of_databases_beside_other_archives_imports_nothing_that_reads_them(
        self, market: Market, data: Path, tmp_path: Path
    ) -> None:
        write(data / "BTC-USDT.db", [snapshot(0), snapshot(100)])
        writers.okx_books(data, replace(market, instrument="ETH-USDT"))
        (data / "README.md").write_text("mine")
        code = (
            "import sys; sys.path.insert(0, '.')\n"
            "import main\n"
            "from typer.main import get_command\n"
            "get_command(main.app)(sys.argv[1:], standalone_mode=False)\n"
            "heavy = {'pyarrow', 'zstandard', 'formats.sources', 'formats.recognition'}\n"
            "assert not heavy & sys.modules.keys()\n"
        )
        done = run_program("-c", code, *self.ASKED, data, "--output-dir", tmp_path / "out")
        assert done.returncode == 0, done.stderr
