"""Names that are probably the same one, misspelled. Pure."""

from __future__ import annotations

MOST_LETTERS = 2


def are_near(one: str, other: str, most: int = MOST_LETTERS) -> bool:
    """Whether at most `most` letters have to be changed, added or left out to get from one to the other.

    Case and what joins words count for nothing. Short names are near only when one letter apart: `a` and `b` are two.
    """
    one, other = _plain(one), _plain(other)
    shorter = min(len(one), len(other))
    most = min(most, shorter // 4)
    return one == other or (abs(len(one) - len(other)) <= most and _distance(one, other, most) <= most)


def _plain(name: str) -> str:
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def _distance(one: str, other: str, most: int) -> int:
    """Levenshtein's; anything above `most` once no way leads back under it."""
    row = list(range(len(other) + 1))
    for index, letter in enumerate(one, 1):
        before, row = row, [index]
        for place, with_letter in enumerate(other, 1):
            row.append(min(before[place] + 1, row[place - 1] + 1, before[place - 1] + (letter != with_letter)))
        if min(row) > most:
            return most + 1
    return row[-1]
