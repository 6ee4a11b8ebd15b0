"""Checkpoints of a recording: states to go on from, and the file in the cache that keeps them.

A checkpoint lies between two rows of different milliseconds. It holds what was made of all rows up
to it, and where the rows up to the next one lie. The file is replaced as a whole, so that it is
there or not, whatever is killed when; one that is torn, changed or of another recording is refused.
Why: docs/adr/0019-the-book-at-a-moment.md.
"""

import logging
import zlib
from dataclasses import dataclass, field
from hashlib import blake2b
from pathlib import Path
from typing import Any

import orjson

from orderflow.atomic import remove_leftovers, replace_file
from orderflow.cache import DirectoryCache, user_cache_dir
from orderflow.errors import OutputError
from orderflow.events import LostRows
from recordings.connection import lasting_identity
from recordings.recorded_table import RecordedTable

logger = logging.getLogger(__name__)

VERSION = 1
MAX_CHECKPOINTS = 4096
"""Most of a group of files; then every second goes, and they are made half as often."""
MAX_BYTES = 64 * 1024 * 1024
"""Most bytes of states likewise."""
MAX_STATE_BYTES = 64 * 1024 * 1024
"""A state that unpacks to more is not one."""
MAX_ENTRIES, MAX_CACHE_BYTES = 128, 512 * 1024 * 1024
"""Of the cache: groups of files, and bytes."""

_MAGIC = b"OFCP%d\n" % VERSION
_DIGEST_BYTES = 16
_FILE = "checkpoints.bin"


class CheckpointsError(Exception):
    """Report a file that holds no checkpoints, or others: they are made anew."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What was made of the first `number` rows, all of which lie at or before `ms`, -1 for none.

    The rows after it, up to the next checkpoint, have keys from `low` to `high`; None where they
    cannot be found by their keys. `in_order` says whether later ones of them have higher keys.
    `lost` are `(rows before it, lost rows)` among them. `state` is packed.
    """

    number: int
    ms: int
    state: bytes
    low: int | None = None
    high: int | None = None
    in_order: bool = False
    lost: tuple[tuple[int, LostRows], ...] = ()

    def unpacked(self) -> bytes:
        """Return the state. Raise `CheckpointsError` for what is none."""
        unpacker = zlib.decompressobj()
        try:
            state = unpacker.decompress(self.state, MAX_STATE_BYTES)
        except zlib.error as error:
            raise CheckpointsError(str(error)) from error
        if not unpacker.eof:
            msg = f"a state is cut short or over {MAX_STATE_BYTES:,} bytes"
            raise CheckpointsError(msg)
        return state


def pack(state: bytes) -> bytes:
    """Return a state as a checkpoint holds it."""
    return zlib.compress(state, 1)


@dataclass
class Checkpoints:
    """The checkpoints of one group of files, by time; the last one is at its end once `is_whole`.

    `facts` are what else is to be known of the group to read on; JSON values. Between two
    checkpoints that follow one another lie about `distance` rows.
    """

    distance: int
    listed: list[Checkpoint] = field(default_factory=list)
    facts: dict[str, Any] = field(default_factory=dict)
    is_whole: bool = False
    reached_ms: int = -1

    def add(self, checkpoint: Checkpoint, reached_ms: int) -> None:
        """Append a checkpoint whose rows are all known, the last of them at `reached_ms`.

        When there are too many, every second goes, and they are made half as often from then on.
        """
        listed = [*self.listed, checkpoint]
        size = sum(len(one.state) for one in listed)
        if len(listed) > MAX_CHECKPOINTS or size > MAX_BYTES:
            listed = [_joined(*listed[i : i + 2]) for i in range(0, len(listed), 2)]
            self.distance *= 2
        # In one step, as another thread may be reading.
        self.listed, self.reached_ms = listed, reached_ms

    def end(self, checkpoint: Checkpoint) -> None:
        """Append the checkpoint after which there are no rows."""
        self.listed, self.is_whole = [*self.listed, checkpoint], True

    def covers(self, ms: int) -> bool:
        """Return whether all rows up to `ms`, as far as they are of this group, are known."""
        return self.is_whole or ms <= self.reached_ms

    @property
    def spans(self) -> list[Checkpoint]:
        """Return the checkpoints after which rows are known."""
        return self.listed[:-1] if self.is_whole else self.listed


def _joined(first: Checkpoint, second: Checkpoint | None = None) -> Checkpoint:
    """Return one checkpoint for the rows of two that follow one another."""
    if second is None:
        return first
    lows = [key for key in (first.low, second.low) if key is not None]
    highs = [key for key in (first.high, second.high) if key is not None]
    low, high = (min(lows), max(highs)) if lows and highs else (None, None)
    in_order = first.in_order and second.in_order and (first.high or 0) < (second.low or 0)
    lost = first.lost + second.lost
    return Checkpoint(first.number, first.ms, first.state, low, high, in_order, lost)


# -- the file


