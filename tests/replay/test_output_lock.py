"""A run writes only where its own lock is, whatever happens to its directory."""

import os
import shutil
from pathlib import Path

import pytest

from replay.output_lock import LOCK_NAME, DirectoryInUseError, OutputLock


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    path = tmp_path / "out"
    path.mkdir()
    return path


def test_a_second_lock_is_refused_with_the_pid_of_the_first(directory: Path) -> None:
    first = OutputLock(directory)
    with pytest.raises(DirectoryInUseError, match="in use by another run") as caught:
        OutputLock(directory)
    assert (caught.value.directory, caught.value.pid) == (directory, str(os.getpid()))
    first.release()
    OutputLock(directory).release()
    assert list(directory.iterdir()) == []


def test_a_lock_that_is_untouched_passes_the_check(directory: Path) -> None:
    lock = OutputLock(directory)
    lock.check()
    lock.release()
    lock.release()


def test_releasing_leaves_the_lock_of_another_run(directory: Path) -> None:
    first = OutputLock(directory)
    (directory / LOCK_NAME).unlink()
    second = OutputLock(directory)
    first.release()
    assert (directory / LOCK_NAME).exists()
    second.check()
    second.release()
    assert list(directory.iterdir()) == []


def test_releasing_in_a_moved_directory_leaves_the_lock_of_its_successor(directory: Path) -> None:
    first = OutputLock(directory)
    moved = directory.rename(directory.with_name("moved"))
    directory.mkdir()
    second = OutputLock(directory)
    first.release()
    assert (directory / LOCK_NAME).exists()
    assert list(moved.iterdir()) == []
    second.release()


def test_a_removed_lock_file_is_noticed(directory: Path) -> None:
    lock = OutputLock(directory)
    (directory / LOCK_NAME).unlink()
    with pytest.raises(OSError, match=f"its {LOCK_NAME} has been removed or replaced"):
        lock.check()
    lock.release()


def test_a_removed_directory_is_noticed_and_one_that_came_back_is_used_again(
    directory: Path,
) -> None:
    lock = OutputLock(directory)
    moved = directory.rename(directory.with_name("moved"))
    with pytest.raises(OSError, match="the directory has been removed or replaced"):
        lock.check()
    moved.rename(directory)
    lock.check()
    lock.release()


def test_a_new_directory_of_the_same_name_is_noticed(directory: Path) -> None:
    lock = OutputLock(directory)
    shutil.rmtree(directory)
    directory.mkdir()
    with pytest.raises(OSError, match=f"its {LOCK_NAME} has been removed or replaced"):
        lock.check()
    lock.release()


def test_another_run_in_its_place_is_named_by_its_pid(directory: Path) -> None:
    lock = OutputLock(directory)
    directory.rename(directory.with_name("moved"))
    directory.mkdir()
    other = OutputLock(directory)
    with pytest.raises(OSError, match=f"another run, pid {os.getpid()}, has taken it over"):
        lock.check()
    lock.release()
    other.release()


@pytest.mark.parametrize("kind", ["fifo", "link", "directory"])
def test_what_is_no_lock_file_in_its_place_does_not_hang_the_run(
    directory: Path, kind: str
) -> None:
    lock = OutputLock(directory)
    path = directory / LOCK_NAME
    path.unlink()
    if kind == "fifo":
        os.mkfifo(path)
    elif kind == "link":
        path.symlink_to(__file__)
    else:
        path.mkdir()
    with pytest.raises(OSError, match="another run, pid unknown, has taken it over"):
        lock.check()
    lock.release()
    assert os.path.lexists(path)
