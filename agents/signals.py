"""What the ledger announces.

usage_recorded: sent inside the transaction that wrote it, so that a failing receiver undoes the record and the client
sends it again. Arguments: `recorded` (`agents.ledger.Recorded`).
"""

from django.dispatch import Signal

usage_recorded = Signal()
