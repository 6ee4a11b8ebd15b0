"""Write and read small stores."""

from collections.abc import Iterator
from pathlib import Path

from simulator.store_reader import Rows, StoreReader
from simulator.stored_rows import Fetch, book_content

INSTRUMENT = "BTC-USDT"
START = 1_749_427_200_000  # 2025-06-09, UTC
FETCH = Fetch(INSTRUMENT, "recording", START, START + 86_400_000)


def content(number: int, levels: int = 3) -> bytes:
    """Make the content of a book row that is like no other's."""
    side = b"[%b]" % b",".join(b'["%d.%d","%d"]' % (number, n, n) for n in range(levels))
    return book_content(side, b"[]", snapshot=number == 1, reliable=True)


def batches(store: Path, instrument: str = INSTRUMENT, from_seq: int | None = None) -> list[Rows]:
    """Read everything that is in a store now."""
    reader = StoreReader(store, instrument, from_seq)
    try:
        return list(iter(reader.read, None))
    finally:
        reader.close()


def lines(store: Path, instrument: str = INSTRUMENT, from_seq: int | None = None) -> list[bytes]:
    """Read every row that is in a store now."""
    return [line for rows in batches(store, instrument, from_seq) for line in rows.lines]


def numbered(found: list[bytes], first: int = 1) -> Iterator[bool]:
    """Say of each row whether it has the number that follows."""
    for number, line in enumerate(found, first):
        yield line.startswith(b'{"seq":%d,' % number)
