"""The slow, obvious way to heatmap columns: decimals and dicts, from docs/flow-files.md alone."""

import struct
from decimal import Decimal
from typing import Any

from brute_force import BruteBook

CODES = {"uint8": "B", "uint16": "H", "uint32": "I", "float64": "d"}
BFLOAT16_ERROR = Decimal("0.0040")


def numbers(array: Any) -> list[Any]:
    """Return the numbers of an array of a file."""
    return unpacked(CODES[array.dtype], bytes(array.data))


def unpacked(code: str, data: bytes) -> list[Any]:
    """Return little-endian numbers of one kind."""
    return list(struct.unpack(f"<{len(data) // struct.calcsize(code)}{code}", data))


def decoded(cell: int) -> float:
    """Return the size that a cell says, negative for asks."""
    return float(struct.unpack("<f", struct.pack("<I", cell << 16))[0])


class Heatmap:
    """The columns of one level, as `HeatColumns.ring` gives them."""

    def __init__(self, level: int, ring: tuple[int, dict[str, bytes]]) -> None:
        self.first, found = ring
        self.ms = 250 * 4**level
        self.low, self.row, self.bid, self.ask = (
            unpacked("d", found[name]) for name in ("low", "row", "bid", "ask")
        )
        self.updates, cells = unpacked("H", found["updates"]), unpacked("H", found["cells"])
        self.cells = [cells[i : i + 400] for i in range(0, len(cells), 400)]
        lengths = {*map(len, (self.low, self.row, self.bid, self.ask, self.updates, self.cells))}
        assert len(lengths) == 1

    def __len__(self) -> int:
        return len(self.low)

    def end_ms(self, place: int) -> int:
        return int((self.first + place + 1) * self.ms)


def assert_column_is_the_book(found: Heatmap, place: int, book: BruteBook) -> None:
    """Hold a column against the book at its end: best prices exactly, cells within bfloat16."""
    assert found.bid[place] == max(book.bids, default=0.0)
    assert found.ask[place] == min(book.asks, default=0.0)
    low, height = exact(found.low[place]), exact(found.row[place])
    sums = [dict[int, Decimal](), dict[int, Decimal]()]
    for side, levels in zip(sums, (book.bids, book.asks), strict=True):
        for price, size in levels.items():
            row = int((exact(price) - low) // height)
            if exact(price) >= low and row < 400:
                side[row] = side.get(row, Decimal(0)) + exact(size)
    for row, cell in enumerate(found.cells[place]):
        bid, ask = (side.get(row, Decimal(0)) for side in sums)
        wanted = bid if bid >= ask else -ask
        assert abs(exact(decoded(cell)) - wanted) <= abs(wanted) * BFLOAT16_ERROR, (place, row)
    if book.bids and book.asks:
        mid = (exact(found.bid[place]) + exact(found.ask[place])) / 2
        rows = (mid - low) / height
        assert (150 if low else 0) <= rows < 250


def exact(number: float) -> Decimal:
    return Decimal(repr(number))
