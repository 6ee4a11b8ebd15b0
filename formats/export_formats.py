"""Find the format of an export by its name, and say how to get the library that it needs."""

from formats.export_hftbacktest import HFTBACKTEST
from formats.exporting import ExportFormat
from orderflow.errors import OrderflowError, UsageError

NAMES = (HFTBACKTEST.name, "nautilus", "parquet", "csv")


def find_format(name: str, window_seconds: int, levels: int) -> ExportFormat:
    """Return the format `name`; bars of `window_seconds`, books of the best `levels` levels a side.

    Raise `UsageError` for a name that is none, `OrderflowError` where pyarrow is missing.
    """
    if name not in NAMES:
        msg = f"an export is one of {', '.join(NAMES)}; found {name!r}"
        raise UsageError(msg, "FORMAT", name)
    if name == HFTBACKTEST.name:
        return HFTBACKTEST
    try:
        import pyarrow  # noqa: F401, PLC0415 (of a group of its own)
    except ImportError as error:
        msg = f"{name} is written with pyarrow; uv sync --group data installs it"
        raise OrderflowError(msg) from error
    from formats import export_nautilus, export_parquet  # noqa: PLC0415 (they import pyarrow)

    if name == "nautilus":
        return export_nautilus.NAUTILUS
    return export_parquet.tables_format(name, window_seconds, levels)
