"""Make bars of the samples that a prepared copy has, without rebuilding the book."""

from bisect import bisect_left
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from formats.prepared_reading import numbers_of
from metrics.rolling_bars import Bar
from metrics_calculator import SampleBars, samples_of_columns
from orderflow.issues import IssueLog

_COLUMNS = ["timestamp", "bid_sum", "ask_sum"]


def sampled_bars(
    paths: Sequence[Path],
    window_seconds: int = 60,
    start_ms: int | None = None,
    end_ms: int | None = None,
    issues: IssueLog | None = None,
) -> list[Bar]:
    """Return the bars `[ts, obi_open, …, tot_close]` of samples in `[start_ms, end_ms)`.

    `paths` are `samples.parquet` files that follow one another in time. The bars are those of a
    replay of the same range with the depth, book mode and without the uncrossing that the files'
    metadata name. What cannot be used is noted in `issues`.
    """
    bars = SampleBars(window_seconds, 1, IssueLog() if issues is None else issues)
    bars.fresh = []
    for path in paths:
        with pa.OSFile(str(path)) as raw, pq.ParquetFile(raw) as file:
            for group in range(file.num_row_groups):
                table = file.read_row_group(group, columns=_COLUMNS, use_threads=False)
                times = numbers_of(table, "timestamp", "q")
                sums = (numbers_of(table, name, "d") for name in _COLUMNS[1:])
                samples = samples_of_columns(times, *sums)
                first = 0 if start_ms is None else bisect_left(times, start_ms)
                last = len(times) if end_ms is None else bisect_left(times, end_ms)
                if first < last:
                    bars.add(samples[first:last])
    bars.finalize()
    return bars.fresh
