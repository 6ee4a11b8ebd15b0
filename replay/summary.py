"""Count what a run found wrong with its recording."""

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor


def count_data_issues(processor: OHLCProcessor, reader: DBInterpreter) -> dict[str, int]:
    """Count everything that was not clean in what was read and processed, by kind."""
    book, read = processor.book, reader.counts
    return {
        "rows_skipped": book.rows_skipped + read.rows_skipped,
        "levels_rejected": book.levels_rejected,
        "trades_skipped": read.trades_skipped,
        "crossed_books": book.crossed_books,
        "late_rows": read.late_rows,
        "late_trades": read.late_trades,
        "repeated_rows": read.repeated_rows,
        "repeated_trades": read.repeated_trades,
        "unknown_sides": processor.metrics.cvd.unknown_sides,
        "unusable_samples": processor.metrics.samples.unusable,
        "sequence_gaps": processor.sequence.gaps,
    }
