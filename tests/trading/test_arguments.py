"""One command starts another with the values it has itself."""

from pathlib import Path
from typing import Annotated

import typer
from typer.testing import CliRunner

from orderflow import command
from orderflow.command import Quiet, Verbose
from trading.arguments import arguments_of
from trading.commands_alone import executor, gateway, strategy

VALUES = {
    "name": "a=b:C",
    "rate": "-0.0001",
    "names": ["x", "y=z"],
    "flag": True,
    "other": False,
    "where": Path("/some where"),
    "verbose": 2,
    "quiet": False,
    "foreign": "not known",
    "missing": None,
}
got: dict[str, object] = {}


def example(
    name: str,
    rate: str = "0",
    names: Annotated[list[str] | None, typer.Option("--name")] = None,
    flag: Annotated[bool, typer.Option("--flag")] = False,
    other: Annotated[bool, typer.Option("--other")] = True,
    where: Path | None = None,
    missing: str | None = None,
    verbose: Verbose = 0,
    quiet: Quiet = False,
) -> None:
    got.update(locals())


def test_a_command_gets_the_values_that_another_one_has() -> None:
    arguments = arguments_of(example, VALUES)
    assert arguments == [
        "a=b:C", "--rate=-0.0001", "--name=x", "--name=y=z", "--flag", "--where=/some where",
        "--verbose", "--verbose",
    ]  # fmt: skip
    app = command.new_app()
    app.command()(example)
    done = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert done.exit_code == 0
    names = ("name", "rate", "names", "flag", "where", "missing", "verbose", "quiet")
    assert {name: got[name] for name in names} == {name: VALUES[name] for name in names}


def test_the_processes_of_a_run_take_what_a_run_is_given() -> None:
    given = {
        "instrument": "X", "start_date": "2025-06-09", "end_date": "2025-06-10",
        "name": "order-flow", "strategies": ["order-flow"], "settings": ["events=3"],
        "speed": "5", "max_loss": "3", "book_mode": "auto",
    }  # fmt: skip
    span = ["X", "2025-06-09", "2025-06-10", "--book-mode=auto"]
    assert arguments_of(gateway, given) == [
        *span[:3], "--strategy=order-flow", "--book-mode=auto", "--speed=5",
    ]  # fmt: skip
    assert arguments_of(executor, given) == [*span, "--max-loss=3"]
    assert arguments_of(strategy, given) == ["order-flow", "X", "--set=events=3"]
