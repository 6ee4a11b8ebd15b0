"""What docs/python.md shows is run, and prints what stands there."""

import inspect
import os
import re
import subprocess
import sys

import pytest
from places import PROJECT

from orderflow import errors

GUIDE = (PROJECT / "docs" / "python.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```(\w+)\n(.*?)^```$", GUIDE, re.DOTALL | re.MULTILINE
)
CUT = "-- next block --"


@pytest.fixture(scope="module")
def printed(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Run all code as one script, as a reader would; return what each block printed."""
    directory = tmp_path_factory.mktemp("guide")
    script = directory / "script.py"
    code = [text for language, text in BLOCKS if language == "python"]
    script.write_text(f"\nprint({CUT!r})\n".join(code))
    own = {"ORDERFLOW_CACHE_DIR": directory / "cache", "ORDERFLOW_OUTPUT_DIR": directory}
    environment = os.environ | {"PYTHONPATH": str(PROJECT)}
    environment |= {name: str(path) for name, path in own.items()}
    run = subprocess.run(
        [sys.executable, str(script)],
        cwd=directory, env=environment, capture_output=True, check=False, text=True, timeout=120,
    )  # fmt: skip
    assert run.returncode == 0, run.stderr
    return run.stdout.split(f"{CUT}\n")


def test_each_block_of_code_is_followed_by_what_it_prints() -> None:
    assert len(BLOCKS) >= 12
    assert [language for language, _ in BLOCKS] == ["python", "text"] * (len(BLOCKS) // 2)


def test_the_code_prints_what_the_guide_shows(printed: list[str]) -> None:
    assert printed == [text for language, text in BLOCKS if language == "text"]


def test_the_guide_lists_the_attributes_that_errors_have() -> None:
    listed = re.findall(r"^\| `(\w+Error)` \|.*\| (.*) \|$", GUIDE, re.MULTILINE)
    assert len(listed) >= 7
    for name, attributes in listed:
        own = list(inspect.signature(getattr(errors, name)).parameters)[1:]
        assert re.findall(r"`(\w+)`", attributes) == own, name
