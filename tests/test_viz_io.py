import json
from pathlib import Path
from typing import Any

import pytest

import viz_io
from orderflow.errors import OutputError


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("DATA_FILE", "DEPTH_FILE", "METRICS_FILE"):
        monkeypatch.setattr(viz_io, name, tmp_path / getattr(viz_io, name).name)
    return tmp_path


def read(path: Path) -> Any:
    return json.loads(path.read_bytes())


class TestFunctions:
    def test_ohlc_bars_are_appended_replaced_and_cleared(self, files: Path) -> None:
        viz_io.add_ohlc_bar(1000, 1.0, 2.0, 0.5, 1.5, 10.0)
        viz_io.upsert_ohlc_bar(1000, 1.0, 3.0, 0.5, 2.5, 11.0)
        viz_io.upsert_ohlc_bar(
            timestamp=2000, open_price=2, high_price=2, low_price=2, close_price=2, volume=1
        )
        assert read(files / "ohlc_data.json") == [
            [1000, 1.0, 3.0, 0.5, 2.5, 11.0],
            [2000, 2, 2, 2, 2, 1],
        ]
        viz_io.upsert_ohlc_bar(1000, 9.0, 9.0, 9.0, 9.0, 9.0)
        assert read(files / "ohlc_data.json")[0] == [1000, 9.0, 9.0, 9.0, 9.0, 9.0]
        viz_io.clear_data()
        assert read(files / "ohlc_data.json") == []

    def test_metric_bars_have_5_9_or_13_fields(self, files: Path) -> None:
        viz_io.add_metric_bar(timestamp=1, obi_open=0.1, obi_high=0.2, obi_low=0, obi_close=0.1)
        viz_io.add_metric_bar(2, 0.1, 0.2, 0.0, 0.1, (1, 2, 3, 4))
        viz_io.upsert_metric_bar(2, 0.1, 0.2, 0.0, 0.1, (1, 2, 3, 4), (5, 6, 7, 8))
        bars = read(files / "metrics_data.json")
        assert [len(bar) for bar in bars] == [5, 13]
        assert bars[1] == [2, 0.1, 0.2, 0.0, 0.1, 1, 2, 3, 4, 5, 6, 7, 8]
        with pytest.raises(OutputError, match="5, 9 or 13 fields"):
            viz_io.add_metric_bar(3, 0, 0, 0, 0, (1, 2))
        with pytest.raises(OutputError, match="5, 9 or 13 fields"):
            viz_io.add_metric_bar(3, 0, 0, 0, 0, (), (1, 2, 3, 4))
        viz_io.clear_metrics()
        assert read(files / "metrics_data.json") == []

    def test_only_the_last_bars_are_kept(
        self, files: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert viz_io.MAX_BARS == 1000
        monkeypatch.setattr(viz_io, "MAX_BARS", 3)
        for timestamp in range(5):
            viz_io.add_ohlc_bar(timestamp, 1, 1, 1, 1, 1)
        assert [bar[0] for bar in read(files / "ohlc_data.json")] == [2, 3, 4]

    def test_depth_is_replaced(self, files: Path) -> None:
        viz_io.set_depth_data([[10.0, 1.5]], [[11.0, 2.0], [12.0, 3.0]])
        assert read(files / "depth_data.json") == {
            "bids": [[10.0, 1.5]],
            "asks": [[11.0, 2.0], [12.0, 3.0]],
        }

    @pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
    def test_nan_and_infinity_are_never_written(self, files: Path, bad: float) -> None:
        with pytest.raises(OutputError, match="must be finite; found"):
            viz_io.add_ohlc_bar(1, bad, 1, 1, 1, 1)
        with pytest.raises(OutputError, match="must be finite"):
            viz_io.add_metric_bar(1, 0, 0, 0, 0, (1, 1, 1, bad))
        with pytest.raises(OutputError, match="must be finite"):
            viz_io.set_depth_data([[1.0, bad]], [])
        assert list(files.iterdir()) == []

    def test_a_file_that_holds_no_bars_is_begun_anew_and_said(
        self, files: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (files / "ohlc_data.json").write_text("[[1,2")
        viz_io.add_ohlc_bar(5, 1, 1, 1, 1, 1)
        assert read(files / "ohlc_data.json") == [[5, 1, 1, 1, 1, 1]]
        assert "held no bars" in caplog.text
