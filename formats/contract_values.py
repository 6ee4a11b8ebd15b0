"""What one contract stands for, as the user says it."""

from collections.abc import Iterable

from orderflow.errors import UsageError
from orderflow.instruments import Instrument


def parse_contract_values(texts: Iterable[str]) -> dict[str, str]:
    """Return contract values by instrument, of texts like `BTC-USDT-SWAP=0.01`.

    Raise `UsageError` for anything else.
    """
    values = {}
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals:
            msg = f"--contract-value is NAME=N, such as BTC-USDT-SWAP=0.01; found {text!r}"
            raise UsageError(msg, "--contract-value", text)
        values[name] = Instrument(name, "1", "1", value).contract_value
    return values
