"""An export is whole or not there, and replaces only what the same command made."""

import os
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from formats.export_target import NOTE_NAME, make_note, read_note, written_beside
from formats.npz_file import NpzWriter
from orderflow.errors import OutputError, UsageError

NOTE = make_note("csv", "X", 1, 2)
OTHER = make_note("csv", "X", 1, 3)


def write_folder(into: Path, note: dict[str, object], text: str) -> None:
    with written_beside(into, note) as temporary:
        temporary.mkdir()
        (temporary / "table.csv").write_text(text)
        (temporary / NOTE_NAME).write_bytes(orjson.dumps(note))


def write_file(into: Path, note: dict[str, object]) -> None:
    comment = orjson.dumps(note)
    with (
        written_beside(into, note) as temporary,
        NpzWriter(temporary, "data", [("a", "<u8")], comment) as writer,
    ):
        writer.close(8)


def test_a_folder_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    for text in ("one", "two"):
        write_folder(tmp_path / "x", NOTE, text)
        assert (tmp_path / "x" / "table.csv").read_text() == text
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_file_of_the_same_command_is_replaced(tmp_path: Path) -> None:
    write_file(tmp_path / "x.npz", NOTE)
    before = (tmp_path / "x.npz").stat().st_ino
    write_file(tmp_path / "x.npz", NOTE)
    assert (tmp_path / "x.npz").stat().st_ino != before
    assert read_note(tmp_path / "x.npz") == NOTE
    assert [path.name for path in tmp_path.iterdir()] == ["x.npz"]


def test_what_is_another_export_is_left_alone(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", NOTE, "one")
    with pytest.raises(UsageError, match="an export of another range, instrument or format"):
        write_folder(tmp_path / "x", OTHER, "two")
    assert (tmp_path / "x" / "table.csv").read_text() == "one"


@pytest.mark.parametrize("make", [Path.mkdir, lambda path: path.write_text("mine")])
def test_what_is_no_export_is_left_alone(make: object, tmp_path: Path) -> None:
    make(tmp_path / "x")  # type: ignore[operator]
    with pytest.raises(UsageError, match="is there already, and is no export"):
        write_folder(tmp_path / "x", NOTE, "one")
    assert not (tmp_path / "x" / "table.csv").exists()


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    write_folder(tmp_path / "x", NOTE, "one")

    def fail() -> None:
        with written_beside(tmp_path / "x", NOTE) as temporary:
            temporary.mkdir()
            (temporary / "table.csv").write_text("half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert (tmp_path / "x" / "table.csv").read_text() == "one"
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_a_folder_that_can_not_be_made_is_a_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match=r"x can't be written: .*; name another path"):
        write_folder(tmp_path / "file" / "x", NOTE, "one")


def test_leftovers_of_dead_processes_go_and_others_stay(tmp_path: Path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".y.export.{dead.pid}.0a1b.tmp").mkdir()
    living = tmp_path / f".y.export.{os.getppid()}.0a1b.tmp"
    living.mkdir()
    write_folder(tmp_path / "x", NOTE, "one")
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted([living.name, "x"])


def test_a_pipe_is_no_export_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "x.npz")
    with pytest.raises(UsageError, match="and is no export"):
        write_file(tmp_path / "x.npz", NOTE)


def test_of_a_link_to_an_export_nothing_but_the_new_one_is_left(tmp_path: Path) -> None:
    write_folder(tmp_path / "real", NOTE, "one")
    (tmp_path / "link").symlink_to(tmp_path / "real")
    write_folder(tmp_path / "link", NOTE, "two")
    assert (tmp_path / "real" / "table.csv").read_text() == "one"
    assert (tmp_path / "link" / "table.csv").read_text() == "two"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link", "real"]
