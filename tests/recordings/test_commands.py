"""`uv run -m recordings`: what is printed, where, and the exit code."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from places import PROJECT
from recording_factory import (
    START,
    BookRow,
    TradeRow,
    book_rows,
    change,
    settle,
    trade_rows,
    write_recording,
)

SNAPSHOT = str([[f"{100 - n}", "1"] for n in range(12)]).replace("'", '"')
ABOVE = str([[f"{200 + n}", "1"] for n in range(12)]).replace("'", '"')


def run(*arguments: str | Path) -> tuple[int, str, str]:
    """Run the command; return its exit code, stdout and stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "recordings", *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=PROJECT,
    )
    return done.returncode, done.stdout, done.stderr


def whole(path: Path) -> Path:
    book = [BookRow(1, START, SNAPSHOT, ABOVE)]
    book += [BookRow(n, START + 100 * n, '[["99", "2"]]', "[]") for n in range(2, 30)]
    return write_recording(path, book, trade_rows([START + 50, START + 2000]))


def test_list_prints_a_recording_with_its_tables(tmp_path: Path) -> None:
    path = whole(tmp_path / "BTC-USDT_2025-06-09.db")
    change(path, "CREATE INDEX trades_0 ON trades(timestamp)")
    assert run("list", "--data-dir", tmp_path) == (
        0,
        f"BTC-USDT  {path}\n"
        "  book    29 rows; 2025-06-09 00:00:00 to 2025-06-09 00:00:02 UTC; updates, about 1 "
        "levels a row; no usable index\n"
        "  trades  2 rows; 2025-06-09 00:00:00 to 2025-06-09 00:00:02 UTC; in time order by an "
        "index\n",
        "",
    )


def test_list_prints_json_of_what_is_there_and_what_is_not(tmp_path: Path) -> None:
    path = whole(tmp_path / "BTC-USDT.db")
    (tmp_path / "a.db").write_bytes(b"hello" * 1000)
    code, printed, said = run("list", "--data-dir", tmp_path, "--json")
    assert (code, said) == (0, "")
    content = json.loads(printed)
    (recording,) = content["recordings"]
    assert (recording["instrument"], recording["path"]) == ("BTC-USDT", str(path))
    assert recording["tables"][0] == {
        "name": "book",
        "rows": 29,
        "first_ms": START,
        "last_ms": START + 2900,
        "indexed": False,
        "damage": None,
        "kind": "incremental",
        "levels": 1,
    }
    assert content["left_out"][0]["path"] == str(tmp_path / "a.db")


def test_list_names_what_is_near_and_fails(tmp_path: Path) -> None:
    whole(tmp_path / "BTC-USDT.db")
    code, printed, said = run("list", "BTC-USDC", "--data-dir", tmp_path)
    assert (code, printed) == (1, "")
    assert said == f"Error: no recording of BTC-USDC under {tmp_path}; nearest are BTC-USDT\n"
    assert run("list", "btc-usdt", "--data-dir", tmp_path)[0] == 0
    assert run("list", "../x", "--data-dir", tmp_path)[0] == 2


def test_check_says_of_each_file_what_it_has_and_that_nothing_is_lost(tmp_path: Path) -> None:
    path = whole(tmp_path / "BTC-USDT.db")
    assert run("check", path) == (
        0,
        f"{path}: BTC-USDT: book rows 29 (updates), trades 2, 2025-06-09 00:00:00 to 2025-06-09 "
        f"00:00:02 UTC\n{path}: nothing is lost\n",
        "",
    )
    assert run("check", tmp_path, "-q") == (0, "", "")


def test_check_fails_with_a_line_for_each_issue(tmp_path: Path) -> None:
    path = whole(tmp_path / "BTC-USDT.db")
    change(
        path,
        "UPDATE book SET bids = 'nonsense' WHERE id = 20",
        "UPDATE trades SET price = -1 WHERE id = 2",
    )
    code, printed, said = run("check", path)
    assert (code, said) == (1, "")
    assert printed.splitlines()[1:] == [
        f"{path}: BTC-USDT: 1 book rows skipped, 2025-06-09 00:00:02 UTC",
        f"{path}: BTC-USDT: 1 trades skipped, 2025-06-09 00:00:02 UTC",
        f"{path}: BTC-USDT: 10 book rows while an update was missing, 2025-06-09 00:00:02 UTC",
        f"{path}: something is damaged, missing or unusable, see above",
    ]
    assert run("check", path, "-q") == (1, "", "")


def test_check_prints_all_spans_as_json_and_the_first_few_as_lines(tmp_path: Path) -> None:
    trades = [TradeRow(n, START + 10_000 * n, None, -1.0) for n in range(1, 9)]
    path = whole(tmp_path / "BTC-USDT.db")
    change(path, "DELETE FROM trades")
    write_recording(tmp_path / "ETH-USDT.db", None, trades)
    code, printed, _ = run("check", tmp_path / "ETH-USDT.db", path, "--json")
    assert code == 1
    eth, btc = json.loads(printed)["files"]
    assert (eth["lost"], eth["damage"]) == (True, [])
    assert eth["recordings"][0]["losses"] == {"trades_skipped": 8, "no_book": 1, "no_trades": 1}
    spans = [i["start"] for i in eth["recordings"][0]["issues"] if i["kind"] == "trades_skipped"]
    assert spans == [trade.timestamp for trade in trades]
    assert btc["recordings"][0]["book_mode"] == "incremental"
    lines = run("check", tmp_path / "ETH-USDT.db")[1]
    assert lines.count("1 trades skipped, 2025-06-09") == 5
    assert "ETH-USDT: 3 trades skipped at 3 more times, all listed with --json" in lines


def test_check_finds_damage_in_every_file_of_a_folder(tmp_path: Path) -> None:
    cut = whole(tmp_path / "BTC-USDT.db")
    os.truncate(cut, cut.stat().st_size - 1)
    settle(cut)
    broken = tmp_path / "ETH-USDT.db"
    broken.write_bytes(b"hello" * 1000)
    other = change(tmp_path / "other.db", "CREATE TABLE orders(x)")
    code, printed, _ = run("check", tmp_path)
    assert code == 1
    assert f"{cut}: cut short, it has" in printed
    assert f"{broken}: not a readable SQLite recording" in printed
    assert f"{other}: no recording, it has neither" in printed
    assert printed.count("something is damaged, missing or unusable") == 2


def test_check_fails_for_what_it_may_not_look_into(tmp_path: Path) -> None:
    whole(tmp_path / "BTC-USDT.db")
    (tmp_path / "gone.db").symlink_to(tmp_path / "nowhere.db")
    code, printed, said = run("check", tmp_path)
    assert code == 1
    assert "BTC-USDT.db: nothing is lost" in printed
    assert f"{tmp_path}/gone.db: a link that leads nowhere" in said


def test_check_takes_one_instrument_of_many(tmp_path: Path) -> None:
    path = write_recording(tmp_path / "many.db", book_rows([START]), instrument="A-B")
    assert run("check", path, "--instrument", "A-B")[0] == 1
    code, _, said = run("check", path, "--instrument", "C-D")
    assert code == 2
    assert f"no recording of C-D in {path}; uv run -m recordings list" in said


@pytest.mark.parametrize("arguments", [(), ("/nowhere",), ("--nonsense", "/")])
def test_check_refuses_what_it_cannot_be_asked(arguments: tuple[str, ...]) -> None:
    code, printed, said = run("check", *arguments)
    assert (code, printed) == (2, "")
    assert said.startswith("Error: ")
    assert said.count("\n") == 1
