"""Make rows that try what a reader of levels and a book can get wrong, from a `random.Random`."""

import json
from random import Random

HOSTILE_NUMBERS = (
    "0", "-0", "-0.0", "-1", "+1", "01", "1.", ".5", "1e400", "-1e400", "1e-400", "5e-324", "nan",
    "NaN", "Infinity", "", " ", " 7 ", "1_0", "0x10", "1e", "1e+", "--1", "1.2.3", "٣", "1,5",
    "\\t1", "123456789012345678901234567890", "0.1000000000000000055511151231257827",
    "9007199254740993", "18446744073709551616", "0.30000000000000004", "2.2250738585072011e-308",
    "12345678.12345678", "1234567.123456789", "123456789.5", "0." + "0" * 60 + "1", "1" * 70,
    "1E2", "1.5E+1", "1e2",
)  # fmt: skip
HOSTILE_SIDES = (
    None, b"", "", b" ", b"null", b"[]", b" [ ] ", b"[[]]", b"[[1]]", b"[", b"]", b"[[1,2]", b"{}",
    b"[[1,2],]", b"[[1,2]]x", b"[[1,2]] \n", b"\x00", b"[[1,2]]\x00", b"[[1,2\x00]]", b"\xff\xfe",
    b"[[1,2],[3,nan]]", b"[[true,2],[5,false]]", b'[{"1":2}]', b"[1,2]", b'["12"]', b"12", b'"12"',
    b'[["12"]]', b"((7,8),(9,1))", b"[('7', '8')]", b"[" * 3000, b"[[" + b"1" * 5000 + b",2]]",
    b'[["1","2","3","4","5","x","\\u0041"]]', b"[[1,2,[3,[4]]]]", b"[[1,2,-3]]", b'[["1\t","2"]]',
    b'[["1","2","\t"]]', b"[[3,4,05]]", b"[[3,4,1e400]]", b"[[3 ,4 , 5 ] , [ 6,7 ] ]", b"[[1 2]]",
    '[["3","4"]]', '[["3","4"]]\ud800', [["3", "4"]], ((5, 6.5), (7, "8", 9)), [[1, True]], "x",
    '[["3","4","\xe9"]]', '[["3","4","\u4e2d"]]', "[[1,2]]\x00", " [ ] ", '[["3","4\u0663"]]',
    "[[123456789012345678901234567890,0.1000000000000000055511151231257827]]",
    b"[[1,2]] xxxxxxxx".decode("utf-16-le"),  # lies in memory like a plain side of 8 bytes
)  # fmt: skip


def _number(random: Random, value: float) -> str:
    """Write `value`, mostly as an exchange does, sometimes in one of a hundred other ways."""
    kind = random.random()
    if kind < 0.85:
        return f"{value:.{random.choice((0, 1, 2, 8, 9))}f}".lstrip("-") if value else "0"
    if kind < 0.90:
        return repr(value * random.random())
    if kind < 0.95:
        return f"{value:.{random.randrange(20)}e}"
    return random.choice(HOSTILE_NUMBERS)


def _levels(random: Random, middle: float, sign: int) -> list[list[str]]:
    """Make the levels of one row: prices on few ticks, so that they meet again in later rows."""
    count = random.choice((0, 1, 1, 2, 3, 5, 8, 20, 20, 80, 400))
    reach = random.choice((5, 40, 400, 3000))
    crossing = random.choice((0, 0, 0, 3))
    ticks = [random.randrange(-crossing, reach) for _ in range(count)]
    order = random.random()
    if order < 0.8:
        ticks = sorted(set(ticks), reverse=order < 0.3)
    deletions = random.choice((0.0, 0.3, 0.5, 0.9, 1.0))
    scale = random.choice((1.0, 1.0, 1.0, 1e-7, 1e7, 1e18, 1e300))
    return [
        [
            f"{middle + sign * tick / 2:.1f}"
            if random.random() < 0.98
            else _number(random, middle + sign * tick / 2),
            "0" if random.random() < deletions else _number(random, random.random() * scale),
        ]
        for tick in ticks
    ]


def hostile_side(random: Random, middle: float, sign: int) -> object:
    """Make the value of one side: most are plain JSON, the rest is written or damaged oddly."""
    if random.random() < 0.03:
        return random.choice(HOSTILE_SIDES)
    levels = _levels(random, middle, sign)
    extra = random.choice(([], [], ["0", "1"], ["0", "12"], [3], ["-1"], [1.5e3], [None], [[0]]))
    fields = [[*level, *extra] for level in levels]
    if random.random() < 0.2:
        fields = [[*map(_as_is_or_number, level)] for level in fields]
    style = random.random()
    if style < 0.75:
        text = json.dumps(fields, separators=(",", ":"))
    elif style < 0.85:
        text = json.dumps(fields, indent=random.choice((None, 1)))
    else:
        text = str(fields)
    raw = text.encode()
    if random.random() < 0.03 and raw:
        raw = damaged(random, raw)
    return raw.decode(errors="surrogateescape") if random.random() < 0.3 else raw


def _as_is_or_number(field: object) -> object:
    try:
        return float(field) if isinstance(field, str) and field.isascii() else field
    except ValueError:
        return field


def damaged(random: Random, raw: bytes) -> bytes:
    """Put a piece of `raw` elsewhere, or a byte in, or leave some out."""
    at, end = sorted(random.choices(range(len(raw) + 1), k=2))
    middle = random.choice((b"", bytes([random.randrange(256)]), raw[at:end] * 2, b'"', b","))
    return raw[:at] + middle + raw[random.choice((at, at + 1, end)) :]


def hostile_row(random: Random) -> tuple[object, object, bool]:
    """Make a row `(bids, asks, snapshot)` around a price that moves little."""
    middle = random.choice((1000.0, 1000.0, 1000.5, 1010.0))
    bids, asks = hostile_side(random, middle, -1), hostile_side(random, middle + 0.5, 1)
    return bids, asks, random.random() < 0.02


HOSTILE_FIGURES = (
    *(1.0, 2.0, 0.0, -1.0, float("nan"), float("inf"), 1e290, 1e291, 5e-324),
    *(1, 0, -1, 10**400, True, None, "2", b"2", b"2.50", b"", b"x", b"1_0", b"\xff"),
)


def hostile_trades(random: Random) -> list[tuple[object, ...]]:
    """Make recorded rows of trades, in time order, that often share a millisecond and an id."""
    return [
        (
            ms,
            random.choice((random.randrange(-3, 4), random.randrange(2**63 - 2, 2**84))),
            random.choice((None, b"a", b"b", "a", 7, b"\xff")),
            random.choice((1.0, 1.0, random.choice(HOSTILE_FIGURES))),
            random.choice((1.0, 1.0, random.choice(HOSTILE_FIGURES))),
            random.choice((b"buy", b"sell", b"SELL ", b"?", b"", None, 1, "buy")),
        )
        for ms in sorted(random.choices(range(9), k=random.randrange(30)))
    ]
