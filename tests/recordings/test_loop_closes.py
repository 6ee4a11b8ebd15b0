"""The loop: recording, store, publisher, recorder, recording; the books and trades are equal."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
from aiohttp import ClientSession, ClientWebSocketResponse, WSMsgType, web
from places import PROJECT
from real_recordings import DATA, needs_recordings
from scripted_okx import PATIENCE, until

from exchanges.depth import TextBook
from exchanges.levels import Level, read_side
from orderflow.times import parse_moment
from synthetic_market import QUIET, write_recording

INSTRUMENT = "BTC-USDT"
DEPTH = 400


@contextmanager
def started(*arguments: object) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", *map(str, arguments)], stderr=subprocess.PIPE, text=True, cwd=PROJECT
    ) as process:
        try:
            yield process
        finally:
            process.kill()


@contextmanager
def publisher(store: Path) -> Iterator[str]:
    """Publish a store; give back the URL."""
    how = ("--store", store, "--port", 0, "--poll-seconds", 0.02)
    with started("simulator", "publish", "okx", *how) as process:
        assert process.stderr is not None
        yield process.stderr.readline().split()[1]


def query(path: Path, sql: str, *values: object) -> list[tuple[Any, ...]]:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10)) as connection:
        return connection.execute(sql, values).fetchall()


def last_time(directory: Path) -> int:
    found = [
        query(path, "SELECT max(timestamp) FROM (SELECT timestamp FROM book UNION ALL "
              "SELECT timestamp FROM trades)")[0][0] or 0
        for path in directory.glob("*.db")
    ]  # fmt: skip
    return max(found, default=0)


Row = tuple[int, str, str, bool]


def rows_of(paths: list[Path], instrument: str) -> Iterator[Row]:
    for path in paths:
        columns = {name for _, name, *_ in query(path, "PRAGMA table_info(book)")}
        action = "action = 'snapshot'" if "action" in columns else "0"
        sql = f"SELECT timestamp, bids, asks, {action} FROM book WHERE instrument = ? "
        for row in query(path, f"{sql} ORDER BY timestamp, id", instrument):
            yield cast(Row, row)


def books(rows: Iterator[Row]) -> dict[int, tuple[list[tuple[float, float]], ...]]:
    """Rebuild the book after the last row of each time, to the depth of the channel."""
    book = TextBook()
    found: dict[int, tuple[list[tuple[float, float]], ...]] = {}
    for timestamp, bids, asks, snapshot in rows:
        book.apply(read_side(bids)[0], read_side(asks)[0], snapshot=bool(snapshot))
        view = book.view(DEPTH)
        found[timestamp] = (numbers(view.bids), numbers(view.asks))
    return found


def numbers(levels: tuple[Level, ...]) -> list[tuple[float, float]]:
    return [(float(level.price), float(level.size)) for level in levels]


def trades_of(paths: list[Path], instrument: str) -> list[tuple[Any, ...]]:
    sql = (
        "SELECT trade_id, CAST(price AS REAL), CAST(size AS REAL), side, timestamp FROM trades "
        "WHERE instrument = ? ORDER BY timestamp, id"
    )
    found = [row for path in paths for row in query(path, sql, instrument)]
    return [(str(trade_id), *rest) for trade_id, *rest in found]


def losses(paths: list[Path]) -> list[tuple[str, int]]:
    kinds = "('recording', 'made_snapshot', 'clock_drift', 'duplicates')"
    sql = f"SELECT kind, count FROM recorder_events WHERE kind NOT IN {kinds} ORDER BY id"
    return [row for path in paths for row in query(path, sql)]


def close_loop(
    source: Path,
    tmp_path: Path,
    instrument: str,
    span: tuple[str, str],
    speed: str,
    between: Callable[[str], Any] | None = None,
) -> list[Path]:
    """Take a recording through the loop; return the files that the recorder wrote."""
    store, into = tmp_path / "store", tmp_path / "into"
    end = query(source, "SELECT max(timestamp) FROM book WHERE instrument = ?", instrument)[0][0]
    common = ("--data-dir", source, "--store", store, "--speed", speed)
    with started("simulator", "fetch", instrument, *span, *common) as fetch:
        until(lambda: b'"book"' in b"".join(p.read_bytes() for p in store.glob("*/*.jsonl")))
        fetch.send_signal(signal.SIGSTOP)  # or all would be over before somebody listens
        with publisher(store) as served:
            url = between(served) if between else served
            with started("recordings", "record", "okx", instrument, "--url", url, "--data-dir",
                         into) as record:  # fmt: skip
                until(lambda: last_time(into))
                fetch.send_signal(signal.SIGCONT)
                assert fetch.wait() == 0
                until(lambda: last_time(into) >= end, "the end did not come")
                record.send_signal(signal.SIGINT)
                assert record.wait(PATIENCE) == 130
    return sorted(into.glob("*.db"))


def check_equal(source: Path, recorded: list[Path], instrument: str, least: int) -> None:
    was, now = books(rows_of([source], instrument)), books(rows_of(recorded, instrument))
    common = was.keys() & now.keys()
    assert len(common) >= least
    assert [ms for ms in sorted(common) if was[ms] != now[ms]] == []
    traded = trades_of(recorded, instrument)
    assert traded
    wanted = trades_of([source], instrument)
    wanted = wanted[wanted.index(traded[0]) :]
    have = set(traded)
    missing = [trade for trade in wanted if trade not in have]
    assert traded == [trade for trade in wanted if trade in have]
    # On a busy machine the publisher may close a recorder that is slow; then that is counted.
    assert len(missing) == sum(n for kind, n in losses(recorded) if kind == "trades_missed")


@pytest.fixture(scope="module")
def midnight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("source") / f"{INSTRUMENT}.db"
    start, end = (parse_moment("", t) for t in ("2025-06-09T23:59:00", "2025-06-10T00:01:00"))
    write_recording(path, INSTRUMENT, start, end, density=QUIET)
    return path


SPAN = ("2025-06-09", "2025-06-11")


def test_what_is_recorded_of_the_simulator_over_midnight_equals_its_source(
    midnight: Path, tmp_path: Path
) -> None:
    recorded = close_loop(midnight, tmp_path, INSTRUMENT, SPAN, "20")
    assert [path.stem[-8:] for path in recorded] == ["25-06-09", "25-06-10"]
    check_equal(midnight, recorded, INSTRUMENT, least=300)
    assert losses(recorded) == []


@needs_recordings
@pytest.mark.thorough
@pytest.mark.parametrize(
    ("stem", "instrument", "speed", "least"),
    [
        ("binance_spot_ethusdt_20240808", "ETH-USDT", "20", 5000),
        ("binance_usdm_btcusdt_20240718", "BTC-USDT-SWAP", "20", 5000),
        ("okx_v5_202205", "BTC-USDT", "1", 30),
    ],
)
def test_what_is_recorded_of_a_real_recording_equals_it(
    stem: str, instrument: str, speed: str, least: int, tmp_path: Path
) -> None:
    source = DATA / f"{stem}.db"
    recorded = close_loop(source, tmp_path, instrument, ("2022-01-01", "2025-01-01"), speed)
    check_equal(source, recorded, instrument, least)


class FaultyWire:
    """A proxy before the publisher: of each book it loses one update, then it breaks, then none.

    The update is lost when `after` of them have followed the snapshot, so that the recorder's book
    is whole again before the next loss.
    """

    def __init__(self, gaps: int, after: int) -> None:
        self._gaps, self._after = gaps, after
        self._updates = 0
        self._snapshots = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()))
        self._target = ""
        self.url = ""

    def stand_before(self, target: str) -> str:
        self._target = target
        self._thread.start()
        assert self._ready.wait(PATIENCE)
        return self.url

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    async def _serve(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        app.router.add_get("/ws/v5/public", self._pass)
        runner = web.AppRunner(app, shutdown_timeout=0.1)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self.url = f"ws://127.0.0.1:{runner.addresses[0][1]}/ws/v5/public"
        self._ready.set()
        await self._end.wait()
        await runner.cleanup()

    async def _pass(self, request: web.Request) -> web.WebSocketResponse:
        near = web.WebSocketResponse()
        await near.prepare(request)
        async with ClientSession() as session, session.ws_connect(self._target) as far:
            up = asyncio.create_task(self._up(near, far))
            async for message in far:
                if message.type is WSMsgType.TEXT and not await self._down(near, message.data):
                    break
            up.cancel()
        await near.close(code=1012)
        return near

    async def _up(self, near: web.WebSocketResponse, far: ClientWebSocketResponse) -> None:
        async for message in near:
            await far.send_str(message.data)

    async def _down(self, near: web.WebSocketResponse, text: str) -> bool:
        if '"snapshot"' in text:
            self._updates, self._snapshots = 0, self._snapshots + 1
        if '"update"' in text:
            self._updates += 1
            if self._updates == self._after:
                if self._snapshots <= self._gaps:
                    return True
                if self._snapshots == self._gaps + 1:
                    return False
        await near.send_str(text)
        return True


@pytest.mark.thorough
def test_three_gaps_and_a_disconnect_are_listed_and_nothing_else(
    midnight: Path, tmp_path: Path
) -> None:
    wire = FaultyWire(gaps=3, after=40)
    try:
        recorded = close_loop(midnight, tmp_path, INSTRUMENT, SPAN, "20", wire.stand_before)
    finally:
        wire.stop()
    found = [loss for loss in losses(recorded) if loss[0] != "trades_missed"]
    assert found == [("sequence_gap", 1)] * 3 + [("disconnected", 1)]
    counts = subprocess.run(
        [sys.executable, "main.py", INSTRUMENT, *SPAN, "--data-dir", tmp_path / "into", "--no-ui",
         "--output-dir", tmp_path / "out", "--json"],
        capture_output=True, text=True, check=True, cwd=PROJECT,
    ).stdout  # fmt: skip
    assert '"sequence_gaps":3,' in counts
