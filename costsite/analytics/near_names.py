"""Names that are probably the same one, misspelled. Pure."""

from __future__ import annotations

MOST_LETTERS = 2


def are_near(one: str, other: str, most: int = MOST_LETTERS) -> bool:
    """Whether at most `most` letters have to be changed, added or left out to get from one to the other.

    Case and what joins words count for nothing. Short names are near only when one letter apart: `a` and `b` are two.
    Names are anybody's to choose: a comparison takes a few dozen steps, however long they are and however alike.
    """
    return are_near_plain(plain(one), plain(other), most)


def plain(name: str) -> str:
    """A name without what counts for nothing."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def are_near_plain(one: str, other: str, most: int = MOST_LETTERS) -> bool:
    """As `are_near`, of names that are `plain` already: who compares one with many makes it so once."""
    return _within(one, other, min(most, min(len(one), len(other)) // 4))


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
