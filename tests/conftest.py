"""Options of the test run."""

import os

import pytest
from hypothesis import settings

pytest_plugins = ["browser_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--page-pictures", default="", help="keep a picture of every state of the page here"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis try a quarter of its examples where the thorough tests are left out."""
    quick = "not thorough" in config.getoption("markexpr")
    settings.register_profile("project", max_examples=25 if quick else 100, deadline=None)
    settings.load_profile("project")


def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many tests at once as there are cores: many wait for processes and sockets."""
    return 2 * (os.cpu_count() or 1)
