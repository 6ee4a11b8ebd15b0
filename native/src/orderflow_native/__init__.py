"""Hold the compiled book of the order-flow replay.

Importing it fails with `ImportError` where the extension was not built, for want of a C compiler;
`orderbook_manager` then goes on with its Python class.
"""

from orderflow_native._book import OrderbookManager, parse_plain_side

__all__ = ["OrderbookManager", "parse_plain_side"]
