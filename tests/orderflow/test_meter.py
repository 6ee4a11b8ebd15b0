"""What is measured of reading, writing and memory."""

import pytest

from orderflow.meter import Meter, memory_document


def test_mean_and_most_are_of_what_succeeded(monkeypatch: pytest.MonkeyPatch) -> None:
    times = iter([0.0, 0.001, 1.0, 1.003, 5.0])
    monkeypatch.setattr("orderflow.meter.perf_counter", lambda: next(times))
    meter = Meter()
    assert meter.document() == {"count": 0, "bytes": 0, "mean_ms": 0.0, "most_ms": 0.0}
    for size in (10, 20):
        with meter.measuring(size):
            pass
    with pytest.raises(OSError, match="full"), meter.measuring(30):
        raise OSError("full")
    assert meter.document() == {"count": 2, "bytes": 20, "mean_ms": 2.0, "most_ms": 3.0}


def test_memory_is_told_in_megabytes() -> None:
    told = memory_document()
    assert told["most_mb"] is not None
    assert 5 < told["most_mb"] < 100_000
