"""The ledger: who ran, what it used, what it cost. Knows nothing of budgets."""
