"""Make the table of an instrument that NautilusTrader reads, out of OKX's name of it."""

from datetime import UTC, datetime

import pyarrow as pa

from orderflow.errors import OrderflowError
from orderflow.instruments import Instrument

NS_PER_SECOND = 1_000_000_000
NS_PER_MS = 1_000_000
_WORD = pa.dictionary(pa.int16(), pa.string())
_LIMITS = (
    "max_quantity",
    "min_quantity",
    "max_notional",
    "min_notional",
    "max_price",
    "min_price",
)


def instrument_table(
    name: str, decimals: tuple[int, int], first_ms: int
) -> tuple[str, pa.Table] | None:
    """Return the folder and the table of an instrument; None for a name that does not say enough.

    `decimals` are those of prices and sizes. A pair settles in its quote currency; a contract whose
    quote is USD is inverse and settles in its base.
    """
    try:
        found = Instrument(name, _step(decimals[0]), _step(decimals[1]))
    except OrderflowError:
        return None
    if found.kind == "option":
        return None
    stamp = first_ms * NS_PER_MS
    inverse = found.kind != "spot" and found.quote == "USD"
    currencies: dict[str, object] = {
        "base_currency": found.base,
        "quote_currency": found.quote,
    }
    settled: dict[str, object] = {
        "settlement_currency": found.base if inverse else found.quote,
        "is_inverse": inverse,
    }
    extra: dict[str, object] = {}
    if found.kind == "spot":
        folder, kind, extra = "currency_pair", "CurrencyPair", {"lot_size": None}
    elif found.kind == "swap":
        folder, kind, currencies = "crypto_perpetual", "CryptoPerpetual", currencies | settled
    else:
        folder, kind = "crypto_future", "CryptoFuture"
        expiry = datetime.strptime(name.rpartition("-")[2], "%y%m%d").replace(tzinfo=UTC, hour=8)
        currencies = {"underlying": found.base, "quote_currency": found.quote, **settled}
        currencies |= {
            "activation_ns": 0,
            "expiration_ns": int(expiry.timestamp()) * NS_PER_SECOND,
        }
    row: dict[str, object] = {
        "id": f"{name}.OKX",
        "raw_symbol": name,
        **currencies,
        "price_precision": decimals[0],
        "size_precision": decimals[1],
        "price_increment": found.tick,
        "size_increment": found.lot,
        "multiplier": "1",
        **extra,
        **dict.fromkeys(_LIMITS),
        "margin_init": "0",
        "margin_maint": "0",
        "maker_fee": "0",
        "taker_fee": "0",
        "info": b"null",
        "ts_event": stamp,
        "ts_init": stamp,
    }
    schema = pa.schema([(column, _type_of(column)) for column in row], {"class": kind})
    return folder, pa.Table.from_pylist([row], schema=schema)


def _type_of(column: str) -> pa.DataType:
    special = {
        "id": pa.dictionary(pa.int64(), pa.string()),
        "is_inverse": pa.bool_(),
        "price_precision": pa.uint8(),
        "size_precision": pa.uint8(),
        "info": pa.binary(),
    }
    if column in special:
        return special[column]
    if column.startswith("ts_") or column.endswith("_ns"):
        return pa.uint64()
    texts = ("raw_symbol", "margin_init", "margin_maint", "maker_fee", "taker_fee")
    return pa.string() if column in texts else _WORD


def _step(decimals: int) -> str:
    return f"0.{'1'.rjust(decimals, '0')}" if decimals else "1"
