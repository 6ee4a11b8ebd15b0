"""The control file of a run: read as it is meant, and left alone where it is anything else."""

import json
import os
from pathlib import Path
from typing import Any

import pytest

from replay.run_orders import MAX_FILE_BYTES, MOST_AHEAD, MOST_ORDERS, ControlFile, Order

OWN = 0
"""Stands for this process, which is another one for each worker of the tests."""


class Directory:
    def __init__(self, path: Path) -> None:
        self.path = path / "control.json"
        self.control = ControlFile(os.open(path, os.O_RDONLY | os.O_DIRECTORY))

    def orders(self, document: Any) -> list[Order]:
        if not isinstance(document, bytes):
            own = {"pid": document["pid"] or os.getpid()}
            document = json.dumps(document | own).encode()
        new = self.path.with_name("new")
        new.write_bytes(document)
        new.replace(self.path)
        return self.control.take()


@pytest.fixture
def directory(tmp_path: Path) -> Directory:
    return Directory(tmp_path)


def document(*orders: Any, pid: int = OWN) -> dict[str, Any]:
    return {"schema": 1, "pid": pid, "orders": [*orders]}


PAUSE = {"sequence": 1, "do": "pause"}


def test_an_order_is_taken_once(directory: Directory) -> None:
    assert directory.control.take() == []
    assert directory.orders(document(PAUSE)) == [Order("pause")]
    assert directory.control.take() == []
    assert directory.orders(document(PAUSE, {"sequence": 2, "do": "row"})) == [Order("row")]
    assert directory.control.done == 2


def test_orders_for_another_process_are_not_taken(directory: Directory) -> None:
    assert directory.orders(document(PAUSE, pid=os.getpid() + 1)) == []
    assert directory.control.done == 0


def test_an_order_that_is_none_is_passed_over(directory: Directory) -> None:
    assert directory.orders(document({"sequence": 4, "do": "fly"})) == []
    assert directory.control.done == 4


def test_more_orders_than_are_read_are_left(directory: Directory) -> None:
    many = [{"sequence": n, "do": "row"} for n in range(1, 2 * MOST_ORDERS)]
    assert len(directory.orders(document(*many))) == MOST_ORDERS
    assert directory.control.done == MOST_ORDERS


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"[" * 60_000,
        b'{"orders": 5}',
        b'{"orders": [], "pid": ' + b"9" * 5000 + b"}",
        b" " * (MAX_FILE_BYTES + 1),
        document("pause"),
        document({"do": "pause"}),
        document({"sequence": 0, "do": "pause"}),
        document({"sequence": 2**60, "do": "pause"}),
        document({"sequence": True, "do": "pause"}),
        document({"sequence": MOST_AHEAD + 1, "do": "pause"}),
        document(PAUSE, {"sequence": 2**53, "do": "pause"}),
        document(PAUSE, "junk"),
    ],
)
def test_a_file_that_is_none_is_left_alone_and_said_once(
    directory: Directory, text: Any, caplog: pytest.LogCaptureFixture
) -> None:
    assert directory.orders(text) == []
    assert directory.orders(text) == []
    assert len(caplog.records) <= 1
    assert directory.control.done == 0
    assert directory.orders(document(PAUSE)) == [Order("pause")]


def test_neither_a_link_nor_a_fifo_is_read(directory: Directory, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").write_text(json.dumps(document(PAUSE, pid=os.getpid())))
    directory.path.symlink_to(tmp_path / "elsewhere")
    assert directory.control.take() == []
    directory.path.unlink()
    os.mkfifo(directory.path)
    assert directory.control.take() == []


def test_a_directory_in_its_place_is_left_alone_and_not_kept_open(
    directory: Directory, tmp_path: Path
) -> None:
    directory.path.mkdir()
    descriptors = Path("/proc/self/fd")
    opened = len(list(descriptors.iterdir())) if descriptors.exists() else None
    for number in range(20):
        (directory.path / f"{number}").touch()
        assert directory.control.take() == []
    assert opened is None or len(list(descriptors.iterdir())) <= opened + 1


@pytest.mark.parametrize("speed", [0, -1, 1e-300, 1e308, 0.0099, True, None, "1", "inf", [1]])
def test_a_speed_that_is_none_changes_nothing_and_counts_as_done(
    directory: Directory, speed: Any
) -> None:
    assert directory.orders(document({"sequence": 1, "do": "speed", "speed": speed})) == []
    assert directory.control.done == 1
    slow = {"sequence": 2, "do": "speed", "speed": 0.01}
    assert directory.orders(document(slow)) == [Order("speed", 0.01)]
