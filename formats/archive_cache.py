"""Read an archive once into a recording in the user's cache, and find it there the next times.

A recording is kept for the archive as it is: its path, size, inode and times. What has not been
used for longest makes room for what comes.
"""

import os
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

import orjson

from formats.importing import Imported, ImportOptions, Progress, import_file
from formats.sources import SourceError
from orderflow.cache import ARCHIVES_CACHE, DirectoryCache, locked, user_cache_dir
from orderflow.errors import OutputError
from recordings.connection import lasting_identity
from recordings.import_notes import read_notes

RULES = 1
"""To be raised when an archive is read into other rows: all are then read again."""
MAX_ARCHIVES = 1000
MAX_CACHE_BYTES = 20_000_000_000
"""A day of OKX's books takes one or two gigabytes."""
_LOCK = "reading.lock"

Say = Callable[[str], None]


@dataclass(frozen=True)
class ReadArchive:
    """An archive and the recording made of it; `cut` says why it has no end, where that is so."""

    path: Path
    recording: Path
    cut: str | None
    imported: Imported | None = None


class ArchiveCache:
    """Recordings of archives. `say` takes a line for a person.

    Those in use stay until this process ends. Raise `OutputError` where there is no place for them.
    """

    def __init__(self, say: Say, root: Path | None = None) -> None:
        self._say = say
        self._root = root or user_cache_dir() / ARCHIVES_CACHE
        self._cache = DirectoryCache(
            self._root,
            r"v\d+-[0-9a-f]{16}-[0-9a-f]{16}",
            rf"[^.].*\.db|\..*\.tmp|{re.escape(_LOCK)}",
            max_entries=MAX_ARCHIVES,
            max_bytes=MAX_CACHE_BYTES,
        )

    def read(self, path: Path, progress: Progress = lambda _source, _rows: None) -> ReadArchive:
        """Return the recording of an archive, made now unless it is there and true.

        `imported` is what was found in making it, None where it was there. Raise `SourceError` for
        an archive that cannot be read, `OutputError` where the recording cannot be written.
        """
        place, name = _names_of(path)
        try:
            entry = self._cache.use(name)
            with locked(
                entry / _LOCK,
                lambda: self._say(f"{path} is being read by another run, which is waited for"),
            ):
                if found := _whole_in(path, entry):
                    return found
                self._forget_others(place, name, path)
                done = import_file(path, ImportOptions(entry), progress)
                if _names_of(path) != (place, name):
                    done.recording.unlink()
                    msg = f"{path} changed while it was read; run again when it is whole"
                    raise SourceError(msg, path)
            with suppress(FileNotFoundError):  # another run may be making room too
                self._cache.trim()
        except OSError as error:
            msg = (
                f"{self._root} can't be used ({error.strerror}): archives are read into it; name "
                "another cache directory in ORDERFLOW_CACHE_DIR, or import them"
            )
            raise OutputError(msg, self._root) from error
        why = _cut(done.why, done.rows) if done.state == "cut" else None
        return ReadArchive(path, done.recording, why, done)

    def _forget_others(self, place: str, name: str, path: Path) -> None:
        """Remove what was read of the archive when it was another, and say so."""
        others: list[str] = []
        with suppress(FileNotFoundError):  # another run may remove them too
            others = [n for n in self._cache.names() if n.split("-")[1] == place and n != name]
            for other in others:
                self._cache.remove(other)
        if any(other.startswith(f"v{RULES}-") for other in others):
            self._say(f"{path} has changed since it was read: it is read again")


def _names_of(path: Path) -> tuple[str, str]:
    """Return what an archive's path is called in the cache, and the archive as it is now."""
    known = lasting_identity(path)
    if known is None:
        msg = f"{path} is gone"
        raise SourceError(msg, path)
    place = _hash(os.fsencode(path.resolve()))
    of_file = [part and part[1:] for part in known]  # the device may change with a restart
    return place, f"v{RULES}-{place}-{_hash(orjson.dumps(of_file))}"


def _hash(known: bytes) -> str:
    return blake2b(known, digest_size=8).hexdigest()


def _whole_in(path: Path, entry: Path) -> ReadArchive | None:
    """Return what is in an entry whose lock is held; what is not whole there is removed."""
    for left in entry.glob(".*.tmp"):  # of a process that was killed
        left.unlink()
    for recording in entry.glob("*.db"):
        notes = read_notes(recording)
        if notes is None or "report" not in notes:
            recording.unlink()
            continue
        report = orjson.loads(notes["report"])
        rows = sum(one["book_rows"] + one["trades"] for one in report["instruments"].values())
        why = _cut(report["why"], rows) if report["state"] == "cut" else None
        return ReadArchive(path, recording, why)
    return None


def _cut(why: str, rows: int) -> str:
    return f"{why}; the {rows:,} rows before are used"
