"""A market as it is handed to ticks and to orders: rows with trades, one by one or in batches."""

from collections.abc import Iterable, Sequence

from orderflow.events import BookBatch, OrderbookUpdate, Trade

Item = tuple[OrderbookUpdate | BookBatch, Sequence[Trade]]
"""What `DBInterpreter.stream` yields, or what `DBInterpreter.batches` does, which costs far less.

Trades of a batch lie before all that comes later; at one time rows are before trades.
"""
Stream = Iterable[Item]
LiveStream = Iterable[Item | None]
"""A stream in which None says that nothing is there now."""


def as_batch(rows: OrderbookUpdate | BookBatch) -> BookBatch:
    """Return rows as a batch; an update without an id and without sides is none of its rows."""
    if isinstance(rows, BookBatch):
        return rows
    bids, asks, timestamp, _, number, snapshot, seq_id, prev_seq_id, lost = rows
    before = [(0, rows) for rows in lost]
    if number is None and bids is None and asks is None:
        return BookBatch([], [], lost=before)
    is_known = seq_id is not None
    return BookBatch(
        [(timestamp, number or 0, bids, asks)],
        [snapshot],
        [seq_id] if is_known else None,
        [prev_seq_id] if is_known else None,
        before,
    )


def update_at(batch: BookBatch, index: int) -> OrderbookUpdate:
    """Return a row of a batch by itself, with what was lost just before it."""
    timestamp, number, bids, asks = batch.rows[index]
    lost = tuple(rows for place, rows in batch.lost if place == index) if batch.lost else ()
    return OrderbookUpdate(
        bids,
        asks,
        timestamp,
        None,
        number,
        batch.snapshots[index],
        batch.seq_ids[index] if batch.seq_ids else None,
        batch.prev_seq_ids[index] if batch.prev_seq_ids else None,
        lost,
    )
