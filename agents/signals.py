"""What the ledger announces.

usage_recorded: sent inside the transaction that wrote it, so that a failing receiver undoes the record and the client
sends it again. Arguments: `recorded` (`agents.ledger.Recorded`).

costs_corrected: sent likewise inside each transaction of a repricing, so that counters move with the costs. Arguments:
`corrected` (`agents.repricing.Corrected`).

days_moved: sent likewise inside each transaction that moves calls to the day another time zone gives them. Arguments:
`moved` (`agents.time_zone.Moved`).
"""

from django.dispatch import Signal

usage_recorded = Signal()
costs_corrected = Signal()
days_moved = Signal()
