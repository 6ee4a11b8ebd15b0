"""Options of the test run."""

import os
from collections import Counter

import pytest
from hypothesis import settings

SLOW_TEST_SECONDS = 3600

pytest_plugins = ["browser_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--page-pictures", default="", help="keep a picture of every state of the page here"
    )


def pytest_configure(config: pytest.Config) -> None:
    """Let Hypothesis try a quarter of its examples in the plain run, and half of them in CI's."""
    left_out = config.getoption("markexpr")
    examples = 25 if "not thorough" in left_out else 50 if "not slow" in left_out else 100
    settings.register_profile("project", max_examples=examples, deadline=None)
    settings.load_profile("project")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of tests that take seconds, or one of these ends long after the rest.

    Slow tests may take longer than `timeout` of pyproject.toml.
    """
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker(pytest.mark.timeout(SLOW_TEST_SECONDS))
    seconds = Counter(item.path for item in items if item.get_closest_marker("thorough"))
    items.sort(key=lambda item: -seconds[item.path])


def pytest_xdist_auto_num_workers() -> int:
    """Run twice as many tests at once as there are cores: many wait for processes and sockets."""
    return 2 * (os.cpu_count() or 1)
