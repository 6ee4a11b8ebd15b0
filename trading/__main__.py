"""The command line of trading: `uv run -m trading run …`, and each process of a run alone."""

from orderflow import startup

if __name__ == "__main__":
    startup.begin()

from orderflow import command
from trading.command_decide import decide
from trading.command_run import run
from trading.commands_alone import executor, gateway, keys, strategy

app = command.new_app()


@app.callback()
def trading() -> None:
    """Run strategies on recorded markets, and execute their orders on paper."""


for function in (run, decide, gateway, strategy, executor, keys):
    app.command()(function)


if __name__ == "__main__":
    command.run(app)
