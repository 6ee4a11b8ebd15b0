"""Replace a file as a whole, so that a reader sees the old one or the new one, never a part."""

import contextlib
import os
import re
from collections.abc import Mapping
from pathlib import Path

_TEMPORARY = re.compile(r"\..+\.(?:json|bin|parquet)\.(\d+)\.[0-9a-f]+\.tmp")


def replace_file(path: Path, data: bytes, *, durable: bool = False) -> None:
    """Replace `path` by `data`, by way of a temporary file in the same directory and a rename.

    `durable` also flushes file and directory to the disk. Raise `OSError` when that fails; the old
    file is then still there and no temporary is left.
    """
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        replace_file_in(directory, path.name, data, durable=durable)
    finally:
        os.close(directory)


def replace_files(contents: Mapping[Path, bytes]) -> None:
    """Replace several files durably: none before all are written beside, so that there is room.

    Raise `OSError` when that fails, without leaving a temporary file. Where writing fails, all old
    files are still there; a kill between two renames leaves some old and some new.
    """
    with contextlib.ExitStack() as stack:
        written: list[tuple[int, str, str]] = []
        for path, data in contents.items():
            directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
            stack.callback(os.close, directory)
            temporary = _write_beside(directory, path.name, data, durable=True)
            stack.callback(_unlink_if_there, directory, temporary)
            written.append((directory, temporary, path.name))
        for directory, temporary, name in written:
            os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
        for directory, *_ in written:
            os.fsync(directory)


def replace_file_in(directory: int, name: str, data: bytes, *, durable: bool = False) -> None:
    """Replace the file `name` in an open directory by `data`, like `replace_file`."""
    temporary = _write_beside(directory, name, data, durable=durable)
    try:
        os.replace(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
    except BaseException:
        _unlink_if_there(directory, temporary)
        raise
    if durable:
        os.fsync(directory)


def _write_beside(directory: int, name: str, data: bytes, *, durable: bool) -> str:
    """Write what is to become the file `name`; return the name of the temporary file."""
    temporary = f".{name}.{os.getpid()}.{os.urandom(6).hex()}.tmp"
    # O_EXCL and O_NOFOLLOW: never through a file or link that someone else has put there. 0o666,
    # less the umask, is what a plain open would make, so that other users can read.
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(temporary, flags, 0o666, dir_fd=directory)
    try:
        with open(descriptor, "wb") as file:  # noqa: PTH123 (a descriptor, no path)
            file.write(data)
            if durable:
                file.flush()
                os.fsync(file.fileno())
    except BaseException:
        _unlink_if_there(directory, temporary)
        raise
    return temporary


def _unlink_if_there(directory: int, name: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(name, dir_fd=directory)


def append_in(directory: int, name: str, data: bytes, size: int) -> None:
    """Write `data` from byte `size` on into the file `name` of an open directory, and end it there.

    Raise `OSError` when that fails: then only what is before `size` is to be counted on.
    """
    descriptor = os.open(name, os.O_RDWR | os.O_NOFOLLOW, dir_fd=directory)
    with open(descriptor, "r+b", buffering=0) as file:  # noqa: PTH123 (a descriptor, no path)
        if os.fstat(descriptor).st_size > size:
            file.truncate(size)  # the part of an earlier write that failed
        file.seek(size)
        left = memoryview(data)
        while left:
            left = left[file.write(left) :]


def remove_leftovers(directory: Path) -> None:
    """Remove the temporary files in `directory` of processes that have ended."""
    for path in directory.glob(".*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not is_alive(int(found[1])):
            with contextlib.suppress(FileNotFoundError):
                path.unlink()


def is_alive(pid: int) -> bool:
    """Return whether another process has this pid (our own has written nothing yet)."""
    if pid == os.getpid():
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # somebody else's, or no pid of this system: not ours to judge
    return True