def encode(checkpoints: Checkpoints, key: str) -> bytes:
    """Return the content of a file: magic, digest of the rest, size of the header, header, states.

    `key` names what the checkpoints are of.
    """
    header = {
        "key": key,
        "distance": checkpoints.distance,
        "facts": checkpoints.facts,
        "checkpoints": [
            [
                c.number,
                c.ms,
                len(c.state),
                c.low,
                c.high,
                c.in_order,
                list(map(_lost_as_json, c.lost)),
            ]
            for c in checkpoints.listed
        ],
    }
    text = orjson.dumps(header)
    rest = b"".join([len(text).to_bytes(4, "little"), text, *(c.state for c in checkpoints.listed)])
    return _MAGIC + blake2b(rest, digest_size=_DIGEST_BYTES).digest() + rest


def decode(data: bytes, key: str) -> Checkpoints:
    """Return what `encode` was given. Raise `CheckpointsError` for anything else."""
    begin = len(_MAGIC) + _DIGEST_BYTES
    digest, rest = data[len(_MAGIC) : begin], memoryview(data)[begin:]
    if data[: len(_MAGIC)] != _MAGIC:
        msg = "it does not begin as one of this version does"
        raise CheckpointsError(msg)
    if blake2b(rest, digest_size=_DIGEST_BYTES).digest() != digest:
        msg = "it is torn or was changed"
        raise CheckpointsError(msg)
    try:
        return _decoded(rest, key)
    except (orjson.JSONDecodeError, KeyError, TypeError, ValueError) as error:
        msg = f"its header is none ({error!r})"
        raise CheckpointsError(msg) from error


def _decoded(rest: memoryview, key: str) -> Checkpoints:
    end = 4 + int.from_bytes(rest[:4], "little")
    header = orjson.loads(rest[4:end])
    if header["key"] != key:
        msg = "it is of another recording"
        raise CheckpointsError(msg)
    listed = []
    for number, ms, size, low, high, in_order, lost in header["checkpoints"]:
        state = bytes(rest[end : end + size])
        end += size
        found = tuple((int(before), LostRows(kind, at, n)) for before, kind, at, n in lost)
        listed.append(Checkpoint(number, ms, state, low, high, in_order, found))
    if not listed or end != len(rest):
        msg = "its states do not fit its header"
        raise CheckpointsError(msg)
    return Checkpoints(int(header["distance"]), listed, header["facts"], is_whole=True)


def _lost_as_json(one: tuple[int, LostRows]) -> list[Any]:
    before, lost = one
    return [before, lost.kind, lost.timestamp, lost.count]


# -- the cache


def key_of(settings: list[Any], tables: list[RecordedTable]) -> str | None:
    """Return what names checkpoints: the settings, and every file as it is now; None without one.

    A file is named by device, inode, size, and the times of its last change, the system's own
    included, and so is its write-ahead log: none is read to be named.
    """
    files = [lasting_identity(table.path) for table in tables]
    return None if None in files else orjson.dumps([VERSION, settings, files]).decode()


class CheckpointCache:
    """Files of checkpoints in the user's cache directory, or in `directory`; old ones make room.

    One that is not `used` keeps nothing.

    Whatever goes wrong with the cache, no more is lost than time: it is said once, and checkpoints
    are made anew.
    """

    def __init__(self, directory: Path | None = None, *, used: bool = True) -> None:
        self._warned = False
        self._cache: DirectoryCache | None = None
        if not used:
            return
        try:
            root = (directory or user_cache_dir()) / "orderflow-replay" / "checkpoints"
        except OutputError as error:
            self._warn(str(error))
            return
        self._cache = DirectoryCache(
            root,
            rf"v{VERSION}-[0-9a-f]{{32}}",
            r"checkpoints\.bin|\.checkpoints\.bin\..+\.tmp",
            max_entries=MAX_ENTRIES,
            max_bytes=MAX_CACHE_BYTES,
        )

    def load(self, key: str) -> Checkpoints | None:
        """Return the checkpoints kept under `key`; None where there are none that can be used."""
        try:
            data = self._read(key)
            return None if data is None else decode(data, key)
        except OSError as error:
            self._warn(f"cannot be read ({error.strerror})")
        except CheckpointsError as error:
            logger.info("checkpoints in the cache are made anew: %s", error)
        return None

    def _read(self, key: str) -> bytes | None:
        if self._cache is None:
            return None
        try:
            path = self._cache.use(_name_of(key)) / _FILE
            if not path.is_file() or path.stat().st_size > 2 * MAX_BYTES:
                return None
            return path.read_bytes()
        finally:
            self._cache.release()

    def store(self, key: str, checkpoints: Checkpoints) -> None:
        """Keep checkpoints under `key`, in place of what was there."""
        if self._cache is None:
            return
        try:
            directory = self._cache.use(_name_of(key))
            remove_leftovers(directory)
            replace_file(directory / _FILE, encode(checkpoints, key))
            self._cache.trim()
        except OSError as error:
            self._warn(f"cannot be written to ({error.strerror})")
        finally:
            self._cache.release()

    def _warn(self, why: str) -> None:
        if not self._warned:
            self._warned = True
            logger.warning("checkpoints are not kept: the cache directory %s", why)


def _name_of(key: str) -> str:
    return f"v{VERSION}-{blake2b(key.encode(), digest_size=16).hexdigest()}"
