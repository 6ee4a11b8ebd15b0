"""The types of the page's modules, which are written as comments and checked by tsc."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from places import PROJECT

TSC = shutil.which("tsc")


@pytest.mark.thorough
@pytest.mark.skipif(TSC is None, reason="no tsc (Debian: apt install node-typescript)")
def test_the_modules_types_hold() -> None:
    command = [str(TSC), "-p", str(PROJECT / "page" / "assets" / "flow")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout) == (0, "")
