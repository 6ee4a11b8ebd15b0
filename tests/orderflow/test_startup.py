"""What programs do first."""

import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
THREADS = """
from orderflow import startup
startup.begin()
import numpy
from pathlib import Path
print(len(list(Path("/proc/self/task").iterdir())))
"""


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="needs Linux's list of threads")
@pytest.mark.parametrize(("asked", "expected"), [({}, 1), ({"OPENBLAS_NUM_THREADS": "2"}, 2)])
def test_numpy_starts_only_the_threads_that_the_user_asks_for(
    asked: dict[str, str], expected: int
) -> None:
    pytest.importorskip("numpy")
    command = [sys.executable, "-c", THREADS]
    found = subprocess.run(command, cwd=PROJECT, env=asked, capture_output=True, check=True)
    assert int(found.stdout) == expected
