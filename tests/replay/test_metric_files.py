"""The file of metrics that a run writes beside its others when it is asked to."""

import json
from pathlib import Path
from typing import Any

import pytest
from metric_runs import columns
from recording_factory import START
from truth_runs import snapshot, trade, update, write
from typer.testing import CliRunner

import main
from metrics.bar_kinds import parse_bars
from metrics.registry import parse_metrics
from orderflow.errors import UsageError
from recordings.discovery import find_recording
from replay.run import Replay, ReplayOptions
from replay.run_files import RunFiles

NAME = "metric_bars.bin"
ASKED = ("obi", "cvd", "ofi", "vwap", "vpin:volume=2,buckets=3")


@pytest.fixture
def recording(tmp_path: Path) -> Path:
    rows = [snapshot(0), *(update(at) for at in range(100, 9_000, 100))]
    return write(tmp_path / "BTC-USDT.db", rows, [trade(at, at) for at in range(50, 9_000, 500)])


def run(path: Path, out: Path, asked: tuple[str, ...] = (), bars: str | None = None) -> None:
    options = ReplayOptions(
        "BTC-USDT",
        START,
        START + 10_000,
        window_seconds=2,
        bars=parse_bars(bars) if bars else None,
        metrics=tuple(parse_metrics(list(asked))),
    )
    files = RunFiles(out)
    Replay(options, find_recording("BTC-USDT", path, START, START + 10_000), files).run()
    files.close()


def others(out: Path) -> dict[str, Any]:
    """Return the other files; the status without what changes from run to run."""
    found: dict[str, Any] = {path.name: path.read_bytes() for path in out.glob("*.json")}
    status = json.loads(found.pop("status_data.json"))
    for changing in ("seconds", "rows_per_second", "written", "monitoring"):
        del status[changing]
    return found | {"status": status}


def test_it_has_the_bars_of_the_others_and_they_stay_as_they_are(
    recording: Path, tmp_path: Path
) -> None:
    run(recording, tmp_path / "plain")
    run(recording, tmp_path / "asked", ASKED)
    assert others(tmp_path / "plain") == others(tmp_path / "asked")
    assert not (tmp_path / "plain" / NAME).exists()
    header, arrays = columns((tmp_path / "asked" / NAME).read_bytes())
    assert [metric["asked"] for metric in header["metrics"]] == list(ASKED)
    assert (header["instrument"], header["bars"]) == ("BTC-USDT", {"kind": "time", "size": 2})
    bars = json.loads((tmp_path / "asked" / "metrics_data.json").read_bytes())
    assert arrays["time"] == [bar[0] for bar in bars]
    assert arrays["metric_0"] == [value for bar in bars for value in bar[1:5]]
    assert arrays["metric_1"] == [value for bar in bars for value in bar[9:13]]
    ohlc = json.loads((tmp_path / "asked" / "ohlc_data.json").read_bytes())
    assert [bar[4] for bar in ohlc] == arrays["close"]
    assert [bar[5] for bar in ohlc] == arrays["volume"]


def test_other_bars_come_without_a_metric_too_and_the_next_run_removes_the_file(
    recording: Path, tmp_path: Path
) -> None:
    run(recording, tmp_path / "out", bars="tick:7")
    header, arrays = columns((tmp_path / "out" / NAME).read_bytes())
    assert (header["bars"], header["metrics"]) == ({"kind": "tick", "size": 7}, [])
    assert arrays["trades"] == [7, 7, 4]
    run(recording, tmp_path / "out")
    assert not (tmp_path / "out" / NAME).exists()


def test_the_command_line_takes_bars_and_metrics(
    recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here.py").write_text(
        "from metrics.volume_metrics import TradeCount\n\nclass Mine(TradeCount):\n    pass\n"
    )
    day = ["BTC-USDT", *day_of(START), "--data-dir", str(recording), "--no-ui", "-q"]
    words = ["--bars", "tick:9", "--metric", "here:Mine", "--metric", "vwap:anchor=2020-01-01"]
    result = CliRunner().invoke(main.app, [*day, "--output-dir", "out", *words])
    assert result.exit_code == 0, result.output
    header, arrays = columns((tmp_path / "out" / NAME).read_bytes())
    assert arrays["metric_0"] == [9, 9]
    assert header["metrics"][1]["parameters"] == {"anchor": "1577836800000"}


def day_of(start_ms: int) -> tuple[str, str]:
    from orderflow.times import format_utc  # noqa: PLC0415 (of use here alone)

    return format_utc(start_ms)[:10], format_utc(start_ms + 86_400_000)[:10]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--metric", "obbi"), "did you mean obi"),
        (("--bars", "ticks:5"), "--bars is time:SECONDS"),
        (("--metric", "obi", "--jobs", "2"), "--metric goes with one process"),
        (("--bars", "tick:5", "--jobs", "2"), "--bars goes with one process"),
        (("--metric", "vwap:anchor=2025-13-01"), "is not a time"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(words: tuple[str, ...], said: str) -> None:
    day = ["BTC-USDT", "2025-06-09", "2025-06-10", "--no-ui"]
    result = CliRunner().invoke(main.app, [*day, *words])
    assert isinstance(result.exception, UsageError)
    assert said in str(result.exception)
