"""A run without processes and sockets: the same strategies and execution, called one by one."""

import time
from collections.abc import Callable, Iterable, Mapping

from trading.execution import Execution
from trading.messages import End, Event, Role, Start, window_of
from trading.protocol import windows
from trading.sessions import Strategy, StrategySession

WAIT_SECONDS = 0.02


def run_in_process(
    ticks: Iterable[Event | None],
    strategies: Mapping[str, Strategy],
    execution: Execution,
    start: Start,
) -> dict[str, StrategySession]:
    """Run strategies, by their names, on ticks; return their sessions, for what they counted.

    This is the reference: a run over the bus gives the same, for any window, credit and number of
    processes.
    """
    sessions = sessions_of(strategies, start)
    feed(ticks, sessions, execution, start)
    return sessions


def sessions_of(strategies: Mapping[str, Strategy], start: Start) -> dict[str, StrategySession]:
    """Return the sessions of strategies by their names, before the first tick."""
    return {name: StrategySession(name, each, start) for name, each in strategies.items()}


def feed(
    ticks: Iterable[Event | None],
    sessions: Mapping[str, StrategySession],
    execution: Execution,
    start: Start,
    on_window: Callable[[], None] = lambda: None,
) -> None:
    """Hand ticks to all sessions window by window, and what they make of them to the execution.

    `on_window` is called when a window has been worked through.
    """
    for number, (until_ms, some) in enumerate(windows(ticks, start.window_ms), 1):
        window = window_of(start.run_id, number, until_ms, some)
        for session in sessions.values():
            message = session.work(window, 0.0, lambda: None)
            if message is not None:
                execution.take(message)
                session.acknowledged(message.number, 0.0)
        execution.settle()
        on_window()
    for name, session in sessions.items():
        execution.end(End(start.run_id, Role.STRATEGY, name, session.messages))
    execution.settle()
    while not execution.is_settled:  # a live market is read to where the ticks have ended
        time.sleep(WAIT_SECONDS)
        execution.settle()
        on_window()
