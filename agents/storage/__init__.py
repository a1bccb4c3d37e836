"""How the write path speaks to a database: one module per vendor, raw and set-based; the ORM is for everything else.

Rows go down as tuples whose values the vendor's `time`, `day` and `json` made ready; ids travel as 32 hex digits,
which every vendor reads. Each statement takes the whole batch.
"""

from __future__ import annotations

from agents.storage.base import Storage, storage

__all__ = ["Storage", "storage"]
