"""Read and write files that grow: a header, and after it blocks of columns that are only appended.

The format is in docs/flow-files.md. The header is an `OFR1` file without arrays; each block says
how many entries it has and bears a checksum, so that a torn tail is known for what it is.
"""

import zlib
from array import array
from collections.abc import Mapping, Sequence
from typing import Any

from orderflow.array_file import MAX_HEADER_BYTES, pack, unpack
from orderflow.errors import ArrayFileError

ENTRIES_PER_BLOCK = 256
"""Of every block but the last one of a run that has ended."""
BLOCK_HEAD_BYTES = 8
MAX_COLUMNS = 64


def pack_head(header: Mapping[str, Any], columns: Sequence[str]) -> bytes:
    """Return what a file begins with, given the names of its columns."""
    return pack({**header, "columns": list(columns), "block": ENTRIES_PER_BLOCK}, {})


def pack_block(entries: Sequence[Sequence[float]]) -> bytes:
    """Return a block of entries with a value for each column."""
    data = b"".join(array("d", column).tobytes() for column in zip(*entries, strict=True))
    return len(entries).to_bytes(4, "little") + zlib.crc32(data).to_bytes(4, "little") + data


def block_bytes(entries: int, columns: int) -> int:
    """Return the length of a block."""
    return BLOCK_HEAD_BYTES + 8 * entries * columns


def head_bytes(begin: bytes) -> int:
    """Return the length of a file's head, given its first 8 bytes. Raise `ArrayFileError`."""
    length = int.from_bytes(begin[4:8], "little")
    if len(begin) < 8 or length > MAX_HEADER_BYTES:
        raise ArrayFileError(f"its header cannot have {length:,} bytes", "header")
    return 8 + length


def unpack_head(head: bytes) -> tuple[dict[str, Any], list[str]]:
    """Return the header and the names of the columns. Raise `ArrayFileError` for another file."""
    header, arrays = unpack(head)
    columns = header.get("columns")
    if arrays or not isinstance(columns, list) or not 1 <= len(columns) <= MAX_COLUMNS:
        raise ArrayFileError(f"its header lists no columns, or more than {MAX_COLUMNS}", "header")
    if not all(isinstance(name, str) for name in columns) or len(set(columns)) != len(columns):
        raise ArrayFileError("its columns have no names of their own", "header")
    if header.get("block") != ENTRIES_PER_BLOCK:
        raise ArrayFileError(
            f"its blocks have {header.get('block')!r:.40} entries, {ENTRIES_PER_BLOCK} are read",
            "header",
        )
    return header, columns


def unpack_block(block: bytes, columns: int) -> list["array[float]"]:
    """Return the columns of a block. Raise `ArrayFileError` for one that is torn or foreign."""
    count = int.from_bytes(block[:4], "little")
    if not 1 <= count <= ENTRIES_PER_BLOCK or len(block) != block_bytes(count, columns):
        raise ArrayFileError(
            f"a block of {len(block):,} bytes cannot have {count:,} entries", "block"
        )
    data = block[BLOCK_HEAD_BYTES:]
    if zlib.crc32(data) != int.from_bytes(block[4:8], "little"):
        raise ArrayFileError("a block is not what its checksum says", "block")
    values = array("d", data)
    return [values[place * count : (place + 1) * count] for place in range(columns)]
