"""What the benchmarks of the page take from the tests: files like a replay's, and a browser."""

import sys

from benchmarks.task import PROJECT

sys.path.append(str(PROJECT / "tests" / "support"))  # as pytest does (pyproject.toml)

import browser
import flow_browser
import flow_files
import page_fixtures

__all__ = ["browser", "flow_browser", "flow_files", "page_fixtures"]
