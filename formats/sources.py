"""Open a file to import as a stream of bytes or lines, whatever it is packed in.

Nothing is unpacked to the disk and no name inside an archive is used as a path; memory does not
grow with what is packed.
"""

import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Protocol

import zstandard

from formats.tar_member import TarMember
from orderflow.errors import OrderflowError


def _zlib() -> Any:
    try:  # two to three times as fast, of the group `data`
        from isal import isal_zlib  # noqa: PLC0415
    except ImportError:
        return zlib
    return isal_zlib


_ZLIB = _zlib()
MAX_LINE_BYTES = 8_000_000
"""Longest line that is read: a longer one is no line, such as a gigabyte of zeros."""
MAX_LAYERS = 4
"""How often a file may be packed, such as a tar in a gzip in a zip."""
BLOCK_BYTES = 1 << 18
HEAD_BYTES = 1 << 16
_ZSTD_WINDOW = 1 << 26
_ZSTD_PIECE = 512
"""So little of zstd is decoded at once: 512 bytes of it are 16 MB of zeros at most."""

_GZIP, _ZSTD, _ZIP, _TAR = b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"PK\x03\x04", b"ustar"
_ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_UNREAD = {b"BZh": "bzip2", b"\xfd7zXZ": "xz", b"7z\xbc\xaf": "7-Zip", b"Rar!": "RAR"}
_PACKING = (".tar", ".gz", ".tgz", ".zip", ".zst", ".csv", ".data", ".npz", ".npy", ".dbn", ".txt")


class SourceError(OrderflowError):
    """Report a file, `path`, that cannot be imported, or not to its end."""

    def __init__(self, message: str, path: Path) -> None:
        super().__init__(message)
        self.path = path


class CutError(SourceError):
    """Report a file that is cut short or damaged; what came before that place is good."""


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


class _Peekable:
    """A stream of which the beginning may be looked at before it is read.

    Damage that is met in looking is raised where the reading gets there.
    """

    def __init__(self, stream: _Readable) -> None:
        self._stream, self.head = stream, b""
        self._damage: CutError | None = None

    def peek(self, size: int) -> bytes:
        try:
            while not self._damage and len(self.head) < size:
                more = self._stream.read(size - len(self.head))
                if not more:
                    break
                self.head += more
        except CutError as error:
            self._damage = error
        return self.head[:size]

    def read(self, size: int) -> bytes:
        if not self.head:
            if self._damage:
                raise self._damage
            return self._stream.read(size)
        taken, self.head = self.head[:size], self.head[size:]
        return taken


class _Gunzip:
    """What is in a gzip file, of several members too, a bounded piece at a time."""

    def __init__(self, packed: _Readable, path: Path) -> None:
        self._packed, self._path = packed, path
        self._inflate = _ZLIB.decompressobj(31)
        self._waiting = b""
        self._begun = self._holds_more = False

    def read(self, size: int) -> bytes:
        while True:
            if self._inflate.eof:
                self._holds_more = False
                self._waiting = self._inflate.unused_data
                self._inflate, self._begun = _ZLIB.decompressobj(31), False
            if not self._waiting and not self._holds_more:
                self._waiting = self._packed.read(BLOCK_BYTES)
            if not self._waiting and not self._holds_more:
                if self._begun:
                    raise CutError(_cut(self._path, "its gzip stream does not end"), self._path)
                return b""
            if not self._begun and self._waiting and not self._waiting.strip(b"\0"):
                self._waiting = b""  # padding behind the last member
                continue
            self._begun = True
            try:
                found = bytes(self._inflate.decompress(self._waiting, size))
            except _ZLIB.error as error:
                raise CutError(_cut(self._path, str(error)), self._path) from error
            self._waiting = self._inflate.unconsumed_tail
            self._holds_more = len(found) == size  # all was taken in, and not all given
            if found:
                return found


