"""The file system tells of what is written, whenever the store is made, removed or replaced."""

import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from notice_brokers import PATIENCE, until

from messaging.file_watch import FileChannel
from messaging.notification import Listener


@pytest.fixture
def store(tmp_path: Path) -> Path:
    return tmp_path / "not" / "there" / "yet"


@pytest.fixture
def listener(store: Path) -> Iterator[Listener]:
    with closing(Listener(FileChannel(store), "file")) as listener:
        yield listener


def append_until_noticed(listener: Listener, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)

    def noticed() -> bool:
        with path.open("ab") as file:
            file.write(b"{}\n")
        return listener.wait_blocking(0.1)

    until(noticed)
    until(lambda: not listener.wait_blocking(0.1))


def test_a_store_that_is_made_later_is_found(listener: Listener, store: Path) -> None:
    assert not listener.wait_blocking(0.05)
    store.mkdir(parents=True)
    assert listener.wait_blocking(PATIENCE)
    append_until_noticed(listener, store / "BTC-USDT" / "1.jsonl")


def test_instruments_that_come_later_are_noticed(listener: Listener, store: Path) -> None:
    for instrument in ("BTC-USDT", "ETH-USDT"):
        append_until_noticed(listener, store / instrument / "1.jsonl")


def test_a_store_that_is_replaced_is_watched_again(listener: Listener, store: Path) -> None:
    append_until_noticed(listener, store / "BTC-USDT" / "1.jsonl")
    store.rename(store.with_name("old"))
    append_until_noticed(listener, store / "BTC-USDT" / "1.jsonl")
    shutil.rmtree(store)
    append_until_noticed(listener, store / "BTC-USDT" / "1.jsonl")


def test_the_watching_ends_with_the_listener(listener: Listener, store: Path) -> None:
    append_until_noticed(listener, store / "BTC-USDT" / "1.jsonl")
    listener.close()
    assert "listener" not in {thread.name for thread in threading.enumerate()}
