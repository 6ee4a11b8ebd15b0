"""Hold the compiled twins of what costs most in the order-flow replay.

Importing it fails with `ImportError` where the extensions were not built, for want of a C
compiler; `orderflow.compiled.fastest` then uses Python. It imports nothing of the program: what a
twin needs of it must be handed in before its first use, which otherwise raises `RuntimeError`.
"""

from orderflow_native._book import (
    BookReader,
    HeatColumns,
    LevelLog,
    OrderbookManager,
    RowReader,
    RowRecorder,
    merged_rows,
    parse_levels,
    parse_plain_side,
)
from orderflow_native._exports import delta_columns, event_bytes, fixed_point
from orderflow_native._level_book import LevelBook
from orderflow_native._metrics import (
    Portions,
    flows,
    imbalances,
    mids,
    ohlc,
    slopes,
    spreads,
    sums,
    weighted_mids,
)
from orderflow_native._needs import hand_in
from orderflow_native._okx_archive import read_okx_block
from orderflow_native._rows import TradeDecoder, are_whole_ms, is_sorted
from orderflow_native._samples import Samples, sample_bars, samples_of_columns
from orderflow_native._stored_rows import parse_row
from orderflow_native._sums import CompensatedSum, delta_bars, price_bars
from orderflow_native._text_book import TextBook
from orderflow_native._trades import VolumeByRow, add_windows, trade_columns

__all__ = [
    "BookReader",
    "CompensatedSum",
    "HeatColumns",
    "LevelBook",
    "LevelLog",
    "OrderbookManager",
    "Portions",
    "RowReader",
    "RowRecorder",
    "Samples",
    "TextBook",
    "TradeDecoder",
    "VolumeByRow",
    "add_windows",
    "are_whole_ms",
    "delta_bars",
    "delta_columns",
    "event_bytes",
    "fixed_point",
    "flows",
    "hand_in",
    "imbalances",
    "is_sorted",
    "merged_rows",
    "mids",
    "ohlc",
    "parse_levels",
    "parse_plain_side",
    "parse_row",
    "price_bars",
    "read_okx_block",
    "sample_bars",
    "samples_of_columns",
    "slopes",
    "spreads",
    "sums",
    "trade_columns",
    "weighted_mids",
]
