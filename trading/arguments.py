"""The arguments that give a command its values: how one command starts another."""

from collections.abc import Callable, Mapping
from typing import Any

import typer.main

from orderflow import command


def arguments_of(function: Callable[..., None], values: Mapping[str, Any]) -> list[str]:
    """Return what is typed so that a command's function gets these values, those it takes.

    Values are by the names of its parameters; None and False stand for what is not typed.
    """
    app = command.new_app()
    app.command()(function)
    arguments: list[str] = []
    options: list[str] = []
    for parameter in typer.main.get_command(app).params:
        value = values.get(str(parameter.name))
        if value is None or value is False:
            continue
        if parameter.param_type_name == "argument":
            arguments.append(str(value))
        elif value is True:
            options.append(parameter.opts[0])
        elif getattr(parameter, "count", False):
            options += parameter.opts[:1] * value
        else:
            many = value if isinstance(value, list | tuple) else [value]
            options += [f"{parameter.opts[0]}={one}" for one in many]
    return [*arguments, *options]
