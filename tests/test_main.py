"""The command as a user runs it: files, exit codes and what it says."""

import json
import os
import random
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import time
import tomllib
from collections.abc import Callable
from contextlib import closing, suppress
from pathlib import Path
from typing import Any

import pytest
from places import PROJECT
from real_recordings import DATA, needs_recordings

import main
from orderbook_manager import OrderbookManager
from orderflow.errors import UsageError
from replay.pacing import parse_speed
from synthetic_market import NORMAL, write_recording

START = 1_749_427_200_000  # 2025-06-09
HOUR = 3_600_000
DAY = ("BTC-USDT", "2025-06-09", "2025-06-10")
FILES = (
    "ohlc_data.json",
    "metrics_data.json",
    "depth_data.json",
    "data_issues.json",
    "status_data.json",
)
FLOW_FILES = (
    # Without the compiled book there is no heatmap unless asked for.
    *(f"heatmap_{level}.bin" for level in range(5) if OrderbookManager.engine == "compiled"),
    "footprint_data.bin",
    "trades_data.bin",
    "best_data.bin",
    "trade_bars.bin",
    "book_bars.bin",
)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One hour of a quiet market, 4,000 book rows."""
    path = tmp_path_factory.mktemp("data") / "BTC-USDT_2025-06-09.db"
    write_recording(path, "BTC-USDT", START, START + HOUR, seed=3, density=NORMAL, max_rows=4000)
    return path


def start(*args: str | Path, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, PROJECT / "main.py", *args]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1", "COLUMNS": "100"} | env,
    )


def run(*args: str | Path, **env: str) -> tuple[int, str, str]:
    with start(*args, **env) as process:
        out, err = process.communicate(timeout=60)
    return process.returncode, out, err


Replayed = Callable[..., dict[str, Any]]


@pytest.fixture
def replayed(tmp_path: Path) -> Replayed:
    """Replay a directory of recordings and return what was written, by file name."""

    def replay(data_dir: Path, *more: str, day: tuple[str, ...] = DAY) -> dict[str, Any]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        code, _, err = run(*day, "--data-dir", data_dir, "--output-dir", out, "--no-ui", *more)
        assert code == 0, err
        return {name: json.loads((out / name).read_bytes()) for name in FILES}

    return replay


def without_times(files: dict[str, Any]) -> dict[str, Any]:
    changing = (
        "monitoring",
        "seconds",
        "rows_per_second",
        "written",
        "pid",
        "data_dir",
        "speed",
        "follow",
    )
    status = {k: v for k, v in files["status_data.json"].items() if k not in changing}
    return files | {"status_data.json": status}


def copy_rows(source: Path, target: Path, book: str, trades: str, *, order: str = "id") -> None:
    """Copy part of a recording, in an order of its own."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(target)) as connection, connection:
        connection.execute("ATTACH ? AS s", (str(source),))
        for table, condition in (("book", book), ("trades", trades)):
            (sql,) = connection.execute(
                "SELECT sql FROM s.sqlite_master WHERE name = ?", (table,)
            ).fetchone()
            connection.execute(sql.replace("id INTEGER PRIMARY KEY", "id INTEGER"))
            connection.execute(
                f"INSERT INTO {table} SELECT * FROM s.{table} WHERE {condition} ORDER BY {order}"
            )


