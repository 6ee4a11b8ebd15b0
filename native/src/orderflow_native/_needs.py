"""Keep what the twins need of the program they belong to.

The program hands it in, so that this package imports nothing of the program.
"""

from typing import Any

_needs: dict[str, Any] = {}


def hand_in(**needs: Any) -> None:
    """Keep functions, classes and values of the program under the names the twins know."""
    _needs.update(needs)


def needed(name: str) -> Any:
    """Return what was handed in as `name`; raise `RuntimeError` where nothing was."""
    try:
        return _needs[name]
    except KeyError:
        msg = (
            f"the compiled code was not handed {name}; import the class or function from the "
            f"program's module, not from orderflow_native, or call hand_in({name}=...) first"
        )
        raise RuntimeError(msg) from None
