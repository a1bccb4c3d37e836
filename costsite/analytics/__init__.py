"""The read side: pages over the ledger."""
