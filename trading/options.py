"""Options that more than one of trading's commands has."""

from pathlib import Path
from typing import Annotated

import typer

from orderflow.command import in_range
from orderflow.options import MAX_DEPTH_LEVELS, MAX_WINDOW_SECONDS
from recordings import discovery
from trading.protocol import MAX_WINDOW_MS, PACED_WINDOW_MS

BookMode = discovery.BookMode
BookModeOption = Annotated[
    BookMode, typer.Option(help="What book rows without an action are: updates or full snapshots.")
]
Demo = Annotated[
    bool, typer.Option("--demo", help="Make a recording up and trade on it: no data needed.")
]
Url = Annotated[
    str | None,
    typer.Option(
        metavar="URL",
        help="Trade on a feed of OKX, or of the simulator, ws://…; it is recorded into a folder "
        "of its own.",
    ),
]
DepthLevels = Annotated[
    int,
    typer.Option(
        callback=in_range(1, MAX_DEPTH_LEVELS), metavar="N", help="Best levels a side for OBI."
    ),
]
WindowSeconds = Annotated[
    int,
    typer.Option(
        callback=in_range(1, MAX_WINDOW_SECONDS),
        metavar="N",
        help="Length of a bar, in seconds: of the page, and of the samples of equity.",
    ),
]

# What decides

StrategyNames = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        metavar="NAME",
        help="support-resistance, order-flow, metric-alert, or your own as module:Class; "
        "NAME=STRATEGY gives it a name; repeatable.",
    ),
]
BarKind = Annotated[
    str | None,
    typer.Option(
        "--bars",
        metavar="KIND:SIZE",
        help="Bars for strategies: time, tick, volume, value or range; by default time:WINDOW.",
    ),
]
Metrics = Annotated[
    list[str] | None,
    typer.Option(
        "--metric",
        metavar="NAME[:P=V,…]",
        help="A metric in the bars for strategies, as in ofi or vpin:volume=100; repeatable.",
    ),
]
SetTexts = Annotated[
    list[str] | None,
    typer.Option(
        "--set",
        metavar="NAME=VALUE",
        help="A setting of the strategies that have it, or STRATEGY.NAME=VALUE of one; repeatable.",
    ),
]
Orders = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="A JSON list of orders to send: a strategy named orders."),
]

# How the run goes

WindowMs = Annotated[
    int | None,
    typer.Option(
        metavar="N",
        help="Ticks of so many ms go to the strategies together, 200 at most; by default those of "
        f"{PACED_WINDOW_MS} at a pace, of {MAX_WINDOW_MS} at full speed.",
    ),
]
Credit = Annotated[
    int, typer.Option(metavar="N", help="Windows that the gateway may be ahead of the slowest.")
]
Free = Annotated[
    bool, typer.Option("--free", help="Wait for nobody: faster, and not the same every time.")
]

# What paper execution assumes

EntryMs = Annotated[int, typer.Option(metavar="N", help="What a request takes to the exchange.")]
ResponseMs = Annotated[int, typer.Option(metavar="N", help="What the answer takes back.")]
Maker = Annotated[
    str, typer.Option(metavar="RATE", help="Fee of makers by value; below 0 it is a rebate.")
]
Taker = Annotated[str, typer.Option(metavar="RATE", help="Fee of takers by value.")]
ContractSize = Annotated[
    str, typer.Option(metavar="N", help="What a unit of quantity is worth: 0.01 of BTC-USDT-SWAP.")
]
Inverse = Annotated[bool, typer.Option("--inverse", help="A contract whose profit is in the coin.")]
Tick = Annotated[
    str | None, typer.Option(metavar="N", help="Step of prices; other prices are refused.")
]
Lot = Annotated[
    str | None, typer.Option(metavar="N", help="Step of quantities; other ones are refused.")
]
WholeFills = Annotated[
    bool,
    typer.Option(
        "--whole-fills", help="Takers get all at the best price, however little is there."
    ),
]
PartialMakers = Annotated[
    bool, typer.Option("--partial-makers", help="A trade fills no more than what it had left.")
]
AcceptUnreliable = Annotated[
    bool,
    typer.Option(
        "--accept-unreliable", help="Trade on a book that is not known to be whole as on any other."
    ),
]

# Limits

MaxPosition = Annotated[
    str | None, typer.Option(metavar="N", help="Refuse what may lead to a larger position.")
]
MaxOrders = Annotated[
    int | None, typer.Option(metavar="N", help="Refuse more orders in any --rate-window-ms.")
]
RateWindowMs = Annotated[int, typer.Option(metavar="N", help="The time that --max-orders is for.")]
MaxLoss = Annotated[
    str | None,
    typer.Option(metavar="N", help="The kill switch: refuse all orders after such a loss."),
]
Balance = Annotated[
    str | None, typer.Option(metavar="N", help="What there is at the start; returns are of it.")
]

# Where the processes meet

EndpointDir = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR",
        help="Folder of the sockets, the same for all; by default one of yours.",
        show_default=False,
    ),
]
TicksEndpoint = Annotated[
    str | None, typer.Option("--ticks", metavar="ENDPOINT", help="Where the gateway sends ticks.")
]
ControlEndpoint = Annotated[
    str | None, typer.Option("--control", metavar="ENDPOINT", help="Where it is answered.")
]
SignalsEndpoint = Annotated[
    str | None, typer.Option("--signals", metavar="ENDPOINT", help="Where signals go.")
]
AnswersEndpoint = Annotated[
    str | None, typer.Option("--answers", metavar="ENDPOINT", help="Where the executor answers.")
]
Keys = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Keys of `trading keys`; needed beyond this machine."),
]
