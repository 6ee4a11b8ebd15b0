"""A watch goes through the states of the diagram in docs/simulator.md, and counts."""

import asyncio
import re
from collections.abc import Callable, Iterator

import pytest
from places import PROJECT

from messaging.notification import Listener
from messaging.watch import POLLING, Watch


class Ended(Exception):  # noqa: N818
    """End a watch, which has no end of its own."""


class Script(Listener):
    """A listener whose waits end as told: True by a notice, False by the time."""

    def __init__(self, *waits: bool) -> None:
        super().__init__()
        self._waits = iter(waits)
        self.asked: list[float] = []
        self.on_wait: Callable[[], None] = lambda: None

    async def wait(self, seconds: float) -> bool:
        self.asked.append(seconds)
        self.on_wait()
        try:
            return next(self._waits)
        except StopIteration:
            raise Ended from None


def run(
    script: Script, looks: Iterator[bool], poll_seconds: float = 1.0
) -> tuple[Watch, list[str]]:
    """Run a watch to the script's end; return it, and the states that a look or wait has seen."""
    watch = Watch(script, poll_seconds)
    states: list[str] = []
    script.on_wait = lambda: states.append(watch.state)

    async def look() -> bool:
        states.append(watch.state)
        return next(looks)

    with pytest.raises(Ended):
        asyncio.run(watch.run(look))
    return watch, states


def test_it_looks_at_once_after_a_notice_and_after_the_interval() -> None:
    script = Script(True, False, True)
    watch, states = run(script, iter([False] * 4), poll_seconds=0.25)
    assert states == ["SlowCheck", "Polling", "FastCheck", "Polling", "SlowCheck", "Polling",
                      "FastCheck", "Polling"]  # fmt: skip
    assert script.asked == [0.25] * 4
    assert watch.status() == {
        "state": "Polling",
        "poll_seconds": 0.25,
        "fast_checks": 2,
        "slow_checks": 2,
        "empty_fast_checks": 2,
    }


def test_it_processes_until_nothing_new_is_left() -> None:
    watch, states = run(Script(True), iter([False, True, True, False]))
    assert states == ["SlowCheck", "Polling", "FastCheck", "ProcessData", "ProcessData", "Polling"]
    assert (watch.fast_checks, watch.empty_fast_checks) == (1, 0)


def test_the_data_of_a_lost_notice_is_found_after_the_interval() -> None:
    watch, states = run(Script(False), iter([False, True, False]))
    assert states == ["SlowCheck", "Polling", "SlowCheck", "ProcessData", "Polling"]
    assert (watch.slow_checks, watch.empty_fast_checks) == (2, 0)


def test_without_notices_it_polls() -> None:
    looks = 0

    async def look() -> bool:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise Ended
        return False

    with pytest.raises(Ended):
        asyncio.run(Watch(Listener(), 0.01).run(look))


def test_the_states_go_over_into_each_other_as_the_diagram_says() -> None:
    page = (PROJECT / "docs" / "simulator.md").read_text()
    diagram = page.split("stateDiagram-v2")[1].split("```")[0]
    drawn = set(re.findall(r"(\w+) --> (\w+)", diagram))
    seen = set()
    for waits, looks in [((True,), [False, True, False]), ((False,), [True, False, False, True])]:
        _, states = run(Script(*waits, True), iter([*looks, *[False] * 9]))
        seen |= set(zip([POLLING, *states], states, strict=False))
    assert {(a, b) for a, b in seen if a != b} == drawn
