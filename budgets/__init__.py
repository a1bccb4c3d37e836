"""Policy over the ledger: limits on spending, who may go on, who is told."""
