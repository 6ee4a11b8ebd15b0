import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import synthetic_market
from orderflow.errors import OrderflowError, OutputError
from simulator.market_model import DEMO, DEPTH, MarketDensity
from synthetic_market import BUSY, NORMAL, QUIET, demo_recording, write_recording

START = 1_749_427_200_000  # 2025-06-09, UTC
DAY = 86_400_000
PROGRAM = Path(synthetic_market.__file__)

Book = dict[float, float]


class Change(NamedTuple):
    known: bool
    rank: int
    size: float
    size_before: float | None


def read(path: Path, sql: str) -> list[Any]:
    with closing(sqlite3.connect(path)) as connection:
        return connection.execute(sql).fetchall()


def book_rows(path: Path, limit: int = -1) -> list[Any]:
    return read(path, f"SELECT bids, asks, timestamp FROM book ORDER BY id LIMIT {limit}")


def trade_rows(path: Path) -> list[Any]:
    return read(path, "SELECT price, size, side, timestamp FROM trades ORDER BY id")


def replay(rows: list[Any]) -> Iterator[tuple[int, Book, Book]]:
    """Apply rows to two dicts: as simple as a book can be."""
    bids: Book = {}
    asks: Book = {}
    for bid_text, ask_text, timestamp in rows:
        for side, text in ((bids, bid_text), (asks, ask_text)):
            for price, size, *_ in json.loads(text):
                if size == "0":
                    side.pop(float(price), None)
                else:
                    side[float(price)] = float(size)
        yield timestamp, bids, asks


def changes_of(rows: list[Any]) -> list[Change]:
    found: list[Change] = []
    for sign, column in ((-1, 0), (1, 1)):
        book: Book = {}
        for number, row in enumerate(rows):
            keys = sorted(sign * price for price in book)
            for text, size_text, *_ in json.loads(row[column]) if number else []:
                price = float(text)
                rank = bisect_left(keys, sign * price) + 1
                found.append(Change(price in book, rank, float(size_text), book.get(price)))
            for text, size_text, *_ in json.loads(row[column]):
                book[float(text)] = float(size_text)
            book = {price: size for price, size in book.items() if size}
    return found


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("busy") / "BTC-USDT_2025-06-09.db"
    write_recording(path, "BTC-USDT", START, START + 400_000, seed=7, density=BUSY)
    return path


@pytest.fixture(scope="module")
def busy_changes(busy: Path) -> list[Change]:
    return changes_of(book_rows(busy))


