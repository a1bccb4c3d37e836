"""The price book of a workspace, from the rows people entered; always the rows as they are now."""

from __future__ import annotations

from uuid import UUID

from django.db.models import Q

from agents.models import ModelPrice
from agents.pricing import PriceBook
from agents.storage import storage

WORKSPACES_REMEMBERED = 256

_books: dict[int, tuple[str, PriceBook]] = {}


def price_book(workspace_id: int) -> PriceBook:
    """The prices that hold for a workspace now. Ask once a batch, inside its transaction.

    One query of one row while no price has changed: every change leaves a fresh mark (`PriceListState`), so a change
    made in any process holds from the next batch on. Inside the transaction, because a batch that was priced before
    a new price was seen, but committed after the repricing that followed it, would stay as it was.
    """
    mark = _mark()
    remembered = _books.get(workspace_id)
    if remembered is not None and remembered[0] == mark:
        return remembered[1]
    rows = ModelPrice.objects.filter(Q(workspace_id=workspace_id) | Q(workspace=None))
    book = PriceBook([row.as_entered() for row in rows])
    if len(_books) >= WORKSPACES_REMEMBERED:
        _books.clear()
    _books[workspace_id] = (mark, book)
    return book


def _mark() -> str:
    # By hand: the ORM takes many times as long, and every batch asks.
    rows = storage().rows("SELECT mark FROM agents_priceliststate WHERE id = 1")
    if not rows:
        return ""
    ((mark,),) = rows
    return mark.hex if isinstance(mark, UUID) else str(mark)
