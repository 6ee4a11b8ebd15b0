"""`uv run -m formats import`: one line an error, an exit code, a summary, bounded memory."""

import gzip
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from archive_writers import gzipped, lines, okx_books, okx_lines, okx_trades, tardis_books
from places import PROJECT
from recorded_market import Market, made_up

MOST_KILOBYTES = 150_000
MEGABYTE = gzip.compress(bytes(1 << 20))


def run(*arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "formats", *map(str, arguments)],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.fixture
def market(tmp_path: Path) -> Market:
    return made_up(tmp_path, 2)


def test_what_was_imported_replays(market: Market, tmp_path: Path) -> None:
    files = okx_books(tmp_path, market), okx_trades(tmp_path, market)
    into = tmp_path / "in"
    done = run("import", *files, "--into", into, "--json")
    assert done.returncode == 0
    summary = json.loads(done.stdout)
    assert [file["state"] for file in summary["files"]] == ["imported", "imported"]
    found = summary["files"][0]["instruments"]["BTC-USDT"]
    assert (found["book_rows"], found["counts"]["snapshots"]) == (len(market.rows), 1)
    replay = subprocess.run(
        [sys.executable, "main.py", "BTC-USDT", "2025-06-09", "2025-06-10", "--no-ui", "--json",
         "--data-dir", str(into), "--output-dir", str(tmp_path / "out")],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=300,
    )  # fmt: skip
    told = json.loads(replay.stdout)
    assert (told["rows"], told["trades"]) == (len(market.rows), len(market.trades))
    assert told["book_mode"] == "action"


def test_an_error_is_a_line_and_the_other_files_are_imported(
    market: Market, tmp_path: Path
) -> None:
    (tmp_path / "quotes.csv").write_text("time,bid,ask\n1,2,3\n")
    done = run(
        "import", tmp_path / "quotes.csv", okx_trades(tmp_path, market), "--into", tmp_path / "in"
    )
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if line.startswith("Error")]
    assert len(errors) == 1
    assert "quotes.csv is not recognised as a file to import: it begins with" in errors[0]
    assert len(list((tmp_path / "in").iterdir())) == 1


def test_a_cut_file_ends_with_one_and_is_kept(market: Market, tmp_path: Path) -> None:
    path = tardis_books(tmp_path, market)
    path.write_bytes(path.read_bytes()[:-200])
    done = run("import", path, "--into", tmp_path / "in", "--json")
    assert done.returncode == 1
    assert "cut short or damaged" in done.stderr
    (file,) = json.loads(done.stdout)["files"]
    assert file["state"] == "cut"
    assert Path(file["recording"]).exists()


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["none.gz"], "none.gz is no file"),
        (["README.md", "--format", "dbf"], "--format is auto, okx,"),
        (["README.md", "--contract-value", "X"], "--contract-value is NAME=N"),
        (["README.md", "--instrument", "../x"], "an instrument has only letters"),
    ],
)
def test_what_cannot_be_meant_is_a_usage_error(
    arguments: list[str], said: str, tmp_path: Path
) -> None:
    done = run("import", *arguments, "--into", tmp_path)
    assert done.returncode == 2
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def test_the_name_of_a_format_is_held_to(market: Market, tmp_path: Path) -> None:
    done = run("import", okx_trades(tmp_path, market), "--format", "tardis", "--into", tmp_path)
    assert done.returncode == 1
    assert "is not recognised as a file of tardis" in done.stderr


# -- memory


def peak_kilobytes(path: Path, into: Path) -> tuple[int, str]:
    """Return the most memory that an import takes, and what it says."""
    script = (
        "import sys; from formats.__main__ import app\n"
        "from typer.main import get_command\n"
        "try: get_command(app)(sys.argv[1:], standalone_mode=False)\n"
        "except BaseException as e: print(repr(e), file=sys.stderr)\n"
        # Not getrusage: its peak begins with that of the process this one was forked from.
        "print(open('/proc/self/status').read().split('VmHWM:')[1].split()[0])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, "import", str(path), "--into", str(into)],
        cwd=PROJECT, capture_output=True, text=True, check=True, timeout=300,
        env=os.environ | {"PYTHONPATH": str(PROJECT)},
    )  # fmt: skip
    return int(done.stdout.split()[-1]), done.stderr


@pytest.mark.thorough
@pytest.mark.parametrize("layers", [1, 2])
def test_a_gigabyte_of_zeros_is_a_line_in_little_memory(layers: int, tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(1024 * MEGABYTE)
    if layers == 2:
        gzipped(path, path.read_bytes())
    peak, said = peak_kilobytes(path, tmp_path / "in")
    assert peak < MOST_KILOBYTES
    assert "is not recognised" in said


@pytest.mark.thorough
def test_a_bomb_behind_good_rows_is_a_line_in_little_memory(market: Market, tmp_path: Path) -> None:
    path = tmp_path / "bomb.gz"
    path.write_bytes(gzip.compress(lines(okx_lines(market))) + 512 * MEGABYTE)
    peak, said = peak_kilobytes(path, tmp_path / "in")
    assert peak < MOST_KILOBYTES
    assert "a line is longer than 8,000,000 bytes" in said
    assert list((tmp_path / "in").iterdir()) == []


@pytest.mark.thorough
def test_memory_does_not_grow_with_the_rows(market: Market, tmp_path: Path) -> None:
    few, many = (gzipped(tmp_path / f"{n}.gz", lines(okx_lines(market) * n)) for n in (5, 600))
    peaks = [peak_kilobytes(path, tmp_path / path.stem)[0] for path in (few, many)]
    assert peaks[1] - peaks[0] < 20_000
