"""What is wrong on purpose is noticed: the clients' tests can fail."""

import shutil
import sqlite3
import sys
from contextlib import closing
from pathlib import Path

import pytest
from client_runs import Feed, Seen, Source, following
from real_clients import Client, binance_clients, kraken_clients, needs_clients
from real_recordings import needs_recordings

pytestmark = [pytest.mark.thorough, needs_clients, needs_recordings]

ONT = Source("okex_v5_202107_c1", "ONT-USDT", 1.5)
ETH = Source("binance_spot_ethusdt_20240808", "ETH-USDT", 4)
DROPPED = 50  # of ONT; its level is not written again soon


def wrong_publisher(what: str) -> tuple[str, ...]:
    return (sys.executable, "-m", "tests.clients.wrong_publisher", what)


def without_a_row(source: Source, path: Path) -> Path:
    """Copy a recording, one row of it without its levels."""
    shutil.copyfile(source.database, path)
    path.chmod(0o644)
    rows = "SELECT id FROM book WHERE instrument = ? ORDER BY timestamp, id LIMIT 1 OFFSET ?"
    with closing(sqlite3.connect(path)) as connection:
        connection.execute(
            f"UPDATE book SET bids = '[]', asks = '[]' WHERE id = ({rows})",
            (source.instrument, DROPPED),
        )
        connection.commit()
    return path


def test_a_dropped_row_is_noticed_from_the_next_book_on(tmp_path: Path) -> None:
    client = Client("ccxt okx", "follow_ccxt", "okx", "{base}/{quote}", 400)
    feed = Feed(ONT, tmp_path, without_a_row(ONT, tmp_path / "without.db"))
    with following(feed, "okx", [client], 0.0) as run:
        run.wait_for_all(lambda seen: len(seen.keys) > DROPPED + 10)
        found = feed.compare(run.seen[client.name], client)
    assert max(found.right) < DROPPED
    assert len(found.wrong) >= 5


def test_inserts_before_deletes_are_noticed_at_10_levels_of_kraken(tmp_path: Path) -> None:
    (client,) = (client for client in kraken_clients(10) if "sdk" in client.name)
    feed = Feed(ETH, tmp_path)

    def enough(seen: Seen) -> bool:
        return bool(seen.errors) or len(seen.keys) > 200

    program = wrong_publisher("inserts-first")
    with following(feed, "kraken", [client], 0.0, program=program) as run:
        run.wait_for_all(enough)
        seen = run.seen[client.name]
    assert any("Checksum mismatch" in error for error in seen.errors)
    assert feed.compare(seen, client).wrong


def test_a_snapshot_with_the_id_of_a_later_row_is_noticed(tmp_path: Path) -> None:
    (client,) = binance_clients("binance", "{base}/{quote}", "spot", ())
    feed = Feed(ETH, tmp_path)
    program = wrong_publisher("later-id")
    with following(feed, "binance", [client], 0.0, program=program) as run:
        run.wait_for_books()
        assert feed.compare(run.seen[client.name], client).wrong
