"""Options that commands of more than one package have, with the same meaning and words."""

from pathlib import Path
from typing import Annotated

import typer

from orderflow.command import in_range

LOOPBACK = "127.0.0.1"
MAX_DEPTH_LEVELS = 100_000
MAX_WINDOW_SECONDS = 7 * 86_400


Instrument = Annotated[
    str, typer.Argument(metavar="INSTRUMENT", help="As recorded, such as BTC-USDT.")
]
Start = Annotated[
    str, typer.Argument(metavar="START", help="YYYY-MM-DD, or with THH:MM, in UTC; included.")
]
End = Annotated[
    str, typer.Argument(metavar="END", help="Likewise; not included: one day ends at the next.")
]
DataDir = Annotated[
    Path | None,
    typer.Option(
        envvar="ORDERFLOW_DATA_DIR",
        metavar="DIR",
        help="Where the recordings are, searched with all folders below, or one file; "
        "by default data/OKX beside the project's folder.",
    ),
]
OutputDir = Annotated[
    Path | None,
    typer.Option(
        envvar="ORDERFLOW_OUTPUT_DIR",
        metavar="DIR",
        help="Where the files go; by default beside the code.",
    ),
]
PreparedDir = Annotated[
    Path | None,
    typer.Option(
        envvar="ORDERFLOW_PREPARED_DIR",
        metavar="DIR",
        help="Where prepared copies are; by default in the user's cache directory.",
    ),
]
Uncross = Annotated[
    bool, typer.Option("--uncross", help="Drop the older of the levels that cross.")
]
WindowSeconds = Annotated[
    int,
    typer.Option(
        callback=in_range(1, MAX_WINDOW_SECONDS),
        metavar="N",
        help="Length of a bar, in seconds, up to a week.",
    ),
]
DepthLevels = Annotated[
    int,
    typer.Option(
        callback=in_range(1, MAX_DEPTH_LEVELS),
        metavar="N",
        help="Best levels a side for OBI, TOT and the depth shown.",
    ),
]
Pace = Annotated[
    str, typer.Option(metavar="max|N", help="N times the recorded pace; 1 is as it happened.")
]
Follow = Annotated[
    bool,
    typer.Option("--follow", help="Go on with what a recorder appends, until END or Ctrl+C."),
]
Page = Annotated[
    bool, typer.Option("--ui/--no-ui", help="Start the page too and keep it until Ctrl+C.")
]
PageHost = Annotated[
    str,
    typer.Option(
        metavar="ADDRESS", help="Address of the page; 0.0.0.0 shows it to the whole network."
    ),
]
PagePort = Annotated[
    int, typer.Option(callback=in_range(1, 65535), metavar="PORT", help="Port of the page.")
]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="A further name the page may be called by; repeatable."),
]
JsonSummary = Annotated[
    bool, typer.Option("--json", help="Print the summary as a JSON object on stdout.")
]
WithParent = Annotated[bool, typer.Option("--with-parent", hidden=True)]
"""Of a process that another one has started: report to it, and end with it."""
