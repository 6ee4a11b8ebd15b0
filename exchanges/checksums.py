"""The exchanges' checksums over the best levels of a book."""

from collections.abc import Sequence
from functools import lru_cache
from itertools import chain, zip_longest
from zlib import crc32

from exchanges.decimals import pad
from exchanges.levels import Level

OKX_LEVELS = 25
KRAKEN_LEVELS = 10


def okx_checksum(bids: Sequence[Level], asks: Sequence[Level]) -> int:
    """Return OKX's CRC32, signed, of the best 25 levels, as sent until June 2026; since then 0.

    Of `bid:size:ask:size:…`, in the text sent; a side that has run out is skipped.
    """
    pairs = zip_longest(bids[:OKX_LEVELS], asks[:OKX_LEVELS])
    levels = (level for level in chain.from_iterable(pairs) if level)
    crc = crc32(":".join(f"{level.price}:{level.size}" for level in levels).encode())
    return crc - (1 << 32) if crc >= 1 << 31 else crc


def kraken_checksum(
    bids: Sequence[Level], asks: Sequence[Level], price_decimals: int, size_decimals: int
) -> int:
    """Return Kraken's CRC32, unsigned, of the best 10 levels: asks first, each side best first.

    Prices and sizes are padded to the decimals of the wire, the dot and leading zeros left out.
    """
    digits = [
        _digits(text, decimals)
        for level in (*asks[:KRAKEN_LEVELS], *bids[:KRAKEN_LEVELS])
        for text, decimals in ((level.price, price_decimals), (level.size, size_decimals))
    ]
    return crc32("".join(digits).encode())


@lru_cache(maxsize=1 << 14)  # the best levels are mostly those of the row before
def _digits(text: str, decimals: int) -> str:
    return pad(text, decimals).replace(".", "").lstrip("0")
