"""Find the functions of the SQLite library that Python's own module uses.

Compiled code calls them by their addresses: it then reads rows without an object for each value,
and by the same library, whose locks on a file belong to the whole process.
"""

import contextlib
import sqlite3
from functools import cache

NAMES = (
    "open_v2", "close_v2", "exec", "limit", "prepare_v2", "finalize", "step",
    "bind_parameter_index", "bind_text",
    "column_count", "column_type", "column_bytes", "column_int64", "column_double", "column_text",
    "column_blob",
)  # fmt: skip


@cache
def addresses() -> dict[str, int] | None:
    """Return the address of each function of `NAMES`; None where they cannot be had.

    They cannot where the library is built into Python without its names, or another one is found.
    """
    with contextlib.suppress(ImportError, OSError, AttributeError, ValueError):
        import _sqlite3  # noqa: PLC0415 (as what follows: only a replay needs it)
        import ctypes  # noqa: PLC0415

        library = ctypes.CDLL(getattr(_sqlite3, "__file__", None))
        version = library.sqlite3_libversion
        version.restype = ctypes.c_char_p
        if version().decode() == sqlite3.sqlite_version and library.sqlite3_threadsafe():
            found = {name: getattr(library, f"sqlite3_{name}") for name in NAMES}
            return {
                name: ctypes.cast(function, ctypes.c_void_p).value or 0
                for name, function in found.items()
            }
    return None
