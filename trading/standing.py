"""What a process of a run does for who started it, and how its end is told and written down."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

import orjson
import typer

from orderflow import command, parent
from orderflow.command import EXIT_FAILED
from orderflow.errors import OrderflowError
from trading.protocol import RunError, RunStoppedError
from trading.report import FAILED, FINISHED, STOPPED

GRACE_SECONDS = 1.6
"""How long a process may take to end when it was told to: to write its files, say."""


class Standing:
    """A process of a run, by itself or, `with_parent`, started by another one.

    `stopped` says whether it was asked to end; `words` is why, where its parent said so.
    """

    def __init__(self, name: str, *, with_parent: bool, quiet: bool) -> None:
        self.name = name
        self.words = ""
        self._with_parent = with_parent
        self._quiet = quiet
        self._stop = threading.Event()
        self._finish: Callable[[], None] | None = None
        if with_parent:
            parent.end_with_parent(
                self._hear, grace_seconds=GRACE_SECONDS, finish=self._finish_or_stop
            )

    def _hear(self, words: str) -> None:
        self.words = words

    def finish_with(self, finish: Callable[[], None]) -> None:
        """Let Ctrl+C, and the parent's word, bring the run to its end in good order by `finish`."""
        self._finish = finish

    def _finish_or_stop(self) -> None:
        (self._finish or self._stop.set)()

    def stopped(self) -> bool:
        """Return whether it was asked to end."""
        return self._stop.is_set()

    def say(self, text: str) -> None:
        """Say a line, through the parent where there is one."""
        if self._quiet:
            return
        if not self.tell(said=text):
            command.say(text)

    def tell(self, **facts: object) -> bool:
        """Tell the parent; return False where there is none."""
        if self._with_parent:
            # Where it has died, this process is about to end too, and still writes its files.
            with suppress(command.StdoutError):
                parent.report(**facts)
        return self._with_parent

    def tell_progress(self, facts: Mapping[str, object]) -> None:
        """Tell the parent, where there is one, how far the run is."""
        self.tell(progress=facts)

    @contextmanager
    def handing_in(
        self, report: Callable[[], Mapping[str, object]], lost: Callable[[], int] = lambda: 0
    ) -> Iterator[None]:
        """Give the report to the parent at the end, whatever it is like; else print it.

        Then also end with code 1 where something got lost; with a parent that counts it.
        """
        try:
            yield
        finally:
            self.tell(report=report(), lost=lost())
        if not self._with_parent:
            command.print_result(orjson.dumps(report()).decode())
            if lost():
                raise typer.Exit(EXIT_FAILED)

    def listening(self) -> AbstractContextManager[command.Signals]:
        """Let signals stop what is done within this context, or finish it.

        One that has a parent is told by it what to do: a signal stops it.
        """
        return command.stop_on_signals(
            self._stop.set if self._with_parent else self._finish_or_stop
        )

    @contextmanager
    def at_work(self, endpoints: Path | None = None) -> Iterator[None]:
        """Let signals stop what is done here, and tell how it failed, if it did.

        The folder of the `endpoints` that a parent has made goes with the last process of the run:
        the parent may be dead.
        """
        with self.listening() as signals:
            try:
                yield
            except RunStoppedError:
                raise typer.Exit(128 + (signals.received or 15)) from None
            except OrderflowError as error:
                name, reason = self._blame(error)
                if not self.tell(failed=name, reason=reason):
                    raise
                raise typer.Exit(EXIT_FAILED) from error
            finally:
                if endpoints and self._with_parent:
                    with suppress(OSError):  # others are still there
                        endpoints.rmdir()

    def _blame(self, error: OrderflowError) -> tuple[str, str]:
        if isinstance(error, RunError):
            return error.name, error.reason
        return self.name, str(error)

    @contextmanager
    def closing(self, close: Callable[[str, str], None]) -> Iterator[None]:
        """Call `close` at the end of a run with its state and, where it failed, the reason."""
        try:
            yield
        except Exception as error:
            if isinstance(error, RunStoppedError) and not self.words:
                close(STOPPED, "")
            else:
                said = str(error) if isinstance(error, OrderflowError) else repr(error)
                close(FAILED, self.words or said)
            raise
        else:
            close(FINISHED, "")
