"""Names that are probably the same one, misspelled. Pure."""

from __future__ import annotations

import re

MOST_LETTERS = 2
SHORT_LETTERS = 5
"""Of names this long or shorter, one letter is often all that tells two agents apart: `abot`, `sbot`."""

_NO_DIGITS = re.compile(r"\D+")


def are_near(one: str, other: str) -> bool:
    """Whether at most two letters have to be changed, added or left out to get from one to the other.

    Case and what joins words count for nothing. Short names are near only when one letter apart, the shortest only
    when alike; and names with other numbers never: `worker-1` and `worker-2` are meant to be two.
    Names are anybody's to choose: a comparison takes a few dozen steps, however long they are and however alike.
    """
    return letters_apart(plain(one), plain(other)) is not None


def plain(name: str) -> str:
    """A name without what counts for nothing."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def letters_apart(one: str, other: str) -> int | None:
    """How many letters those are, of names that are `plain` already: who compares one with many makes it so once.
    None where the two are not near.
    """
    is_short = max(len(one), len(other)) <= SHORT_LETTERS
    most = 0 if is_short else min(MOST_LETTERS, min(len(one), len(other)) // 4)
    if not _within(one, other, most):  # as nearly all are: one comparison does for these
        return None
    if _number(one) and _number(other) and _number(one) != _number(other):
        return None
    return next((letters for letters in range(most) if _within(one, other, letters)), most)


def _number(name: str) -> str:
    return _NO_DIGITS.sub("", name)


def _within(one: str, other: str, most: int) -> bool:
    """Whether Levenshtein's distance is `most` at most. What both begin with alike is never worth changing; then one
    letter is, in one of three ways. For two letters that is less than any table: 13 looks, each at strings as a whole.
    """
    if abs(len(one) - len(other)) > most:
        return False
    if most == 0:
        return one == other
    start = _alike(one, other)
    one, other = one[start:], other[start:]
    if not one or not other:
        return True
    return (
        _within(one[1:], other[1:], most - 1) or _within(one[1:], other, most - 1) or _within(one, other[1:], most - 1)
    )


def _alike(one: str, other: str) -> int:
    """How many letters both begin with alike, by halves."""
    least, most = 0, min(len(one), len(other))
    while least < most:
        middle = (least + most + 1) // 2
        if one[least:middle] == other[least:middle]:
            least = middle
        else:
            most = middle - 1
    return least
