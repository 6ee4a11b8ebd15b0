"""Write an export beside its place and rename it there when it is whole."""

import contextlib
import os
import re
import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

from orderflow.atomic import is_alive
from orderflow.errors import OutputError, UsageError

NOTE_NAME = "export.json"
"""In a folder that was exported: what it was made of. An npz has the same as its comment."""
MADE_BY = "orderflow-replay"
_TEMPORARY = re.compile(r"\..+\.export\.(\d+)\.[0-9a-f]+\.tmp")


def make_note(kind: str, instrument: str, start_ms: int, end_ms: int) -> dict[str, Any]:
    """Return what says of an export which command it is of: `read_note` reads it again."""
    return {
        "made_by": MADE_BY,
        "format": kind,
        "instrument": instrument,
        "start": start_ms,
        "end": end_ms,
    }


def read_note(path: Path) -> dict[str, Any] | None:
    """Return the note of an export, None for anything else."""
    try:
        if path.is_dir():
            raw = (path / NOTE_NAME).read_bytes()
        elif path.is_file():
            with zipfile.ZipFile(path) as archive:
                raw = archive.comment
        else:
            return None  # of a pipe nothing may ever come
        note = orjson.loads(raw)
    except (OSError, zipfile.BadZipFile, orjson.JSONDecodeError):
        return None
    return note if isinstance(note, dict) and note.get("made_by") == MADE_BY else None


def check_target(into: Path, note: dict[str, Any]) -> None:
    """Raise `UsageError` where `into` is something else than an export of the same command."""
    if not into.exists() and not into.is_symlink():
        return
    found = read_note(into)
    if found == note:
        return
    what = "an export of another range, instrument or format" if found else "no export"
    msg = f"{into} is there already, and is {what}; name another path with --into, or remove it"
    raise UsageError(msg, "--into", into)


@contextlib.contextmanager
def written_beside(into: Path, note: dict[str, Any]) -> Iterator[Path]:
    """Give a path beside `into` to write to, which takes its place when the block has ended well.

    What was there before, an export of the same command, is there until then. When the block fails
    nothing is left. Raise `OutputError` for what can't be written, `UsageError` as `check_target`.
    """
    check_target(into, note)
    temporary = into.parent / f".{into.name}.export.{os.getpid()}.{os.urandom(4).hex()}.tmp"
    try:
        into.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers(into.parent)
        yield temporary
        check_target(into, note)  # again: a run may take hours
        _replace(into, temporary)
    except OSError as error:
        msg = f"{into} can't be written: {error.strerror or error}; name another path with --into"
        raise OutputError(msg, into) from error
    finally:
        _remove(temporary)


def _replace(into: Path, temporary: Path) -> None:
    if not into.is_dir():
        temporary.replace(into)
        return
    old = temporary.with_name(f"{temporary.name.removesuffix('.tmp')}0.tmp")
    into.rename(old)
    try:
        temporary.rename(into)
    except OSError:
        old.rename(into)
        raise
    _remove(old)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with contextlib.suppress(OSError):
            path.unlink()


def _remove_leftovers(folder: Path) -> None:
    """Remove what exports that were killed have left."""
    for path in folder.glob(".*.export.*.tmp"):
        found = _TEMPORARY.fullmatch(path.name)
        if found and not is_alive(int(found[1])):
            _remove(path)
