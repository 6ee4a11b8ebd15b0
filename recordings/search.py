"""Search a data directory for database files, and say what could not be looked into.

What a file's name says of its instrument is here as well; what is in it is for others.
"""

import logging
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from stat import S_ISDIR, S_ISREG

from orderflow.errors import NothingToReplayError, RecordingError

logger = logging.getLogger(__name__)

SUFFIXES = frozenset({".db", ".sqlite", ".sqlite3"})
_MAGIC = b"SQLite format 3\0"

_DATE = r"(?:(?:\d{2}|\d{4})-\d{2}-\d{2}|\d{8})"
# What an exchange calls an instrument, such as BTC-USDT-SWAP or BTC-USD-220527, perhaps dated;
# not a date alone, nor one word and a date: those are recordings of many.
_INSTRUMENT_STEM = re.compile(
    rf"(?!(?:[A-Z0-9]+[-_.])?{_DATE}$)([A-Z0-9]+(?:-[A-Z0-9]+)+?)(?:[-_.]{_DATE})?"
)


@dataclass
class FoundFiles:
    """The database files found, by path, and what may hide more of them.

    `hidden` has an error for each folder, file or link that could not be looked into.
    `is_outright`: the one file was named by the user, not found by its suffix. `others` are files
    that are no databases, among which archives may be.
    """

    files: list[Path] = field(default_factory=list)
    hidden: list[RecordingError] = field(default_factory=list)
    is_outright: bool = False
    others: list[Path] = field(default_factory=list)

    def hide(self, error: RecordingError) -> None:
        """Note, and log, what cannot be looked into; once, however often it is tried."""
        name = Path(error.path).name
        # A file system's own folders are nobody's recordings, and nobody's to read.
        if name == "lost+found" or name.startswith("."):
            logger.info("%s; left out", error)
        elif str(error) not in map(str, self.hidden):
            logger.warning("%s; left out", error)
            self.hidden.append(error)


def find_files(data_dir: Path) -> FoundFiles:
    """Find the database files under `data_dir`, in all folders and links to folders below it.

    A file in place of a directory is taken as it is, and is among `others` too where it is no
    database. Raise `NothingToReplayError` when there is
    nothing of that name, `RecordingError` when it cannot be looked at.
    """
    try:
        mode = data_dir.stat().st_mode
    except (FileNotFoundError, NotADirectoryError):
        msg = (
            f"no data directory {data_dir}; name the one with your recordings with --data-dir or "
            "ORDERFLOW_DATA_DIR, or try --demo"
        )
        raise NothingToReplayError(msg, None, data_dir) from None
    except OSError as error:
        raise _refused(data_dir, error) from error
    if not S_ISDIR(mode):
        others = [] if _is_database(data_dir) else [data_dir]
        return FoundFiles([data_dir], is_outright=True, others=others)
    found = FoundFiles()
    for path in _entries_below(data_dir, found):
        (found.files if path.suffix in SUFFIXES else found.others).append(path)
    found.files.sort()
    found.others.sort()
    return found


def _is_database(path: Path) -> bool:
    """Return whether a file may be a database: also an empty one, and one that cannot be read."""
    try:
        with path.open("rb") as file:
            return file.read(len(_MAGIC)) in (_MAGIC, b"")
    except OSError:
        return True


def _entries_below(top: Path, found: FoundFiles) -> Iterator[Path]:
    """Yield the regular files of all folders from `top` down, each once however often linked."""
    waiting, seen = [top], set()
    while waiting:
        folder = waiting.pop()
        try:
            stat = folder.stat()
            if (stat.st_dev, stat.st_ino) in seen:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            paths = sorted(folder.iterdir())
        except OSError as error:
            found.hide(_refused(folder, error))
            continue
        for path in paths:
            try:
                mode = path.stat().st_mode
            except OSError as error:
                if _may_hold_recordings(path, error):
                    found.hide(_refused(path, error))
                continue
            if S_ISDIR(mode):
                waiting.append(path)
            elif S_ISREG(mode):
                yield path


def _may_hold_recordings(path: Path, error: OSError) -> bool:
    """Return whether what cannot be looked at may be, or be a link to, a recording or a folder."""
    has_just_gone = isinstance(error, FileNotFoundError) and not _is_link(path)
    return path.suffix in (*SUFFIXES, "") and not has_just_gone


def _is_link(path: Path) -> bool:
    return os.path.islink(path)  # noqa: PTH114 (`Path.is_symlink` raises where it may not look)


def _refused(path: Path, error: OSError) -> RecordingError:
    what = "a link that leads nowhere" if _is_link(path) else "may not be read"
    return RecordingError(f"{path}: {what} ({error.strerror})", str(path))


def is_named_for(stem: str, instrument: str) -> bool:
    """Return whether a file's stem is the instrument, or it with a separator and a date."""
    return re.fullmatch(rf"{re.escape(instrument)}(?:[-_.]{_DATE})?", stem) is not None


def instrument_of(stem: str) -> str | None:
    """Return the instrument that a file's stem names, None where it names none."""
    found = _INSTRUMENT_STEM.fullmatch(stem)
    return found[1] if found else None
