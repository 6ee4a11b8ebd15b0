"""The page about messages has every message, with every field in its order and the version."""

import re

import pytest
from places import PROJECT

from trading.messages import MESSAGES, VERSION, Accepted, AnyMessage

PAGE = (PROJECT / "docs" / "messages.md").read_text()
SECTIONS = dict(re.findall(r"^### (\w+)\n(.*?)(?=^##|\Z)", PAGE, re.MULTILINE | re.DOTALL))


def test_the_page_has_every_message_and_no_other() -> None:
    assert set(SECTIONS) == {kind.__struct_config__.tag for kind in MESSAGES}
    assert f"Schema version: {VERSION}." in PAGE


@pytest.mark.parametrize("kind", MESSAGES)
def test_the_page_has_every_field_of_a_message_and_no_other(kind: type[AnyMessage]) -> None:
    section = SECTIONS[str(kind.__struct_config__.tag)]
    listed = re.findall(r"^\| `(\w+)` \|", section, re.MULTILINE)
    if "Beside the fields of `accepted`" in section:
        assert sorted([*Accepted.__struct_fields__, *listed]) == sorted(kind.__struct_fields__)
    else:
        assert listed == list(kind.__struct_fields__)
