"""Give the tests the compiled twins, where they were built and the program uses them."""

import os
from typing import Any

import pytest


def compiled_twins() -> Any:
    """Return `orderflow_native`; skip the module that asks where there is none in use."""
    if os.environ.get("ORDERFLOW_PURE_PYTHON") == "1":
        pytest.skip("asked for Python alone: nothing is handed to twins", allow_module_level=True)
    reason = "the compiled code is not built here"
    return pytest.importorskip("orderflow_native", reason=reason, exc_type=ImportError)
