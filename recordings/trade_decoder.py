"""Turn recorded rows of trades into trades: usable, of the range, and each once."""

from collections.abc import Iterable, Iterator
from math import inf

from level_parser import to_number
from orderflow.compiled import fastest
from orderflow.events import Trade
from recordings.row_order import ORDINARY_IDS, Row, id_of

MAX_TRADE_SIZE = 1e290
"""Largest size of a trade: beyond, sums of sizes would no longer be finite."""


class PythonTradeDecoder:
    """Turn rows `(ms, order, trade_id, price, size, side)` into trades of `[start_ms, end_ms)`.

    `skipped` counts trades whose price is not finite and positive or whose size is not finite or
    negative; `repeated` those equal to an earlier one in `trade_id` and in all else, the timestamp
    included, so that remembering the trades of one millisecond is enough. `skipped_times` and
    `repeated_times` are the times of these trades in ms, in order; they grow until the caller
    clears them.
    """

    def __init__(self, start_ms: float, end_ms: float) -> None:
        self._start, self._end = start_ms, end_ms
        self._seen_ms = -1
        self._first: Row = ()
        self._seen: set[Row] | None = None
        self.skipped = 0
        self.repeated = 0
        self.skipped_times: list[int] = []
        self.repeated_times: list[int] = []

    def decode(self, batches: Iterable[list[Row]]) -> Iterator[list[Trade]]:
        """Yield the usable trades, in the order of the rows, in lists that are not empty."""
        for batch in batches:
            trades = self._trades(batch)
            if trades:
                yield trades
            if batch[-1][0] >= self._end:
                return

    def _trades(self, batch: list[Row]) -> list[Trade]:
        trades: list[Trade] = []
        seen_ms, first, seen = self._seen_ms, self._first, self._seen
        start, end = self._start, self._end
        for ms, order, raw_id, price, size, raw_side in batch:
            if not start <= ms < end:
                continue
            if type(price) is not float or type(size) is not float:
                price, size = to_float(price), to_float(size)  # noqa: PLW2901
            if not (0.0 < price < inf and 0.0 <= size <= MAX_TRADE_SIZE):
                self.skipped += 1
                self.skipped_times.append(ms)
                continue
            side = _SIDES.get(raw_side) or lowered(raw_side)
            trade_id = raw_id.decode(errors="replace") if type(raw_id) is bytes else to_text(raw_id)
            key = (trade_id, price, size, side)
            if ms != seen_ms:
                seen_ms, first, seen = ms, key, None
            elif trade_id is not None:
                # Most milliseconds have one trade; a set is made for the second.
                seen = {first} if seen is None else seen
                if key in seen:
                    self.repeated += 1
                    self.repeated_times.append(ms)
                    continue
                seen.add(key)
            own_id = order if order < ORDINARY_IDS else id_of(order)
            trades.append((own_id, trade_id, price, size, side, ms))
        self._seen_ms, self._first, self._seen = seen_ms, first, seen
        return trades


_SIDES = {b"buy": "buy", b"sell": "sell"}


def lowered(raw: object) -> str | None:
    """Return recorded text in lower case without surrounding blanks; None for NULL."""
    text = to_text(raw)
    return None if text is None else text.strip().lower()


def to_text(raw: object) -> str | None:
    """Return a recorded value as text; None for NULL."""
    if raw is None:
        return None
    return raw.decode(errors="replace") if isinstance(raw, bytes) else str(raw)


def to_float(raw: object) -> float:
    """Return what a recorded price or size says, NaN if it is no number."""
    if isinstance(raw, float):
        return raw
    return to_number(raw.decode(errors="replace") if isinstance(raw, bytes) else raw)


TradeDecoder = fastest(
    "TradeDecoder",
    PythonTradeDecoder,
    to_float=to_float,
    id_of=id_of,
    MAX_TRADE_SIZE=MAX_TRADE_SIZE,
)
