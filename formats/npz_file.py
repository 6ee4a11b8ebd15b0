"""Write one array into an npz as it comes: its length, and the sum of its bytes, at the end."""

import struct
import zlib
from pathlib import Path
from typing import BinaryIO

HEADER_BYTES = 256
"""Of the array's own header, room for any length included."""
MOST_COMMENT = 65_535
_LOCAL = struct.Struct("<4s5H3I2H")
_CENTRAL = struct.Struct("<4s6H3I5H2I")
_ZIP64 = struct.Struct("<2H2Q")
_END64 = struct.Struct("<4sQ2H2I4Q")
_LOCATOR = struct.Struct("<4sIQI")
_END = struct.Struct("<4s4H2IH")
_VERSION, _OLDEST_DOS_DATE, _IN_ZIP64 = 45, 0x21, 0xFFFFFFFF
_POLYNOMIAL = 0xEDB88320


class NpzWriter:
    """An npz with one array of records, `name`, stored as it is and never held in memory.

    `descriptor` is numpy's, a list of `(field, type)`. Without `close` the file is no archive.
    """

    def __init__(
        self, path: Path, name: str, descriptor: list[tuple[str, str]], comment: bytes = b""
    ) -> None:
        self._name = f"{name}.npy".encode()
        self._descriptor = descriptor
        self._comment = comment[:MOST_COMMENT]
        self._sum = 0
        self.bytes = 0
        self._file: BinaryIO = path.open("xb")
        self._write_head(b"\0" * HEADER_BYTES)

    def __enter__(self) -> "NpzWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def write(self, records: bytes) -> None:
        """Append records."""
        self._sum = zlib.crc32(records, self._sum)
        self.bytes += len(records)
        self._file.write(records)

    def close(self, record_bytes: int) -> None:
        """End the array, of records of so many bytes, and the archive."""
        shape = (self.bytes // record_bytes,)
        form = {"descr": self._descriptor, "fortran_order": False, "shape": shape}
        text = repr(form).encode().ljust(HEADER_BYTES - 11) + b"\n"
        header = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text
        self._sum = joined_sum(zlib.crc32(header), self._sum, self.bytes)
        self._write_directory()
        self._file.seek(0)
        self._write_head(header)
        self._file.close()

    @property
    def _size(self) -> int:
        return HEADER_BYTES + self.bytes

    def _write_head(self, header: bytes) -> None:
        sizes = _ZIP64.pack(1, 16, self._size, self._size)
        self._file.write(
            _LOCAL.pack(
                b"PK\3\4", _VERSION, 0, 0, 0, _OLDEST_DOS_DATE, self._sum, _IN_ZIP64, _IN_ZIP64,
                len(self._name), len(sizes),
            )
            + self._name + sizes + header
        )  # fmt: skip

    def _write_directory(self) -> None:
        """Write what an archive ends in, in the form for files of any size."""
        begin = self._file.tell()
        sizes = _ZIP64.pack(1, 16, self._size, self._size)
        entry = _CENTRAL.pack(
            b"PK\1\2", _VERSION, _VERSION, 0, 0, 0, _OLDEST_DOS_DATE, self._sum, _IN_ZIP64,
            _IN_ZIP64, len(self._name), len(sizes), 0, 0, 0, 0o600 << 16, 0,
        ) + self._name + sizes  # fmt: skip
        size, end = len(entry), begin + len(entry)
        end64 = _END64.pack(b"PK\6\6", 44, _VERSION, _VERSION, 0, 0, 1, 1, size, begin)
        locator = _LOCATOR.pack(b"PK\6\7", 0, end, 1)
        last = _END.pack(b"PK\5\6", 0, 0, 1, 1, size, _IN_ZIP64, len(self._comment))
        self._file.write(entry + end64 + locator + last + self._comment)


def joined_sum(first: int, second: int, length: int) -> int:
    """Return the CRC-32 of two pieces one after the other, `length` bytes the second.

    That is the first one's, moved on by the zeros that `length` bytes are, and the second one's: a
    CRC is linear. Source: `crc32_combine` of zlib.
    """
    moved, square = 1 << 31, 1 << 23  # of x^0, and x^8, the first bit being the highest
    while length:
        if length & 1:
            moved = _times(square, moved)
        square = _times(square, square)
        length >>= 1
    return _times(moved, first) ^ second


def _times(a: int, b: int) -> int:
    """Return the product of two polynomials modulo that of CRC-32."""
    product, bit = 0, 1 << 31
    while bit:
        if a & bit:
            product ^= b
        bit >>= 1
        b = (b >> 1) ^ _POLYNOMIAL if b & 1 else b >> 1
    return product
