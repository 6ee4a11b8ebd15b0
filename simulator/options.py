"""Options that more than one of the simulator's commands has."""

from pathlib import Path
from typing import Annotated

import typer


def _more_than_nothing(seconds: float) -> float:
    if not 0.0 < seconds < 1e6:
        msg = f"must be a number above 0, such as 0.5; found {seconds:g}"
        raise typer.BadParameter(msg)
    return seconds


Speed = Annotated[
    str, typer.Option(metavar="1|N|max", help="N times the recorded pace, or all at once.")
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Make a market up and fetch it: no data needed.")
]
Now = Annotated[bool, typer.Option("--now", help="Shift the times so that the first row is now.")]
Host = Annotated[str, typer.Option(metavar="HOST", help="The address to listen on.")]
PollSeconds = Annotated[
    float,
    typer.Option(
        metavar="S", callback=_more_than_nothing, help="Look into the store at least this often."
    ),
]
Notify = Annotated[
    str,
    typer.Option(
        metavar="SPEC",
        help="Notices of new rows: none, file, pipe:FD, zmq:ENDPOINT or redis:URL.",
    ),
]
ContractValues = Annotated[
    list[str] | None,
    typer.Option(
        metavar="NAME=N", help="What a contract is worth, BTC-USDT-SWAP=0.01; repeatable."
    ),
]
Limits = Annotated[
    bool, typer.Option(help="Refuse clients that ask more often than the exchange allows.")
]
OkxChecksums = Annotated[
    bool, typer.Option("--okx-checksums", help="Send the checksums OKX sent until June 2026.")
]
TlsCert = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Serve https and wss with this certificate.")
]
TlsKey = Annotated[Path | None, typer.Option(metavar="FILE", help="The certificate's key.")]
AllowHosts = Annotated[
    list[str] | None,
    typer.Option(metavar="NAME", help="Answer to this name too, beside addresses; repeatable."),
]
FaultTexts = Annotated[
    list[str] | None,
    typer.Option(metavar="SPEC", help="A fault on request, such as gap@+60; repeatable."),
]
FaultLogPath = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Append each fault that happens as a JSON line."),
]
