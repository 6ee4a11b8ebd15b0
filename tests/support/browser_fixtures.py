"""A browser and a page for each file of browser tests."""

from collections.abc import Iterator
from pathlib import Path

import browser
import pytest
from browser import console
from page_fixtures import page
from selenium.webdriver import Chrome


@pytest.fixture(scope="module")
def driver() -> Iterator[Chrome]:
    with browser.chromium() as running:
        yield running


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    directory = tmp_path_factory.mktemp("files")
    with page(directory) as (url, _):
        yield url, directory


@pytest.fixture
def files(server: tuple[str, Path]) -> Path:
    return server[1]


@pytest.fixture
def site(server: tuple[str, Path], driver: Chrome) -> Iterator[str]:
    """Give the address of the page; when a test is over the console has to be empty."""
    console(driver)
    yield server[0]
    complaints = console(driver)
    if driver.current_url.startswith(server[0]):
        driver.execute_script("sessionStorage.clear()")  # the next test has a view of its own
    driver.get("about:blank")
    assert complaints == []
