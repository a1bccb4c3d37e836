"""The shapes of real traffic: how large contexts and answers are, and when people work. Pure, without Django.

The token quantiles are those of the Azure LLM inference trace 2023 (28,185 requests to two production services, one of
conversation and one of code completion; Azure Public Dataset, CC BY 4.0; P. Patel et al., "Splitwise: Efficient
generative LLM inference using phase splitting", ISCA 2024). Contexts have a long tail, answers to chats are long,
completions of code are short, and the two are as good as uncorrelated (Spearman's rho 0.07 and -0.02).
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass
from random import Random

SHARES = (0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.999, 1.0)


@dataclass(frozen=True)
class TokenShape:
    """Token counts: `tokens[i]` is what `SHARES[i]` of the requests stay below; log-linear between."""

    tokens: tuple[int, ...]

    def at(self, share: float) -> int:
        """The tokens below which `share` (0 to 1) of the requests lie."""
        place = min(max(bisect_right(SHARES, share), 1), len(SHARES) - 1)
        low, high = math.log(self.tokens[place - 1]), math.log(self.tokens[place])
        fraction = (share - SHARES[place - 1]) / (SHARES[place] - SHARES[place - 1])
        return round(math.exp(low + fraction * (high - low)))

    def sample(self, rng: Random) -> int:
        return self.at(rng.random())


CHAT_CONTEXT = TokenShape((2, 29, 181, 207, 387, 403, 703, 1020, 1071, 1130, 1315, 2735, 4083, 4142, 6212, 14050))
CHAT_ANSWER = TokenShape((7, 16, 41, 54, 77, 91, 103, 129, 177, 384, 400, 424, 451, 601, 954, 1000))
CODE_CONTEXT = TokenShape((3, 17, 75, 147, 385, 770, 1075, 1469, 1909, 2433, 3193, 5194, 7315, 7436, 7437, 7437))
CODE_ANSWER = TokenShape((6, 6, 6, 7, 8, 9, 11, 13, 16, 20, 29, 55, 90, 252, 831, 1899))

OFFICE_HOURS = (1, 1, 1, 1, 1, 2, 6, 18, 48, 80, 95, 90, 60, 78, 96, 92, 84, 62, 34, 18, 12, 8, 5, 3)
"""Relative traffic by hour of the local day: two humps around lunch."""
CUSTOMER_HOURS = (14, 9, 6, 5, 6, 10, 20, 36, 58, 72, 80, 84, 82, 80, 78, 76, 78, 84, 92, 96, 88, 66, 42, 24)
"""Customers also write in the evening, and a few at night."""


def second_of_day(hours: tuple[int, ...], rng: Random) -> int:
    hour = rng.choices(range(24), weights=hours)[0]
    return hour * 3600 + rng.randrange(3600)


def how_many(mean: float, rng: Random) -> int:
    """A Poisson count: arrivals that are independent of one another."""
    count, waited = 0, rng.expovariate(1.0)
    while waited < mean:
        count += 1
        waited += rng.expovariate(1.0)
    return count
