"""Prepared copies: where they are, what they are of, and whether they are true.

A copy is a directory of Parquet files made of one recording for one instrument, whole or not at
all (`formats.preparing`), with a manifest that names the recording as it was, and the content of
each file. Whatever differs, the copy is not used. docs/prepared.md says the rest.
"""

import errno
import re
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import orjson

from formats.prepared_reading import ParquetBook, ParquetTrades, has_pyarrow
from orderflow.cache import PREPARED_CACHE, user_cache_dir
from orderflow.errors import OrderflowError
from recordings.connection import recording_state
from recordings.discovery import Recording
from recordings.recorded_table import RecordedTable

SCHEMA = 2
"""Version of the files and of how text is read into them; a copy of another one is made anew."""
BOOK, TRADES, SAMPLES, CHECKPOINTS = FILES = tuple(
    f"{name}.parquet" for name in ("book", "trades", "samples", "checkpoints")
)
MANIFEST = "manifest.json"
MOST_MANIFEST_BYTES = 1_000_000
GROUP_HINT = "uv sync --group data installs pyarrow, which reads it"
_BLOCK = 1 << 18
_ODD = re.compile(r"[^A-Za-z0-9._-]+")


class CopyError(OrderflowError):
    """Report why a prepared copy is not used."""


def default_root() -> Path:
    """Return where copies are unless another directory is named: in this user's cache."""
    return user_cache_dir() / PREPARED_CACHE


def place_of(root: Path, path: Path, instrument: str | None) -> Path:
    """Return the directory for the copy of a recording, whether it is there or not."""
    whole = f"{path.resolve()}\n{instrument}"
    digest = f"{zlib.crc32(whole.encode(errors='surrogateescape')):08x}"
    stem = _ODD.sub("_", path.stem)[:80]
    return root / _ODD.sub("_", instrument or "all") / f"{stem}-{digest}"


def digest_of(path: Path) -> dict[str, int]:
    """Return the size of a file and a checksum of its content. Raise `OSError` for no file."""
    if not path.is_file():  # a pipe would be waited for
        raise FileNotFoundError(errno.ENOENT, "no plain file", str(path))
    size = checksum = 0
    with path.open("rb") as file:
        while block := file.read(_BLOCK):
            size, checksum = size + len(block), zlib.crc32(block, checksum)
    return {"bytes": size, "crc32": checksum}


def signed(facts: dict[str, Any]) -> bytes:
    """Return the manifest that says these facts, and a checksum of them."""
    return orjson.dumps({**facts, "crc32": zlib.crc32(orjson.dumps(facts))})


def tables_facts(tables: Sequence[RecordedTable]) -> dict[str, Any]:
    """Return what is known of a recording's tables before they are read."""
    return {
        table.name: {"found_first_ms": table.first_ms, "found_last_ms": table.last_ms}
        for table in tables
        if not table.is_empty
    }


@dataclass(frozen=True)
class PreparedCopy:
    """A copy and what its manifest says."""

    place: Path
    manifest: dict[str, Any]

    @classmethod
    def open(cls, place: Path) -> "PreparedCopy":
        """Read the manifest of a copy. Raise `CopyError` for what is none of this version."""
        path = place / MANIFEST
        try:
            if not path.is_file() or path.stat().st_size > MOST_MANIFEST_BYTES:
                msg = "its manifest is none"
                raise CopyError(msg)
            content = path.read_bytes()
            manifest = orjson.loads(content)
        except OSError as error:
            msg = f"its manifest cannot be read ({error.strerror})"
            raise CopyError(msg) from error
        except orjson.JSONDecodeError as error:
            msg = "its manifest is torn"
            raise CopyError(msg) from error
        if not isinstance(manifest, dict) or manifest.get("schema") != SCHEMA:
            msg = f"it is of another version than {SCHEMA}"
            raise CopyError(msg)
        manifest.pop("crc32", None)
        if signed(manifest) != content:
            msg = "its manifest was changed"
            raise CopyError(msg)
        return cls(place, manifest)

    def check(self, path: Path, instrument: str | None, tables: Sequence[RecordedTable]) -> None:
        """Raise `CopyError` unless this is a true and whole copy of a recording as it is now."""
        said = self.manifest
        source = said.get("source")
        if said.get("instrument") != instrument or not isinstance(source, dict):
            msg = "it is a copy of something else"
            raise CopyError(msg)
        if why := difference(source, recording_state(path)):
            raise CopyError(why)
        kept = said.get("tables")
        found = tables_facts(tables)
        if not isinstance(kept, dict) or any(
            {**kept.get(name, {}), **facts} != kept.get(name) for name, facts in found.items()
        ):
            msg = "the recording's tables are others than when it was made"
            raise CopyError(msg)
        self._check_files()

    def _check_files(self) -> None:
        listed = self.manifest.get("files")
        if not isinstance(listed, dict) or {*listed} != {*FILES}:
            msg = "its files are not those it lists"
            raise CopyError(msg)
        for name in FILES:
            try:
                is_same = digest_of(self.place / name) == listed[name]
            except OSError as error:
                msg = f"its {name} cannot be read ({error.strerror})"
                raise CopyError(msg) from error
            if not is_same:
                msg = f"its {name} is torn, or was changed"
                raise CopyError(msg)

    def span_of(self, name: str) -> tuple[int | None, int | None]:
        """Return the times of the first and last row of a table, in ms; None where none is used."""
        facts = self.manifest["tables"][name]
        return facts["first_ms"], facts["last_ms"]


