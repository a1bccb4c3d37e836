"""What a call costs per token: prices people entered, then the price library, else unpriced.

A book's `unit_prices` and `wire.cost_of` make the cost; `agents.price_books` hands out the book of a workspace.
docs/prices.md tells people the rules. Pure: whoever asks brings the prices that were entered.
"""

from agents.pricing.book import PriceBook, Priced
from agents.pricing.names import canonical_model, is_local

__all__ = ["PriceBook", "Priced", "canonical_model", "is_local"]
