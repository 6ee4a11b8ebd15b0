"""Choose between compiled code and Python, in one place.

`native/` holds twins of a few functions and classes: the same semantics, less time. Where they
were not built for lack of a C compiler, or with `ORDERFLOW_PURE_PYTHON=1`, the Python ones are
used.

The twins import nothing of the project: what they need of it is handed to them here.
"""

import os
from types import ModuleType
from typing import Any, TypeVar, cast

Twin = TypeVar("Twin")


def _find_native() -> ModuleType | None:
    if os.environ.get("ORDERFLOW_PURE_PYTHON") == "1":
        return None
    try:
        import orderflow_native  # noqa: PLC0415 (it may be missing, and this is the only place)
    except ImportError:
        return None
    return orderflow_native


def fastest(name: str, python: Twin, **needs: Any) -> Twin:
    """Return the compiled twin `name` of a class or function where there is one, else `python`.

    `needs` are the functions, classes and values of the project that the compiled twin uses, under
    the names it knows them by.
    """
    if _native is None:
        return python
    _native.hand_in(**needs)
    return cast("Twin", getattr(_native, name))


_native: Any = _find_native()
