"""What the benchmarks of the page take from the tests: files like a replay's, and a browser."""

import sys

from benchmarks.task import PROJECT

sys.path.append(str(PROJECT / "tests" / "support"))  # as pytest does (pyproject.toml)

import browser
import page_fixtures

__all__ = ["browser", "page_fixtures"]
