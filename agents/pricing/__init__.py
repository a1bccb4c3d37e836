"""What a call costs per token: prices people entered, then the price library, else unpriced.

`price_book(workspace_id)` gives the book; its `unit_prices` and `wire.cost_of` make the cost. docs/prices.md tells
people the rules. Everything but `agents.pricing.table` is pure of Django.
"""

from agents.pricing.book import PriceBook, Priced
from agents.pricing.names import canonical_model, is_local
from agents.pricing.table import price_book

__all__ = ["PriceBook", "Priced", "canonical_model", "is_local", "price_book"]