class TestSameFiles:
    """Done when 5: the output does not depend on how the rows lie."""

    @pytest.fixture
    def expected(self, recording: Path, replayed: Replayed) -> dict[str, Any]:
        return without_times(replayed(recording.parent))

    @pytest.mark.thorough
    def test_however_the_rows_lie_within_the_reorder_buffer(
        self, recording: Path, tmp_path: Path, replayed: Replayed, expected: dict[str, Any]
    ) -> None:
        data = tmp_path / "shuffled"
        # Pseudo-random displacement by up to 1000 rows.
        order = "id + (id * 7919) % 1000"
        copy_rows(recording, data / "BTC-USDT-25-06-09.db", "1", "1", order=order)
        assert without_times(replayed(data)) == expected

    def test_with_an_index_on_the_timestamp(
        self, recording: Path, tmp_path: Path, replayed: Replayed, expected: dict[str, Any]
    ) -> None:
        data = tmp_path / "indexed"
        path = data / "BTC-USDT.db"
        copy_rows(recording, path, "1", "1", order="(id * 7919) % 100003")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("CREATE INDEX b ON book(timestamp)")
            connection.execute("CREATE INDEX t ON trades(instrument, timestamp)")
        assert without_times(replayed(data)) == expected

    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_split_into_files(
        self,
        recording: Path,
        tmp_path: Path,
        replayed: Replayed,
        expected: dict[str, Any],
        seed: int,
    ) -> None:
        rng, data = random.Random(seed), tmp_path / "split"
        cuts = [0, *sorted(rng.sample(range(1, 4000), 3)), 10**9]
        trade_cuts = [0, *sorted(rng.sample(range(1, 2000), 3)), 10**9]
        for part in range(4):
            copy_rows(
                recording,
                data / f"{part}" / "BTC-USDT_2025-06-09.sqlite3",
                f"id > {cuts[part]} AND id <= {cuts[part + 1]}",
                f"id > {trade_cuts[part]} AND id <= {trade_cuts[part + 1]}",
            )
        assert without_times(replayed(data)) == expected

    def test_what_a_later_file_repeats_is_skipped_and_counted(
        self, recording: Path, tmp_path: Path, replayed: Replayed, expected: dict[str, Any]
    ) -> None:
        data = tmp_path / "overlapping"
        copy_rows(recording, data / "BTC-USDT-25-06-09.db", "id <= 2500", "id <= 900")
        copy_rows(recording, data / "BTC-USDT-25-06-10.db", "id > 2000", "id > 800")
        found = without_times(replayed(data))
        counts = found["status_data.json"].pop("counts")
        clean = expected["status_data.json"].pop("counts")
        assert counts == clean | {"repeated_rows": 500, "repeated_trades": 100}
        repeats = found.pop("data_issues.json")["issues"]
        assert {issue["kind"] for issue in repeats} == {"repeated_rows", "repeated_trades"}
        assert sum(issue["count"] for issue in repeats) == 600
        assert expected.pop("data_issues.json")["issues"] == []
        assert found == expected


class TestRange:
    def test_start_inside_a_file_warms_the_book_and_leaves_out_what_came_before(
        self, recording: Path, replayed: Replayed
    ) -> None:
        whole = replayed(recording.parent)
        late = replayed(
            recording.parent, day=("BTC-USDT", "2025-06-09T00:30", "2025-06-09T00:50:00Z")
        )
        start, end = START + HOUR // 2, START + 50 * 60_000
        assert late["ohlc_data.json"] == [
            bar for bar in whole["ohlc_data.json"] if start <= bar[0] < end
        ]
        assert [bar[:9] for bar in late["metrics_data.json"]] == [
            bar[:9] for bar in whole["metrics_data.json"] if start <= bar[0] < end
        ]
        assert late["metrics_data.json"][0][9] == 0

    def test_the_swap_is_another_instrument(
        self, recording: Path, tmp_path: Path, replayed: Replayed
    ) -> None:
        data = tmp_path / "both"
        data.mkdir()
        shutil.copy(recording, data / "BTC-USDT-25-06-09.db")
        alone = without_times(replayed(data))
        copy_rows(recording, data / "BTC-USDT-SWAP-25-06-09.db", "1", "1")
        assert without_times(replayed(data)) == alone


