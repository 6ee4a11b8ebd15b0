"""What the pages on importing tell a reader to type works, from the archive to the bars."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import archive_writers as writers
import dbn_writers
import pytest
import typer.main
from places import PROJECT
from recorded_market import Market, in_contracts, made_up

from formats.__main__ import app
from formats.recognition import RECOGNISERS

pytestmark = pytest.mark.thorough
PAGES = sorted((PROJECT / "docs").glob("import-*.md"))
Writer = Callable[[Path, Market], Path]
WRITERS: dict[str, Writer] = {
    r"-L2orderbook-": writers.okx_books,
    r"-USDT-trades-": writers.okx_trades,
    r"incremental_book": writers.tardis_books,
    r"okex_trades": writers.tardis_trades,
    r"ob500": writers.bybit_books,
    r"^BTCUSDT\d": writers.bybit_trades,
    r"^BTCUSDT-trades": writers.binance_trades,
    r"mbp-10": dbn_writers.dbn_mbp,
    r"\.trades\.dbn": dbn_writers.dbn_trades,
    r"npz$": writers.hftbacktest_npz,
    r"^btcusdt.*gz$": writers.collector,
    r"_message_": lambda folder, market: writers.lobster(folder, at_noon(market), 10),
}


def commands(page: Path) -> list[str]:
    return re.findall(r"^    uv run (.*)$", page.read_text(), re.MULTILINE)


def at_noon(market: Market) -> Market:
    """Return the market half a day earlier: the writer's seconds are of the day before."""
    rows = [row._replace(timestamp=row.timestamp - 43_200_000) for row in market.rows]
    trades = [trade._replace(timestamp=trade.timestamp - 43_200_000) for trade in market.trades]
    return Market(market.instrument, rows, trades)


def put(name: str, downloads: Path, market: Market) -> None:
    """Write the file that a page names, under that name."""
    (writer,) = [writer for form, writer in WRITERS.items() if re.search(form, name)]
    path = writer(downloads, market)
    path.rename(downloads / name)
    if "_message_" in name:
        books = Path(str(path).replace("_message_", "_orderbook_"))
        books.rename(downloads / name.replace("_message_", "_orderbook_"))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_the_commands_of_a_page_lead_to_bars(page: Path, tmp_path: Path) -> None:
    downloads = tmp_path / "downloads"
    downloads.mkdir()
    replays = [command for command in commands(page) if command.startswith("main.py")]
    market = made_up(tmp_path, 2, instrument=replays[0].split()[1])
    if "lobster" in page.stem or "databento" in page.stem:
        market = in_contracts(market)
    for command in commands(page):
        for name in re.findall(r"~/downloads/(\S+)", command):
            put(name.replace("*", "2025-06-09"), downloads, market)
    environment = os.environ | {"HOME": str(tmp_path), "ORDERFLOW_OUTPUT_DIR": str(tmp_path)}
    environment["ORDERFLOW_CACHE_DIR"] = str(tmp_path / "cache")
    summaries = []
    for command in sorted(commands(page), key=lambda command: command.endswith("/recordings")):
        more = " --no-ui --json" if command in replays else ""
        done = subprocess.run(
            ["/bin/bash", "-c", f"{sys.executable} {command}{more}"],
            cwd=PROJECT, env=environment, capture_output=True, text=True, check=False, timeout=120,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        if command in replays:
            summaries.append(json.loads(done.stdout))
    assert summaries
    for summary in summaries:
        assert summary["bars"] > 0
        assert summary["trades"] > 10


def test_every_page_is_named_by_the_overview_and_has_commands() -> None:
    overview = (PROJECT / "docs" / "formats.md").read_text()
    assert set(re.findall(r"\((import-\w+\.md)\)", overview)) == {page.name for page in PAGES}
    assert all(len(commands(page)) >= 2 for page in PAGES)


def test_the_overview_has_every_option_and_every_format() -> None:
    overview = (PROJECT / "docs" / "formats.md").read_text()
    command = typer.main.get_command(app).commands["import"]  # type: ignore[attr-defined]
    names = {name for parameter in command.params for name in parameter.opts if name[:2] == "--"}
    listed = set(
        re.findall(r"`(--[a-z-]+)", overview.split("## Options of an import")[1].split("Exit")[0])
    )
    assert listed == names - {"--verbose", "--quiet"}
    assert all(f"`{name}`" in overview for name in RECOGNISERS)
