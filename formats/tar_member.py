"""Read the one file of a tar as a stream, in memory that no header can make grow.

`tarfile` reads what a header announces, a name of a gigabyte too, into memory, and goes a call
deeper for each header that says something about the next.
"""

import tarfile
from typing import Protocol

BLOCK = 512
MOST_SAID = 1 << 20
"""Longest record of a name, or of extended headers, that is read."""
_PIECE = 1 << 18
_LONG_NAME, _LONG_LINK, _EXTENDED, _GLOBAL = b"L", b"K", b"x", b"g"


class Packed(Protocol):
    """What a tar is read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, perhaps fewer than asked for; none at the end."""
        ...


class TarMember:
    """The first file of a tar, and whether it is the only one.

    Raise `tarfile.TarError` for what is no tar, or is cut short. Its end is read too, so that what
    it is packed in can check its sums.
    """

    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self.name: str | None = None
        """The file's name as the tar has it; None where there is no file."""
        self.has_more = False
        """Whether there is another file; known when the first has been read."""
        self._left = self._begin()

    def read(self, size: int) -> bytes:
        """Return the next bytes of the file, at most `size`; none at its end."""
        if not self._left:
            return b""
        found = self._packed.read(min(size, self._left))
        if not found:
            msg = "the file in the tar does not end"
            raise tarfile.ReadError(msg)
        self._left -= len(found)
        if not self._left:
            self._end()
        return found

    def _begin(self) -> int:
        """Go to the first file, note its name, and return its size."""
        found = self._next_file()
        if found is None:
            return 0
        self.name, size = found
        self._padding = -size % BLOCK
        if not size:
            self._end()
        return size

    def _end(self) -> None:
        """Look for another file, and read what is behind."""
        self._skip(self._padding)
        self.has_more = self._next_file() is not None
        while not self.has_more and self._packed.read(_PIECE):
            pass

    def _next_file(self) -> tuple[str, int] | None:
        """Return name and size of the next file, at whose content the stream then is."""
        name, size = "", None
        while (header := self._header()) is not None:
            kind = header.type
            if kind in (_LONG_NAME, _EXTENDED):
                said = self._said(header.size)
                if kind == _LONG_NAME:
                    name = said.split(b"\0", 1)[0].decode(errors="replace")
                else:
                    name, size = _extended(said, name, size)
            elif kind in (_LONG_LINK, _GLOBAL):
                self._skip(header.size + -header.size % BLOCK)
            elif kind == tarfile.GNUTYPE_SPARSE:
                raise _with_holes()
            elif header.isreg():
                return name or header.name, header.size if size is None else size
            else:
                if kind not in tarfile.SUPPORTED_TYPES:
                    self._skip(header.size + -header.size % BLOCK)
                name, size = "", None
        return None

    def _header(self) -> tarfile.TarInfo | None:
        """Return the next header; None at the end."""
        raw = self._exactly(BLOCK)
        if not raw.strip(b"\0") and len(raw) in (0, BLOCK):
            return None
        if len(raw) < BLOCK:
            msg = "a header is cut short"
            raise tarfile.ReadError(msg)
        header = tarfile.TarInfo.frombuf(raw, "utf-8", "replace")
        if header.size < 0:
            msg = f"a size of {header.size:,} bytes"
            raise tarfile.ReadError(msg)
        return header

    def _said(self, size: int) -> bytes:
        if size > MOST_SAID:
            msg = f"a name or header of {size:,} bytes"
            raise tarfile.ReadError(msg)
        said = self._exactly(size)
        self._skip(-size % BLOCK)
        return said

    def _skip(self, size: int) -> None:
        while size > 0 and (found := self._packed.read(min(size, _PIECE))):
            size -= len(found)

    def _exactly(self, size: int) -> bytes:
        found = b""
        while len(found) < size and (more := self._packed.read(size - len(found))):
            found += more
        return found


def _extended(said: bytes, name: str, size: int | None) -> tuple[str, int | None]:
    """Return name and size as the records `length key=value` of an extended header say them."""
    while said:
        digits, _, _ = said.partition(b" ")
        if not digits.isdigit() or len(digits) > 8 or int(digits) <= len(digits) + 1:
            msg = "an extended header that can't be read"
            raise tarfile.ReadError(msg)
        record, said = said[len(digits) + 1 : int(digits) - 1], said[int(digits) :]
        key, _, value = record.partition(b"=")
        if key == b"path":
            name = value.decode(errors="replace")
        elif key == b"size" and value.isdigit() and len(value) < 19:
            size = int(value)
        elif key.startswith(b"GNU.sparse."):
            raise _with_holes()
    return name, size


def _with_holes() -> tarfile.ReadError:
    return tarfile.ReadError("the tar has a file with holes in it")
