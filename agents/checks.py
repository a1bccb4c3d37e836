"""System checks: what would make the ledger wrong is said before it starts, with the mend."""

from __future__ import annotations
