"""Read the files of all bars of a run, and write small ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orderflow.block_file import block_bytes, head_bytes, unpack_block, unpack_head

Entries = list[tuple[float, ...]]


def read_bars(path: Path) -> tuple[dict[str, Any], Entries]:
    """Return the header and all bars of a file, which must have nothing else in it."""
    raw = path.read_bytes()
    at = head_bytes(raw[:8])
    header, columns = unpack_head(raw[:at])
    entries: Entries = []
    while at < len(raw):
        length = block_bytes(int.from_bytes(raw[at : at + 4], "little"), len(columns))
        found: Sequence[Sequence[float]] = unpack_block(raw[at : at + length], len(columns))
        entries += zip(*found, strict=True)
        at += length
    return header, entries
