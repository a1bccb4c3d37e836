"""Which names travel: what a person can read, in a terminal too."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from langchain_plugin import wire

NAME, REQUIRED, TAG = (TypeAdapter[str](kind) for kind in (wire.Name, wire.RequiredName, wire.Tag))

UNSHOWABLE = {
    "NUL": "\x00",
    "escape": "a\x1b[31mb",
    "line break": "a\nb",
    "tab": "a\tb",
    "delete": "a\x7f",
    "C1 control": "a\x9b31m",
    "line separator": "a\u2028b",
    "right-to-left override": "\u202egnp.exe",
    "isolate": "a\u2067b",
}
INVISIBLE = {
    "space": " ",
    "no-break space": "\u00a0",
    "zero-width space": "\u200b",
    "joiners": "\u200c\u200d",
    "byte order mark": "\ufeff",
    "soft hyphen": "\u00ad",
    "Hangul filler": "\u3164",
    "blank Braille": "\u2800",
    "variation selector": "\ufe0f",
    "tag characters": "\U000e0041\U000e007f",
}


def takes(kind: TypeAdapter[str], name: str) -> bool:
    try:
        return kind.validate_python(name) == name
    except ValidationError:
        return False


@pytest.mark.parametrize("name", UNSHOWABLE.values(), ids=UNSHOWABLE)
@pytest.mark.parametrize("kind", [NAME, REQUIRED, TAG], ids=["name", "required name", "tag"])
def test_what_would_drive_a_terminal_or_turn_a_line_round_is_refused(kind: TypeAdapter[str], name: str) -> None:
    assert not takes(kind, name)


@pytest.mark.parametrize("name", INVISIBLE.values(), ids=INVISIBLE)
def test_a_name_of_which_nothing_can_be_seen_is_no_name(name: str) -> None:
    assert not takes(REQUIRED, name)
    assert not takes(TAG, name)
    assert wire.clean_name(name) == ""
    assert takes(REQUIRED, f"a{name}b")


@pytest.mark.parametrize(
    "name", ["gpt-4o", "ft:gpt-4o:acme::7p", "Kundenservice für Köln", "模型", "پشتیبان\u200cها", "👩\u200d🚀 pilot"]
)
def test_names_people_give_are_taken_as_they_are(name: str) -> None:
    assert takes(REQUIRED, name)
    assert takes(TAG, name)
    assert wire.clean_name(name) == name


# Everything the wire speaks of, far more often than chance would bring it.
characters = st.one_of(
    st.characters(), st.sampled_from([*"".join(UNSHOWABLE.values()), *"".join(INVISIBLE.values()), "\ud800", "\udfff"])
)


@given(
    value=st.one_of(st.text(characters, max_size=300), st.integers(), st.none(), st.binary(max_size=20)),
    length=st.sampled_from([1, wire.MAX_TAG_LENGTH, wire.MAX_NAME_LENGTH]),
)
@example(value="\u200b" * 300 + "a", length=wire.MAX_NAME_LENGTH)
@example(value="a\x1b[31mb\n\u202e", length=wire.MAX_NAME_LENGTH)
def test_a_cleaned_name_is_always_taken(value: Any, length: int) -> None:
    cleaned = wire.clean_name(value, length)

    assert len(cleaned) <= length
    assert takes(NAME, cleaned)
    if cleaned:
        assert takes(REQUIRED, cleaned)
        if length <= wire.MAX_TAG_LENGTH:
            assert takes(TAG, cleaned)
    assert wire.clean_name(cleaned, length) == cleaned