_CHANGES = {
    "wal": "the recording has a write-ahead log or a journal beside it",
    "size": "the recording has grown or shrunk since",
    "inode": "the recording is another file now",
    "mtime_ns": "the recording was written to, or touched, since",
    "ctime_ns": "the recording was changed since",
}


def difference(then: dict[str, Any], now: dict[str, int] | None) -> str | None:
    """Say in what way a recording is another than it was; None where it is the same."""
    if now is None:
        return "the recording cannot be looked at"
    for name, value in now.items():
        if then.get(name) != value:
            return _CHANGES.get(name, "the recording was written to since")
    return None


def use_prepared(recording: Recording, root: Path, *, is_named: bool = False) -> str | None:
    """Let a recording be read from its prepared copies, where all of its files have true ones.

    Return why it is read itself, as a line; None where the copies are read, or where there are none
    in a `root` that nobody has named.
    """
    files = _by_file(recording)
    instrument = next(iter(files.values()))[0].instrument
    copies: dict[Path, PreparedCopy] = {}
    missing, refused = [], []
    for path, tables in files.items():
        place = place_of(root, path, instrument)
        try:
            if not _is_directory(place):
                missing.append(path)
                continue
            copy = PreparedCopy.open(place)
            copy.check(path, instrument, tables)
            copies[path] = copy
        except CopyError as error:
            refused.append(f"{path.name}: {error}")
    if len(missing) == len(files) and not is_named and not _others(root, missing, instrument):
        return None
    refused += [f"{path.name}: there is none of {path}" for path in missing]
    if not refused:
        refused += [why] if (why := _why_not_together(files, copies)) else []
    if refused:
        more = f" (and {len(refused) - 1} more files)" if len(refused) > 1 else ""
        return f"the prepared copy is not used: {refused[0]}{more}; the recording itself is read"
    _attach(files, copies)
    return None


def _is_directory(place: Path) -> bool:
    try:
        return place.is_dir()
    except OSError as error:
        msg = f"{place} cannot be looked at ({error.strerror})"
        raise CopyError(msg) from error


def _others(root: Path, paths: Sequence[Path], instrument: str | None) -> bool:
    """Return whether there are copies of files of the same names elsewhere."""
    places = [place_of(root, path, instrument) for path in paths]
    begins = {place.name.rpartition("-")[0] for place in places}
    try:
        found = [place.name for place in places[0].parent.iterdir()]
    except OSError:
        return False
    return any(name.rpartition("-")[0] in begins for name in found)


def _by_file(recording: Recording) -> dict[Path, list[RecordedTable]]:
    files: dict[Path, list[RecordedTable]] = {}
    for table in (*recording.books, *recording.trades):
        files.setdefault(table.path, []).append(table)
    return files


def _why_not_together(
    files: dict[Path, list[RecordedTable]], copies: dict[Path, PreparedCopy]
) -> str | None:
    """Say why the copies, each true, cannot be read one after another; None where they can."""
    if not has_pyarrow():
        return f"pyarrow is missing; {GROUP_HINT}"
    for name in ("book", "trades"):
        spans = sorted(_spans(name, files, copies))
        for (_, last_ms, before), (first_ms, _, after) in pairwise(spans):
            # What one repeats of the other is found by the text as it was recorded.
            if first_ms <= last_ms:
                return f"{after.name}: its {name} and that of {before.name} overlap in time"
    return None


def _spans(
    name: str, files: dict[Path, list[RecordedTable]], copies: dict[Path, PreparedCopy]
) -> Iterator[tuple[int, int, Path]]:
    for path, tables in files.items():
        if any(table.name == name for table in tables):
            first_ms, last_ms = copies[path].span_of(name)
            if first_ms is not None and last_ms is not None:
                yield first_ms, last_ms, path


def _attach(files: dict[Path, list[RecordedTable]], copies: dict[Path, PreparedCopy]) -> None:
    for path, tables in files.items():
        copy = copies[path]
        for table in tables:
            kind, name = (ParquetBook, BOOK) if table.name == "book" else (ParquetTrades, TRADES)
            table.prepared = kind.at(copy.place / name)