@pytest.fixture(scope="module")
def hour(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("hour") / "hour.db"
    write_recording(path, "BTC-USDT", START, START + 3_600_000, seed=3)
    return path


def share(changes: list[Change], wanted: Callable[[Change], bool]) -> float:
    return sum(1 for change in changes if wanted(change)) / len(changes)


def test_the_schema_is_the_input_schema(busy: Path) -> None:
    assert read(busy, "SELECT name, sql FROM sqlite_master ORDER BY name") == [
        (
            "book",
            "CREATE TABLE book(id INTEGER PRIMARY KEY, instrument TEXT, bids TEXT, asks TEXT, "
            "timestamp INTEGER)",
        ),
        (
            "trades",
            "CREATE TABLE trades(id INTEGER PRIMARY KEY, instrument TEXT, trade_id TEXT, "
            "price REAL, size REAL, side TEXT, timestamp INTEGER)",
        ),
    ]
    assert read(busy, "SELECT DISTINCT instrument FROM book") == [("BTC-USDT",)]
    assert read(busy, "SELECT DISTINCT instrument FROM trades") == [("BTC-USDT",)]
    assert read(busy, "SELECT DISTINCT side FROM trades ORDER BY 1") == [("buy",), ("sell",)]
    assert read(busy, "SELECT count(DISTINCT trade_id) - count(*) FROM trades") == [(0,)]
    assert read(busy, "PRAGMA integrity_check") == [("ok",)]


def test_index_indexes_both_timestamps(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    write_recording(path, "BTC-USDT", START, START + 1000, index=True)
    assert read(path, "SELECT tbl_name FROM sqlite_master WHERE type = 'index' ORDER BY 1") == [
        ("book",),
        ("trades",),
    ]


def test_the_first_row_is_a_snapshot_of_the_window(busy: Path) -> None:
    bids, asks, timestamp = book_rows(busy, 1)[0]
    assert (len(json.loads(bids)), len(json.loads(asks))) == (DEPTH, DEPTH)
    assert timestamp == START


def test_levels_are_four_strings_best_first_each_price_once(busy: Path) -> None:
    for bids, asks, _ in book_rows(busy):
        for text, sign in ((bids, -1), (asks, 1)):
            levels = json.loads(text)
            assert json.dumps(levels, separators=(",", ":")) == text
            keys = [sign * float(price) for price, _, _, _ in levels]
            assert keys == sorted(set(keys))
            assert all(orders == "0" for _, size, _, orders in levels if size == "0")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "density", [QUIET, NORMAL, BUSY, DEMO], ids=["quiet", "normal", "busy", "demo"]
)
@pytest.mark.parametrize("instrument", ["BTC-USDT", "ETH-USDT", "PEPE-USDT-SWAP"])
@pytest.mark.parametrize("duration", [200_000, 30 * DAY])
def test_the_book_is_never_crossed_and_keeps_its_depth(
    tmp_path: Path, density: MarketDensity, instrument: str, duration: int
) -> None:
    path = tmp_path / "x.db"
    end = START + duration
    write_recording(path, instrument, START, end, seed=1, density=density, max_rows=2000)
    for _, bids, asks in replay(book_rows(path)):
        assert len(bids) == len(asks) == DEPTH
        assert max(bids) < min(asks)
        assert min(bids) > 0


@pytest.mark.thorough
def test_trades_happen_at_the_touch(hour: Path) -> None:
    states = replay(book_rows(hour))
    upcoming = next(states)
    trades = trade_rows(hour)
    touch = (0.0, 0.0)
    for price, size, side, timestamp in trades:
        while upcoming[0] <= timestamp:
            touch = (max(upcoming[1]), min(upcoming[2]))
            upcoming = next(states, (sys.maxsize, {}, {}))
        assert price == touch[side == "buy"]
        assert size > 0
    assert [row[3] for row in trades] == sorted(row[3] for row in trades)


def test_rows_come_about_every_100_ms(hour: Path) -> None:
    times = [row[2] for row in book_rows(hour)]
    gaps = [after - before for before, after in pairwise(times)]
    assert len(times) == 36_000
    assert 60 < min(gaps) < 80
    assert 120 < max(gaps) < 140
    assert times[0] == START
    assert times[-1] < START + 3_600_000


def test_busy_rows_are_as_long_as_a_busy_book_sends(busy: Path) -> None:
    rows = book_rows(busy)[1:]
    counts = sorted(len(json.loads(row[side])) for row in rows for side in (0, 1))
    assert 2 * sum(counts) / len(counts) == pytest.approx(43, abs=3)
    assert sum(len(row[0]) + len(row[1]) for row in rows) / len(rows) == pytest.approx(1270, abs=70)
    assert counts[len(counts) // 2] == pytest.approx(18.5, abs=3)  # OKX: 20 bids, 17 asks
    assert counts[len(counts) * 99 // 100] == pytest.approx(80, abs=20)  # OKX: 91 bids, 72 asks


@pytest.mark.parametrize(
    ("density", "levels"), [(QUIET, 4), (NORMAL, 16), (BUSY, 44)], ids=["quiet", "normal", "busy"]
)
def test_density_sets_the_levels_of_a_row(
    tmp_path: Path, density: MarketDensity, levels: float
) -> None:
    made = write_recording(
        tmp_path / "x.db", "BTC-USDT", START, START + 500_000, seed=2, density=density
    )
    assert (made.levels - 2 * DEPTH) / made.rows == pytest.approx(levels, rel=0.25)


@pytest.mark.thorough
def test_changes_have_the_shares_of_a_real_book(busy_changes: list[Change]) -> None:
    # beside each the value of OKX BTC-USDT
    assert share(busy_changes, lambda c: c.size == 0) == pytest.approx(0.45, abs=0.03)
    assert share(busy_changes, lambda c: c.rank == 1) == pytest.approx(0.06, abs=0.02)
    assert share(busy_changes, lambda c: c.rank <= 25) == pytest.approx(0.39, abs=0.05)
    assert share(busy_changes, lambda c: c.size == 0 and not c.known) == pytest.approx(
        0.1, abs=0.03
    )
    assert share(busy_changes, lambda c: c.size == c.size_before) == pytest.approx(0.05, abs=0.02)
    ranks = sorted(change.rank for change in busy_changes)
    assert ranks[len(ranks) // 2] == pytest.approx(39, abs=8)
    assert ranks[len(ranks) * 9 // 10] >= 390


def test_there_are_heartbeats(hour: Path) -> None:
    beats = sum(row[:2] == ("[]", "[]") for row in book_rows(hour))
    assert 10 < beats < 200


def fano_factor(times: list[int]) -> float:
    counts = Counter((time - START) // 1000 for time in times)
    mean = len(times) / 3600
    return sum((counts[second] - mean) ** 2 for second in range(3600)) / 3600 / mean


def test_orders_set_off_orders(hour: Path) -> None:
    trades = trade_rows(hour)
    mean = len(trades) / 3600
    times = [row[3] for row in trades]
    assert 3.5 < fano_factor(times) < 20  # Poisson's is 1
    assert 1.8 < fano_factor(sorted(set(times))) < 10  # without the fills of one order
    pairs = list(pairwise(trades))
    assert mean == pytest.approx(7.5, abs=1.5)
    assert sum(a[3] == b[3] for a, b in pairs) / len(pairs) == pytest.approx(0.42, abs=0.03)
    assert sum(a[2] == b[2] for a, b in pairs) / len(pairs) > 0.7
    assert sum(row[2] == "buy" for row in trades) / len(trades) == pytest.approx(0.5, abs=0.1)


def test_trade_sizes_have_a_heavy_tail(hour: Path) -> None:
    sizes = sorted(row[1] for row in trade_rows(hour))
    assert sizes[len(sizes) * 99 // 100] > 50 * sizes[len(sizes) // 2]


def test_volatility_clusters(hour: Path) -> None:
    mids = [max(bids) + min(asks) for _, bids, asks in replay(book_rows(hour))][::10]
    steps = [abs(after - before) for before, after in pairwise(mids)]
    mean = sum(steps) / len(steps)
    variance = sum((step - mean) ** 2 for step in steps) / len(steps)
    lagged = sum((a - mean) * (b - mean) for a, b in zip(steps, steps[5:], strict=False))
    assert lagged / len(steps) / variance > 0.05


def test_a_seed_means_the_same_bytes(tmp_path: Path) -> None:
    made = {}
    for name, seed in (("a", 5), ("b", 5), ("c", 6)):
        write_recording(tmp_path / name, "BTC-USDT", START, START + 20_000, seed=seed)
        made[name] = (tmp_path / name).read_bytes()
    assert made["a"] == made["b"] != made["c"]


def test_the_summary_counts_what_is_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    made = write_recording(path, "ETH-USDT", START, START + 30_000)
    rows = book_rows(path)
    assert (made.path, made.instrument, made.rows) == (path, "ETH-USDT", 300)
    assert len(rows) == 300
    assert made.trades == len(trade_rows(path))
    assert made.levels == sum(len(json.loads(row[0])) + len(json.loads(row[1])) for row in rows)
    assert made.text_bytes == sum(len(row[0]) + len(row[1]) for row in rows)
    assert (made.first_ms, made.last_ms) == (START, rows[-1][2])
    assert made.levels_per_row == made.levels / 300
    assert made.bytes_per_row == made.text_bytes / 300


@pytest.mark.parametrize(("instrument", "price"), [("BTC-USDT", 105_000), ("ETH-USDT", 3_500)])
def test_the_price_suits_the_instrument(tmp_path: Path, instrument: str, price: float) -> None:
    write_recording(tmp_path / "x.db", instrument, START, START + 1000)
    best = float(json.loads(book_rows(tmp_path / "x.db")[0][0])[0][0])
    assert best == pytest.approx(price, rel=0.01)


def test_max_rows_stretches_rows_and_trades_over_the_range(tmp_path: Path) -> None:
    path = tmp_path / "x.db"
    made = write_recording(path, "BTC-USDT", START, START + DAY, max_rows=10_000, density=DEMO)
    assert made.rows == len(book_rows(path)) == 10_000
    hours = {row[3] // 3_600_000 for row in trade_rows(path)}
    assert len(hours) == 24
    assert len({row[2] // 60_000 for row in book_rows(path)}) == 1440


@pytest.mark.parametrize("duration", [1, 99, 101, 300_000])
def test_short_ranges_stay_inside(tmp_path: Path, duration: int) -> None:
    path = tmp_path / "x.db"
    made = write_recording(path, "BTC-USDT", START, START + duration)
    assert made.rows == -(-duration // 100)
    assert made.last_ms < START + duration
    assert all(START <= row[3] < START + duration for row in trade_rows(path))


def test_an_empty_range_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OrderflowError, match=r"from 5 to 5 ms is empty: its end must come after"):
        write_recording(tmp_path / "x.db", "BTC-USDT", 5, 5)


def test_no_rows_are_refused(tmp_path: Path) -> None:
    with pytest.raises(OrderflowError, match="at least 1 book row, not 0"):
        write_recording(tmp_path / "x.db", "BTC-USDT", 0, 5, max_rows=0)


def test_nothing_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "x.db").write_text("precious")
    with pytest.raises(OutputError, match=r"x\.db exists already: name another file"):
        write_recording(tmp_path / "x.db", "BTC-USDT", START, START + 1000)
    assert (tmp_path / "x.db").read_text() == "precious"


def test_a_missing_directory_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"x\.db can't be written: .*Look at its directory"):
        write_recording(tmp_path / "none" / "x.db", "BTC-USDT", START, START + 1000)


def test_only_old_leftovers_of_the_same_file_go(tmp_path: Path) -> None:
    for name in (".x.db.0123456789ab.tmp", ".x.db.fresh.tmp", ".y.db.0123456789ab.tmp"):
        (tmp_path / name).touch()
        if "fresh" not in name:
            os.utime(tmp_path / name, (0, 0))
    write_recording(tmp_path / "x.db", "BTC-USDT", START, START + 1000)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".x.db.fresh.tmp",
        ".y.db.0123456789ab.tmp",
        "x.db",
    ]


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(PROGRAM), *arguments], capture_output=True, text=True, check=False
    )


def test_a_full_disk_leaves_nothing_behind(tmp_path: Path) -> None:
    limited = (
        "import resource, runpy, sys;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20));"
        f"sys.argv = ['x', {str(tmp_path / 'x.db')!r}, '--rows', '9000'];"
        f"runpy.run_path({str(PROGRAM)!r}, run_name='__main__')"
    )
    environment = {**os.environ, "PYTHONPATH": str(PROGRAM.parent)}
    done = subprocess.run(
        [sys.executable, "-c", limited],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 1
    assert "x.db can't be written: " in done.stderr
    assert "Traceback" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_an_interrupted_run_leaves_nothing_behind(tmp_path: Path) -> None:
    command = [sys.executable, str(PROGRAM), str(tmp_path / "x.db"), "--rows", "100000000"]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        while not any(path.stat().st_size for path in tmp_path.iterdir()):
            assert process.poll() is None
            time.sleep(0.02)
        assert not (tmp_path / "x.db").exists()
        process.send_signal(signal.SIGINT)
        process.communicate()
    assert process.returncode == 130
    assert list(tmp_path.iterdir()) == []


def test_the_command_says_what_it_made(tmp_path: Path) -> None:
    out = tmp_path / "OUT.db"
    done = run(
        str(out), "--instrument", "ETH-USDT", "--start", "2025-06-09", "--rows", "500",
        "--density", "busy", "--seed", "1", "--index",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    assert f"{out}: 500 book rows (" in done.stdout.replace("\n", "")
    assert "trades of ETH-USDT" in done.stdout
    assert book_rows(out, 1)[0][2] == START
    again = run(str(out))
    assert again.returncode == 1
    assert again.stderr.startswith(f"Error: {out} exists already")


def test_the_command_spreads_rows_until_end(tmp_path: Path) -> None:
    out = tmp_path / "x.db"
    done = run(str(out), "--start", "2025-06-09T12:00", "--end", "2025-06-10", "--rows", "100")
    assert done.returncode == 0
    times = [row[2] for row in book_rows(out)]
    assert len(times) == 100
    assert times[0] == START + DAY // 2
    assert times[-1] > START + DAY * 0.98


def test_the_command_knows_its_densities(tmp_path: Path) -> None:
    done = run(str(tmp_path / "x.db"), "--density", "wild")
    assert done.returncode == 2
    assert "quiet, normal, busy" in done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("minutes", [5, 120, 1440, 400 * 1440])
def test_a_demo_fills_any_range(tmp_path: Path, minutes: int) -> None:
    end = START + minutes * 60_000
    path = demo_recording("BTC-USDT", START, end, cache_dir=tmp_path)
    assert path.name == "BTC-USDT_2025-06-09.db"
    assert list(path.parent.iterdir()) == [path]
    times = [row[0] for row in read(path, "SELECT timestamp FROM book ORDER BY id")]
    assert len(times) == min(60_000, minutes * 600)
    assert times[0] == START
    assert end - 2 * (end - START) // len(times) < times[-1] < end
    traded = {row[3] // 60_000 for row in trade_rows(path)}
    assert len(traded) == minutes or (minutes > 1440 and len(traded) > 10_000)


def test_a_demo_is_made_once_and_the_same_everywhere(tmp_path: Path) -> None:
    end = START + 60_000
    first = demo_recording("BTC-USDT", START, end, cache_dir=tmp_path / "a")
    before = first.stat()
    assert demo_recording("BTC-USDT", START, end, cache_dir=tmp_path / "a") == first
    assert first.stat() == before
    other = demo_recording("BTC-USDT", START, end, cache_dir=tmp_path / "b")
    assert other.read_bytes() == first.read_bytes()
    longer = demo_recording("BTC-USDT", START, end + 1, cache_dir=tmp_path / "a")
    assert longer.parent != first.parent


@pytest.mark.parametrize("instrument", ["", "../x", "A B", "A*", "Ä-USDT", "A\n"])
def test_a_demo_takes_no_path_for_an_instrument(tmp_path: Path, instrument: str) -> None:
    with pytest.raises(OrderflowError, match="an instrument has only letters, digits"):
        demo_recording(instrument, START, START + 1000, cache_dir=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_cache_directory_is_the_users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERFLOW_CACHE_DIR", str(tmp_path / "named"))
    named = demo_recording("BTC-USDT", START, START + 1000)
    assert named.parent.parent == tmp_path / "named" / "orderflow-replay" / "demo"
    if sys.platform.startswith("linux"):
        monkeypatch.delenv("ORDERFLOW_CACHE_DIR")
        monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
        assert demo_recording("BTC-USDT", START, START + 1000).is_relative_to(tmp_path / "xdg")
        monkeypatch.delenv("XDG_CACHE_HOME")
        monkeypatch.setenv("HOME", str(tmp_path / "home"))
        at_home = demo_recording("BTC-USDT", START, START + 1000)
        assert at_home.is_relative_to(tmp_path / "home" / ".cache" / "orderflow-replay")


def test_an_unusable_cache_directory_is_said(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(OutputError, match=r"can't be used: .*ORDERFLOW_CACHE_DIR"):
        demo_recording("BTC-USDT", START, START + 1000, cache_dir=tmp_path / "file")


@pytest.mark.thorough
def test_the_demos_used_longest_ago_make_room_and_one_in_use_stays(tmp_path: Path) -> None:
    make = (
        "import sys, synthetic_market as s; s.MAX_DEMOS = 3\n"
        "for i in sys.argv[1:]:\n"
        "    print(s.demo_recording('BTC-USDT', 0, 1000 + int(i)).parent, flush=True)\n"
    )
    environment = {**os.environ, "ORDERFLOW_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-c", make]
    wait = [sys.executable, "-c", f"{make}sys.stdin.read()", "0"]

    def demos(*which: str) -> list[str]:
        done = subprocess.run(
            [*command, *which], capture_output=True, text=True, check=True,
            cwd=PROGRAM.parent, env=environment,
        )  # fmt: skip
        return done.stdout.split()

    with subprocess.Popen(
        wait, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        cwd=PROGRAM.parent, env=environment,
    ) as user:  # fmt: skip
        assert user.stdout is not None
        in_use = user.stdout.readline().strip()
        others = [path for which in "1234" for path in demos(which)]
        kept = sorted(map(str, Path(in_use).parent.iterdir()))
        assert kept == sorted([in_use, *others[2:]])
    (again,) = demos("1")
    assert again == others[0]
    assert not Path(in_use).exists()


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc/self/status")
def test_two_million_rows_take_no_more_memory(tmp_path: Path) -> None:
    # Not resource.getrusage: its peak begins with that of the process this one was forked from.
    measure = (
        "from pathlib import Path; from synthetic_market import *\n"
        f"made = write_recording(Path({str(tmp_path / 'x.db')!r}), 'BTC-USDT', 0, 200_000_000)\n"
        "status = Path('/proc/self/status').read_text()\n"
        "print(made.rows, status.split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", measure],
        capture_output=True, text=True, check=True, cwd=PROGRAM.parent,
    )  # fmt: skip
    rows, peak_kb = map(int, done.stdout.split())
    assert rows == 2_000_000
    assert peak_kb < 100_000
