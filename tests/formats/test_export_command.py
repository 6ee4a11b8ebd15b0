"""`uv run -m formats export`: a summary, one line an error, an exit code, bounded memory."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from exports import recording_of
from places import PROJECT

MOST_MEGABYTES_MORE = 60
RANGE = ("BTC-USDT", "2025-06-09", "2025-06-10")


def run(*arguments: object, code: str = "") -> "subprocess.CompletedProcess[str]":
    command = ["-c", code] if code else ["-m", "formats", "export"]
    return subprocess.run(
        [sys.executable, *command, *map(str, arguments)],
        cwd=PROJECT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["hftbacktest", "nautilus", "csv"])
def test_an_export_says_what_was_read_and_written(name: str, tmp_path: Path) -> None:
    folder, into = recording_of(tmp_path / "in", rows=50), tmp_path / "out.npz"
    done = run(name, *RANGE, "--data-dir", folder, "--into", into, "--json")
    assert done.returncode == 0, done.stderr
    summary = json.loads(done.stdout)
    assert (summary["state"], summary["format"], summary["rows"]) == ("finished", name, 50)
    assert summary["exported"] and summary["not_carried"]  # noqa: PT018
    assert summary["bytes"] > 1000
    assert into.is_dir() == (name != "hftbacktest")
    assert "  data issues none" in done.stderr
    again = run(name, *RANGE, "--data-dir", folder, "--into", into, "-q")
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")


@pytest.mark.thorough
def test_an_error_is_a_line_and_an_exit_code(tmp_path: Path) -> None:
    folder = recording_of(tmp_path / "in", rows=5)
    (tmp_path / "mine").mkdir()
    for arguments, code, said in (
        (("npz", *RANGE, "--into", "x"), 2, "an export is one of hftbacktest, nautilus, parquet"),
        (("csv", *RANGE, "--into", tmp_path / "mine"), 2, "is there already, and is no export"),
    ):
        done = run(*arguments, "--data-dir", folder)
        assert (done.returncode, done.stdout) == (code, "")
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        assert said in line


@pytest.mark.thorough
def test_without_pyarrow_a_line_says_how_to_get_it(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pyarrow'] = None; from formats.__main__ import app; "
        "from orderflow import command; command.run(app, ['export', *sys.argv[1:]])"
    )
    folder = recording_of(tmp_path / "in", rows=5)
    done = run("parquet", *RANGE, "--data-dir", folder, "--into", tmp_path / "x", code=code)
    assert done.returncode == 1
    assert done.stderr == (
        "Error: parquet is written with pyarrow; uv sync --group data installs it\n"
    )
    done = run("hftbacktest", *RANGE, "--data-dir", folder, "--into", tmp_path / "x.npz", code=code)
    assert done.returncode == 0


MEASURED = """
import sys
from pathlib import Path
from formats.__main__ import app
from orderflow import command
try:
    command.run(app, ['export', *sys.argv[1:]])
except SystemExit as end:
    assert not end.code
# Not getrusage: its peak begins with that of the process this one was forked from.
print(int(Path("/proc/self/status").read_text().split("VmHWM:")[1].split()[0]) // 1024)
"""


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["hftbacktest", "nautilus"])
def test_memory_does_not_grow_with_the_recording(name: str, tmp_path: Path) -> None:
    found = []
    for rows in (1000, 12_000):
        folder = recording_of(tmp_path / str(rows), rows=rows, minutes=rows // 60)
        done = run(
            name, *RANGE, "--data-dir", folder, "--into", folder / "x.npz", "-q", code=MEASURED
        )
        assert done.returncode == 0, done.stderr
        found.append(int(done.stdout))
    assert found[1] < found[0] + MOST_MEGABYTES_MORE, found
