"""Options of the test run."""

import pytest

pytest_plugins = ["browser_fixtures"]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--page-pictures", default="", help="keep a picture of every state of the page here"
    )
