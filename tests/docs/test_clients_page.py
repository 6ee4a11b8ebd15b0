"""What docs/clients.md shows is run against publishers, and prints what stands there."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from client_runs import SIMULATOR, make_certificate, publisher, running, tls_environment, wait_for
from places import PROJECT
from real_clients import needs_clients

PAGE = (PROJECT / "docs" / "clients.md").read_text()
BLOCKS: list[tuple[str, str]] = re.findall(
    r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE
)
# Their libraries are not in the group: cryptofeed's licence (AGPL) is not for a dependency here.
NOT_IN_THE_GROUP = ("cryptofeed", "binance_sdk_spot")
VENUES = {8061: "okx", 8062: "binance", 8063: "binance-usdm", 8064: "kraken"}
DAY = ("2025-06-09T12:00", "2025-06-09T13:00")


def programs() -> list[object]:
    return [
        pytest.param(code, printed, id=f"{number}-{printed.split()[0]}")
        for number, (code, printed) in enumerate(BLOCKS)
        if not any(name in code for name in NOT_IN_THE_GROUP)
    ]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Have a made-up market written, as the page says."""
    store = tmp_path_factory.mktemp("page") / "store"
    with ExitStack() as stack:
        for instrument in ("BTC-USDT", "BTC-USDT-SWAP"):
            command = [*SIMULATOR, "fetch", instrument, *DAY, "--demo", "--store", str(store)]
            stack.enter_context(running(command, store.parent / f"{instrument}.log"))
        assert wait_for(lambda: len(list(store.glob("*/*.jsonl"))) == 2)
        yield store


@contextmanager
def at_free_ports(code: str, store: Path, certificate: Path) -> Iterator[str]:
    """Run the publishers that a program connects to; yield it with their ports in it."""
    trusted = certificate if "wss://" in code else None
    with ExitStack() as stack:
        for port, venue in VENUES.items():
            if f":{port}" in code:
                instrument = "BTC-USDT-SWAP" if venue == "binance-usdm" else "BTC-USDT"
                url = stack.enter_context(publisher(venue, store, instrument, certificate=trusted))
                code = code.replace(f":{port}", f":{url.rpartition(':')[2]}")
        yield code


def shape(printed: str) -> str:
    """Return what is printed, each number a #: the market goes on while a client connects."""
    return re.sub(r"\b\d[\d.]*", "#", printed)


@pytest.mark.thorough
@needs_clients
@pytest.mark.parametrize(("code", "printed"), programs())
def test_a_program_prints_what_the_page_shows_but_other_numbers(
    code: str, printed: str, store: Path, tmp_path: Path
) -> None:
    certificate = make_certificate(tmp_path)
    script = tmp_path / "script.py"
    environment = tls_environment(certificate if "wss://" in code else None)
    with at_free_ports(code, store, certificate) as there:
        script.write_text(there)
        run = subprocess.run(
            [sys.executable, str(script)],
            cwd=tmp_path, env=environment, capture_output=True, check=False, text=True, timeout=120,
        )  # fmt: skip
    assert run.returncode == 0, run.stderr
    assert shape(run.stdout) == shape(printed), run.stderr


def test_the_page_has_a_program_for_every_client() -> None:
    sections = re.findall(r"^## (.*?)$\n(.*?)(?=^## |\Z)", PAGE, re.DOTALL | re.MULTILINE)
    clients = re.findall(r"^\| \[([\w.-]+)\]\(#", PAGE, re.MULTILINE)
    assert len(clients) >= 6
    assert {name for name, text in sections if "```python" in text} == set(clients)


def test_every_address_of_the_page_is_one_that_the_simulator_has_by_itself() -> None:
    ports = set(re.findall(r"127\.0\.0\.1:(\d+)", PAGE))
    assert ports == {str(port) for port in VENUES}