class TestMessages:
    def test_summary_is_for_people_on_stderr_and_json_on_stdout(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path, "--no-ui")
        code, out, err = run(*common)
        assert (code, out) == (0, "")
        assert "BTC-USDT  finished" in err
        assert "data issues none" in err
        code, out, err = run(*common, "--json")
        summary = json.loads(out)
        assert (code, summary["rows"], summary["state"], err) == (0, 4000, "finished", "")
        assert run(*common, "-q") == (0, "", "")

    def test_the_first_line_tells_which_book_is_in_use(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path, "--no-ui")
        _, _, err = run(*common, ORDERFLOW_PURE_PYTHON="1")
        assert err.splitlines()[0] == (
            "replaying BTC-USDT from 1 file (incremental) with the book in pure Python, the "
            "compiled one is not in use"
        )
        pytest.importorskip("orderflow_native", reason="not built here", exc_type=ImportError)
        _, _, err = run(*common, ORDERFLOW_PURE_PYTHON="")
        assert err.startswith(
            "replaying BTC-USDT from 1 file (incremental) with the compiled book\n"
        )

    def test_data_issues_are_said(self, recording: Path, tmp_path: Path) -> None:
        path = tmp_path / "data" / "BTC-USDT.db"
        copy_rows(recording, path, "1", "1")
        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute("UPDATE book SET bids = 'nonsense' WHERE id = 100")
            connection.execute("""UPDATE book SET asks = '[["x","1"]]' WHERE id = 200""")
            connection.execute("UPDATE book SET timestamp = NULL WHERE id = 300")
            connection.execute("UPDATE trades SET side = 'maker' WHERE id = 10")
            connection.execute("UPDATE trades SET size = -1 WHERE id = 20")
            connection.execute("INSERT INTO trades SELECT * FROM trades WHERE id = 30")
        _, out, _ = run(
            *DAY, "--data-dir", path.parent, "--output-dir", tmp_path, "--no-ui", "--json"
        )
        counts = json.loads(out)["counts"]
        assert counts.pop("crossed_books") > 0  # the skipped rows' deletions are missed
        assert {kind: count for kind, count in counts.items() if count} == {
            "rows_skipped": 2,
            "unreliable_rows": 3900,
            "levels_rejected": 1,
            "unknown_sides": 1,
            "trades_skipped": 1,
            "repeated_trades": 1,
        }
        _, _, err = run(*DAY, "--data-dir", path.parent, "--output-dir", tmp_path, "--no-ui")
        assert "2 book rows skipped, 1 levels rejected" in err
        assert (
            "1 trades of unknown side ('maker'), 3,900 book rows while an update was missing" in err
        )
        assert "(1 repeated trades, each used once)" in err

    def test_nothing_found_says_what_is_there(self, recording: Path, tmp_path: Path) -> None:
        code, out, err = run(
            "BTC-USDC", "2025-06-09", "2025-06-10", "--data-dir", recording.parent, "--no-ui"
        )
        assert (code, out) == (1, "")
        assert err.startswith(f"Error: no recording of BTC-USDC under {recording.parent}")
        assert "found there: BTC-USDT (2025-06-09)" in err
        code, _, err = run(*DAY, "--data-dir", tmp_path / "nowhere", "--no-ui")
        assert code == 1
        assert "no data directory" in err
        assert "--demo" in err

    def test_a_range_without_rows_says_what_there_is(self, recording: Path) -> None:
        code, _, err = run(
            "BTC-USDT", "2025-06-11", "2025-06-12", "--data-dir", recording.parent, "--no-ui"
        )
        assert code == 1
        assert "no row of BTC-USDT in the range" in err
        assert "2025-06-09T00:00 to 2025-06-09T00:59 UTC" in err

    @pytest.mark.parametrize(
        ("args", "said"),
        [
            (("BTC-USDT", "2025-06-09", "2025-06-09"), "one day is asked for as 2025-06-09"),
            (("BTC-USDT", "2025-06-10", "2025-06-09"), "START must be before END"),
            (
                ("BTC-USDT", "yesterday", "2025-06-09"),
                "START 'yesterday' is not a time: it must be a date like",
            ),
            (("BTC-USDT", "2025-06-09", "2025-06-31"), "June 2025 has 30 days; found 31"),
            (("../../etc", "2025-06-09", "2025-06-10"), "an instrument has only letters"),
            (("*", "2025-06-09", "2025-06-10"), "an instrument has only letters"),
            ((*DAY, "--speed", "fast"), "--speed must be max or a number from 0.01"),
            ((*DAY, "--speed", "0"), "--speed must be max or a number from 0.01"),
            ((*DAY, "--window-seconds", "0"), "must be 1 to 604,800; found 0"),
            ((*DAY, "--window-seconds", "604801"), "must be 1 to 604,800; found 604,801"),
            ((*DAY, "--depth-levels", "100001"), "must be 1 to 100,000; found 100,001"),
            ((*DAY, "--jobs", "257"), "must be 1 to 256; found 257"),
            ((*DAY, "--port", "65536"), "must be 1 to 65,535; found 65,536"),
            ((*DAY, "--book-mode", "full"), "--book-mode"),
            (("BTC-USDT",), "Missing argument"),
        ],
    )
    def test_usage_errors_exit_with_2(self, args: tuple[str, ...], said: str) -> None:
        code, out, err = run(*args, "--no-ui")
        assert (code, out) == (2, "")
        assert said in " ".join(err.split())
        assert "Traceback" not in err

    def test_h_shows_the_help(self) -> None:
        short = run("-h")
        assert short[0] == 0
        assert short == run("--help")
        assert "--window-seconds" in short[1]

    @pytest.mark.thorough
    def test_what_cannot_be_printed_is_said_and_the_files_are_there(
        self, recording: Path, tmp_path: Path
    ) -> None:
        command = (sys.executable, PROJECT / "main.py", *DAY, "--no-ui", "--json")
        places = ("--data-dir", recording.parent, "--output-dir", tmp_path)
        for redirection, code, said in (
            ("| true; exit ${PIPESTATUS[0]}", 141, ""),
            (">&-", 1, "Error: standard output is closed, so the result cannot be printed\n"),
            ("2>&- >/dev/null", 0, ""),
        ):
            shell = ["bash", "-c", f'"$0" "$@" {redirection}', *map(str, (*command, *places))]
            done = subprocess.run(shell, capture_output=True, text=True, check=False)
            assert (done.returncode, done.stderr) == (code, said)
            status = json.loads((tmp_path / "status_data.json").read_bytes())
            assert status["state"] == "finished"

    def test_version_is_the_packages(self) -> None:
        project = tomllib.loads((PROJECT / "pyproject.toml").read_text())
        assert run("--version") == (0, f"orderflow-replay {main.VERSION}\n", "")
        assert project["project"]["version"] == main.VERSION

    def test_a_truncated_file_ends_with_its_name_and_what_was_read_is_written(
        self, recording: Path, tmp_path: Path
    ) -> None:
        data, out = tmp_path / "data", tmp_path / "out"
        data.mkdir()
        path = data / recording.name
        path.write_bytes(recording.read_bytes()[: recording.stat().st_size * 9 // 10])
        code, _, err = run(*DAY, "--data-dir", data, "--output-dir", out, "--no-ui")
        assert code == 1
        assert f"Error: {path}: cannot be read further" in err
        assert "Traceback" not in err
        assert len(json.loads((out / "metrics_data.json").read_bytes())) > 5
        status = json.loads((out / "status_data.json").read_bytes())
        assert (status["state"], str(path) in status["reason"]) == ("failed", True)


def wait_for_status(out: Path, rows: int) -> dict[str, Any]:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        if (out / "status_data.json").exists():
            status: dict[str, Any] = json.loads((out / "status_data.json").read_bytes())
            if status["rows"] >= rows:
                return status
        time.sleep(0.02)
    pytest.fail("the run has not come that far in 30 s")


def wait_for_owner(out: Path, pid: int) -> None:
    until = time.monotonic() + 30
    while time.monotonic() < until:
        with suppress(FileNotFoundError):
            if json.loads((out / "status_data.json").read_bytes())["pid"] == pid:
                return
        time.sleep(0.02)
    pytest.fail(f"process {pid} has not written into {out} in 30 s")


class TestStopping:
    @pytest.mark.parametrize(
        ("kind", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 129)]
    )
    def test_a_stopped_run_writes_what_it_has(
        self, recording: Path, tmp_path: Path, kind: signal.Signals, code: int
    ) -> None:
        common = ("--data-dir", recording.parent, "--output-dir", tmp_path, "--no-ui")
        with start(*DAY, *common, "--speed", "200", "--json") as process:
            assert wait_for_status(tmp_path, 10)["state"] == "running"
            process.send_signal(kind)
            out, err = process.communicate(timeout=20)
        assert process.returncode == code, err
        status = json.loads((tmp_path / "status_data.json").read_bytes())
        assert status["state"] == json.loads(out)["state"] == "stopped"
        assert 0 < status["progress"] < 1
        assert json.loads((tmp_path / "metrics_data.json").read_bytes())
        assert "Traceback" not in err
        assert sorted(path.name for path in tmp_path.iterdir()) == sorted((*FILES, *FLOW_FILES))

    @pytest.mark.thorough
    def test_a_second_run_into_the_directory_is_refused(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path, "--no-ui")
        with start(*common, "--speed", "100") as first:
            wait_for_status(tmp_path, 1)
            code, _, err = run(*common)
            first.kill()
            first.communicate()
        assert code == 1
        assert f"in use by another run, pid {first.pid}" in err
        assert run(*common)[0] == 0

    @pytest.mark.thorough
    def test_a_lost_output_directory_does_not_stop_the_run_but_shows_in_the_code(
        self, recording: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", out, "--no-ui")
        with start(*common, "--speed", "600", "--json") as process:
            wait_for_status(out, 1)
            while out.exists():  # the run goes on writing meanwhile
                shutil.rmtree(out, ignore_errors=True)
            stdout, err = process.communicate(timeout=60)
        assert process.returncode == 1
        assert json.loads(stdout)["state"] == "finished"
        assert err.count("will try again") == 1
        assert "the files are not up to date" in err

    @pytest.mark.thorough
    @pytest.mark.parametrize("gone", ["moved", "lock"])
    def test_a_run_that_lost_its_directory_keeps_out_of_the_next_run_s_and_says_so(
        self, recording: Path, tmp_path: Path, gone: str
    ) -> None:
        out = tmp_path / "out"
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", out, "--no-ui")
        with start(*common, "--speed", "600") as first:
            wait_for_status(out, 1)
            if gone == "moved":
                out.rename(tmp_path / "moved")
            else:
                (out / ".orderflow.lock").unlink()
            with start(*common, "--speed", "300") as second:
                wait_for_owner(out, second.pid)
                _, err = first.communicate(timeout=60)
                assert first.returncode == 1
                assert f"another run, pid {second.pid}, has taken it over" in err.splitlines()[-1]
                assert json.loads((out / "status_data.json").read_bytes())["pid"] == second.pid
                assert run(*common)[2].startswith(
                    f"Error: {out}: in use by another run, pid {second.pid};"
                )
                second.send_signal(signal.SIGINT)
                second.communicate(timeout=20)
        assert second.returncode == 130
        assert sorted(path.name for path in out.iterdir()) == sorted((*FILES, *FLOW_FILES))

    def test_a_full_disk_does_not_stop_the_run_but_shows_in_the_code(
        self, recording: Path, tmp_path: Path
    ) -> None:
        out = tmp_path / "out"
        out.mkdir()
        mount, umount = shutil.which("mount"), shutil.which("umount")
        small = [str(mount), "-t", "tmpfs", "-o", "size=16k", "none", str(out)]
        if (
            not (mount and umount)
            or subprocess.run(small, check=False, capture_output=True).returncode
        ):
            pytest.skip("a small disk can only be mounted as root")
        try:
            common = ("--data-dir", recording.parent, "--output-dir", out, "--no-ui", "--json")
            code, stdout, err = run(*DAY, *common)
            left = {path.name: json.loads(path.read_bytes()) for path in out.glob("*.json")}
            temporary = list(out.glob(".*.tmp"))
        finally:
            subprocess.run([str(umount), str(out)], check=True)
        assert code == 1
        assert json.loads(stdout)["state"] == "finished"
        assert err.count("will try again") == 1
        assert "No space left on device" in err
        assert left  # whole files, of before
        assert temporary == []


class TestRecordedPace:
    @pytest.mark.thorough
    def test_twice_the_speed_takes_half_the_time(self, recording: Path, tmp_path: Path) -> None:
        common = ("--data-dir", recording.parent, "--output-dir", tmp_path, "--no-ui", "--json")
        minute = ("BTC-USDT", "2025-06-09T00:10", "2025-06-09T00:12")
        seconds = {}
        for speed in ("60", "120"):
            _, out, _ = run(*minute, *common, "--speed", speed)
            seconds[speed] = json.loads(out)["seconds"]
        assert seconds["60"] > 1.9
        assert 0.9 < seconds["120"] < seconds["60"]

    @pytest.mark.thorough
    def test_the_files_are_those_of_a_run_at_full_speed(
        self, recording: Path, replayed: Replayed
    ) -> None:
        day = ("BTC-USDT", "2025-06-09T00:10", "2025-06-09T00:20")
        fast = without_times(replayed(recording.parent, day=day))
        assert without_times(replayed(recording.parent, "--speed", "900", day=day)) == fast


class TestPage:
    def test_a_taken_port_ends_with_3_before_anything_is_replayed(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path / "out")
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            code, out, err = run(*common, "--port", str(port))
            assert (code, out) == (3, "")
            assert err == (
                f"Error: port {port} of 127.0.0.1 is in use, perhaps by the page of another "
                "replay; stop that one, choose another port, such as --port "
                f"{port % 65535 + 1}, or replay without the page with --no-ui\n"
            )
            assert not (tmp_path / "out").exists()
            assert run(*common, "--port", str(port), "--no-ui")[0] == 0

    def test_json_with_the_page_prints_and_says_that_the_page_stays(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path)
        with start(*common, "--port", free_port(), "--json") as process:
            assert process.stdout is not None
            assert process.stderr is not None
            assert json.loads(process.stdout.readline())["state"] == "finished"
            said = [process.stderr.readline() for _ in range(2)]
            assert "The page stays until Ctrl+C; --no-ui ends with the replay.\n" in said
            assert any(line.startswith("Page: http://127.0.0.1:") for line in said)
            process.send_signal(signal.SIGINT)
            out, err = process.communicate(timeout=20)
        assert (process.returncode, out, err) == (0, "", "")

    def test_a_page_that_cannot_start_is_said_and_the_replay_goes_on(
        self, recording: Path, tmp_path: Path
    ) -> None:
        common = (*DAY, "--data-dir", recording.parent, "--output-dir", tmp_path)
        code, out, err = run(*common, "--host", "192.0.2.1", "--json")
        assert (code, json.loads(out)["state"]) == (0, "finished")
        assert "cannot listen on 192.0.2.1" in err
        assert "the page has ended (exit code 1)" in err


def free_port() -> str:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return str(server.getsockname()[1])


def test_a_demo_needs_no_data(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    args = (*DAY, "--demo", "--no-ui", "--output-dir", tmp_path, "--json")
    code, out, err = run(*args, ORDERFLOW_CACHE_DIR=str(cache), ORDERFLOW_DATA_DIR="/nowhere")
    assert code == 0, err
    assert json.loads(out)["bars"] > 1000
    assert len(json.loads((tmp_path / "ohlc_data.json").read_bytes())) == 1000
    assert "made-up market" in err


@pytest.mark.parametrize("text", ["max", "1", "0.5", "600"])
def test_speeds(text: str) -> None:
    assert parse_speed(text) == (None if text == "max" else float(text))


@pytest.mark.parametrize(
    "text", ["0", "-1", "1e-300", "0.009", "1e308", "1000001", "nan", "inf", "", "fast", "0x10"]
)
def test_a_speed_beyond_the_limits_is_refused_and_they_are_told(text: str) -> None:
    with pytest.raises(UsageError, match=r"max or a number from 0.01 to 1,000,000.*found"):
        parse_speed(text)


@pytest.mark.thorough
@needs_recordings
def test_a_real_recording_of_many_instruments(replayed: Replayed) -> None:
    files = replayed(DATA, day=("BTC-USDT", "2022-05-13", "2022-05-14"))
    assert files["status_data.json"]["rows"] == 98
    files = replayed(DATA, day=("ETH-USDT", "2024-08-08", "2024-08-09"))
    assert files["status_data.json"]["rows"] == 3421
    assert not any(files["status_data.json"]["counts"].values())