class _Unzstd:
    """What is in a zstd file, of several frames too, in pieces of at most 16 MB."""

    def __init__(self, packed: _Readable, path: Path) -> None:
        self._packed, self._path = packed, path
        self._decoder = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW)
        self._frame: Any = None
        self._waiting = self._found = b""

    def read(self, size: int) -> bytes:
        while not self._found:
            if not self._waiting:
                self._waiting = self._packed.read(BLOCK_BYTES)
            if not self._waiting:
                if self._frame is not None:
                    raise CutError(_cut(self._path, "its zstd stream does not end"), self._path)
                return b""
            self._decode()
        taken, self._found = self._found[:size], self._found[size:]
        return taken

    def _decode(self) -> None:
        if self._frame is None:
            self._frame = self._decoder.decompressobj()
        piece, self._waiting = self._waiting[:_ZSTD_PIECE], self._waiting[_ZSTD_PIECE:]
        try:
            self._found = self._frame.decompress(piece)
        except zstandard.ZstdError as error:
            if "too much memory" in str(error):
                msg = f"{self._path}: its zstd needs over {_ZSTD_WINDOW >> 20} MB to be unpacked"
                raise SourceError(f"{msg}; unpack it first", self._path) from error
            raise CutError(_cut(self._path, str(error)), self._path) from error
        if self._frame.eof:
            self._waiting = self._frame.unused_data + self._waiting
            self._frame = None


class _OnlyMember:
    """The one file of a tar; a second one is an error when the first has been read."""

    def __init__(self, packed: _Readable, path: Path) -> None:
        self._path = path
        try:
            self._member = TarMember(packed)
        except tarfile.TarError as error:
            raise CutError(_cut(path, str(error)), path) from error
        if self._member.name is None:
            msg = f"{path}: the tar has no file in it; download it again"
            raise SourceError(msg, path)
        self.name = self._member.name

    def read(self, size: int) -> bytes:
        try:
            found = self._member.read(size)
        except tarfile.TarError as error:
            raise CutError(_cut(self._path, str(error)), self._path) from error
        if self._member.has_more:
            raise SourceError(_several(self._path, "more than one file"), self._path)
        return found


class _ZipMember:
    """The one file of a zip."""

    def __init__(self, packed: zipfile.ZipFile, path: Path, stack: ExitStack) -> None:
        self._path = path
        members = [info for info in packed.infolist() if not info.is_dir()]
        if len(members) != 1:
            raise SourceError(_several(path, f"{len(members)} files"), path)
        if members[0].compress_type not in _ZIP_METHODS:
            # Of bzip2 and lzma, zipfile unpacks a block at once, which may be a gigabyte.
            method = members[0].compress_type
            msg = f"{path}: the zip is not packed by deflate (method {method}); unpack it"
            raise SourceError(f"{msg}, and import what was in it", path)
        self.name = members[0].filename
        try:
            self._member = stack.enter_context(packed.open(members[0]))
        except (RuntimeError, NotImplementedError, zipfile.BadZipFile) as error:
            msg = f"{path}: the zip can't be read ({error}); unpack it, and import what was in it"
            raise SourceError(msg, path) from error

    def read(self, size: int) -> bytes:
        try:
            return self._member.read(size)
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise CutError(_cut(self._path, str(error) or "its end is missing"), self._path) from (
                error
            )


