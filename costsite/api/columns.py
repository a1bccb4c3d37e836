"""What the API's CSV says of any sum."""

from __future__ import annotations

from agents.spend import cents_text
from costsite.csv_answer import Column

SPEND_COLUMNS = (
    Column("Calls", lambda row: row.calls),
    Column("Failed calls", lambda row: row.failed_calls),
    Column("Unpriced calls", lambda row: row.unpriced_calls),
    Column("Estimated calls", lambda row: row.estimated_calls),
    Column("Input tokens", lambda row: row.input_tokens),
    Column("Output tokens", lambda row: row.output_tokens),
    Column("Cache read tokens", lambda row: row.cache_read_tokens),
    Column("Reasoning tokens", lambda row: row.reasoning_tokens),
    Column("Estimated cost (cents)", lambda row: cents_text(row.cost)),
)
