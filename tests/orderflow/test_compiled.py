"""The switch between compiled code and Python."""

from types import SimpleNamespace
from typing import Any

import pytest

from orderflow import compiled


def test_a_compiled_twin_is_handed_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    handed: dict[str, Any] = {}
    native = SimpleNamespace(hand_in=lambda **needs: handed.update(needs), double="the twin")
    monkeypatch.setattr(compiled, "_native", native)
    assert compiled.fastest("double", "the original", times=2) == "the twin"
    assert handed == {"times": 2}


def test_without_compiled_code_python_goes_on_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "_native", None)
    assert compiled.fastest("double", "the original", times=2) == "the original"


def test_the_environment_leaves_compiled_code_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ORDERFLOW_PURE_PYTHON", "1")
    assert compiled._find_native() is None
