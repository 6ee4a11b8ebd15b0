"""The run, its pace and the user's own way from Python agree with the slow, obvious way."""

from pathlib import Path
from random import Random

import pytest
from brute_force import BruteBook, metric_bars, ohlc_bars
from recording_factory import START, query
from truth_runs import MARKED, levels, replay, write

from db_interpreter import DBInterpreter
from ohlc_processor import OHLCProcessor
from orderflow.events import BookBatch, OrderbookUpdate


@pytest.mark.parametrize("seed", range(12))
def test_any_recording_gives_the_bars_and_counts_of_the_slow_way_by_every_way(
    tmp_path: Path, seed: int
) -> None:
    db = tmp_path / "BTC-USDT.db"
    draw = Random(seed)
    rows, truth, samples, time, seq = [], BruteBook(), [], 0, 10
    crossed = gaps = unreliable = 0
    is_reliable = True
    for number in range(150):
        replaces = number == 0 or draw.random() < 0.03
        time += draw.choice((0, 1, 100, 100, 4000))
        sides = [
            [(1000 + way * (i + 1), draw.choice((1, 2.5))) for i in range(12)]
            if replaces
            else [
                (1000 + way * draw.randrange(-1, 12), draw.choice((0, 1, 0.1)))
                for _ in range(draw.randrange(3))
            ]
            for way in (-1, 1)
        ]
        before = -1 if replaces else seq + (draw.random() < 0.02)
        seq = before + draw.choice((0, 1, 3)) if before > 0 else seq + 1
        rows.append((START + time, *(levels(*side) for side in sides), None, seq, before))
        for side, found in zip((truth.bids, truth.asks), sides, strict=True):
            if replaces:
                side.clear()
            for price, size in found:
                side.update({price: size} if size else {})
                if not size:
                    side.pop(price, None)
        is_gap = not replaces and before != rows[-2][4]
        gaps, is_reliable = gaps + is_gap, replaces or (is_reliable and not is_gap)
        unreliable += not is_reliable
        crossed += truth.is_crossed
        samples += [(START + time, *sums)] if (sums := truth.sums()) else []
    trades = [
        (
            START + draw.randrange(time),
            f"{i}",
            1000.0 + i % 7,
            i % 3 / 10,
            draw.choice(("buy", "?")),
        )
        for i in range(100)
    ]
    write(db, rows, trades, more=MARKED, index=draw.random() < 0.5)
    said = replay(db, window_seconds=7)
    ordered = sorted(trades, key=lambda found: found[0])
    bars = ohlc_bars([(t, price, size) for t, _, price, size, _ in ordered], 7000)
    metrics = metric_bars(samples, [(t, side, size) for t, _, _, size, side in ordered], 7000)
    counts = {
        "crossed_books": crossed,
        "unknown_sides": sum(found[4] == "?" for found in trades),
        "sequence_gaps": gaps,
        "unreliable_rows": unreliable,
    }
    assert said.files["ohlc_data.json"] == bars
    assert said.files["metrics_data.json"] == metrics
    assert said.counts == {kind: count for kind, count in counts.items() if count}
    assert said.reliable is is_reliable
    for kind, count in said.counts.items():
        assert sum(span[3] for span in said.spans if span[0] == kind) == count
    assert replay(db, window_seconds=7, speed=1e6).files == said.files
    for way in ("stream", "batches"):
        reader, processor = DBInterpreter(db), OHLCProcessor(7)
        for found, window in getattr(reader, way)():
            if isinstance(found, OrderbookUpdate):
                processor.update_orderbook(found)
            elif isinstance(found, BookBatch):
                processor.process_rows(found)
            processor.process_trades(window)
        processor.finalize()
        assert (processor.bars(), processor.metric_bars()) == (bars, metrics)
        issues = processor.issues
        issues.add(reader.issues)
        assert issues.counts() == said.status["counts"]
    assert query(db, "SELECT count(*) FROM book") == [(said.status["rows"],)]