class Source:
    """A file to import, opened: its bytes, its lines, and the name of what is in it.

    `name` is that of the innermost file, without folders. A file that is cut short or damaged ends
    early, and `failure` says so then; other errors are raised. `position` counts the bytes of the
    file on the disk that were read, of `size`. `may_be_cut` is whether lines of a file that is not
    packed ended without an end of line, as nothing else would show a cut. A context manager.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, path.name
        self.failure: CutError | None = None
        self.may_be_cut = False
        self._is_packed = True
        self._stack = ExitStack()

    def __enter__(self) -> "Source":
        try:
            self._file = self._stack.enter_context(self.path.open("rb"))
            self.size = self.path.stat().st_size
            self._stream = self._unpacked()
        except OSError as error:
            self._stack.close()
            msg = f"{self.path} can't be read: {error.strerror or error}; check its name"
            raise SourceError(msg, self.path) from error
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(
        self, _: type[BaseException] | None, __: BaseException | None, ___: TracebackType | None
    ) -> None:
        self._stack.close()

    @property
    def position(self) -> int:
        """Return how many bytes of the file have been read."""
        return self._file.tell()

    def _unpacked(self) -> _Peekable:
        stream = _Peekable(self._file)
        for layers in range(MAX_LAYERS + 1):
            inner = self._layer(stream)
            if inner is None:
                self._is_packed = layers > 0
                if stream.head.startswith(_BYTE_ORDER_MARK):
                    stream.read(len(_BYTE_ORDER_MARK))
                return stream
            stream = _Peekable(inner)
        msg = f"{self.path}: packed more than {MAX_LAYERS} times over; unpack it"
        raise SourceError(msg, self.path)

    def _layer(self, stream: _Peekable) -> _Readable | None:
        """Return what is packed in `stream`; None where nothing is."""
        head = stream.peek(512)
        if head.startswith(_GZIP):
            return _Gunzip(stream, self.path)
        if head.startswith(_ZSTD):
            return _Unzstd(stream, self.path)
        if head.startswith(_ZIP):
            return self._zip_member(stream)
        if head[257:262] == _TAR:
            member = _OnlyMember(stream, self.path)
            self.name = self._plain_name(member.name)
            return member
        for magic, what in _UNREAD.items():
            if head.startswith(magic):
                msg = f"{self.path}: {what} is not read; unpack it, and import what was in it"
                raise SourceError(msg, self.path)
        return None

    def _zip_member(self, stream: _Peekable) -> _Readable:
        if self._file.tell() > 512 or self.name != self.path.name:
            msg = f"{self.path}: a zip inside another archive; unpack the outer one"
            raise SourceError(msg, self.path)
        try:
            packed = self._stack.enter_context(zipfile.ZipFile(self._file))
        except (zipfile.BadZipFile, ValueError, NotImplementedError) as error:
            msg = f"{self.path}: no whole zip ({error}); download it again"
            raise SourceError(msg, self.path) from error
        member = _ZipMember(packed, self.path, self._stack)
        self.name = self._plain_name(member.name)
        return member

    def _plain_name(self, name: str) -> str:
        path = PurePosixPath(name.replace("\\", "/"))
        if path.is_absolute() or ".." in path.parts:
            msg = f"{self.path}: the file in it is called {name[:80]!r}, a path out of the archive"
            raise SourceError(f"{msg}; get the archive from its source", self.path)
        return path.name

    # -- reading

    def head(self) -> bytes:
        """Return the first bytes, up to 64 kB, without reading them."""
        return self._stream.peek(HEAD_BYTES)

    def read(self, size: int = BLOCK_BYTES) -> bytes:
        """Return the next bytes, at most `size`; none at the end."""
        if self.failure:
            return b""
        try:
            return self._stream.read(size)
        except CutError as error:
            self.failure = error
            return b""

    def blocks(self) -> Iterator[bytes]:
        """Yield whole lines, many at a time, each with its end.

        The last line may lack it, unless the file is cut short: then a line without end is left
        out. Raise `SourceError` for a line of more than `MAX_LINE_BYTES`.
        """
        rest: list[bytes] = []
        length = 0
        while block := self.read():
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join((*rest, block[:end]))
                rest, length = [], 0
            if end < len(block):
                rest.append(block[end:])
                length += len(block) - end
            if length > MAX_LINE_BYTES:
                msg = (
                    f"{self.path}: a line is longer than {MAX_LINE_BYTES:,} bytes, so this is no "
                    "text of rows; look at what is in it"
                )
                raise SourceError(msg, self.path)
        self.may_be_cut = bool(rest) and not self._is_packed
        if rest and not self.failure:
            yield b"".join(rest)

    def lines(self) -> Iterator[bytes]:
        """Yield the lines that are not empty, without their ends."""
        for block in self.blocks():
            for line in block.split(b"\n"):
                if line := line.rstrip(b"\r"):
                    yield line


def bare_name(path: Path) -> str:
    """Return a file's name without the endings that say how it is packed."""
    name = path.name
    while (ending := PurePosixPath(name).suffix.lower()) in _PACKING and ending != name.lower():
        name = name[: -len(ending)]
    return name


def _cut(path: Path, why: str) -> str:
    return f"{path}: cut short or damaged ({why}); download it again"


def _several(path: Path, found: str) -> str:
    return f"{path}: an archive has one file in it, found {found}; unpack it, import each"
