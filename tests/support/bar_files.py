"""Read the files of all bars of a run, and write small ones."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from orderflow.block_file import (
    ENTRIES_PER_BLOCK,
    block_bytes,
    head_bytes,
    pack_block,
    pack_head,
    unpack_block,
    unpack_head,
)
from replay.bar_files import BOOK_COLUMNS, TRADE_COLUMNS

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


def grown(
    kind: str, entries: Sequence[Sequence[float]], run: str = "one", **changed: object
) -> bytes:
    """Return a file of all bars with these entries."""
    columns = TRADE_COLUMNS if kind == "trade_bars" else BOOK_COLUMNS
    header = {"kind": kind, "instrument": "BTC-USDT", "run": run, "window_ms": 60_000} | changed
    blocks = [
        pack_block(entries[at : at + ENTRIES_PER_BLOCK])
        for at in range(0, len(entries), ENTRIES_PER_BLOCK)
    ]
    return pack_head(header, columns) + b"".join(blocks)
