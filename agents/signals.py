"""What the ledger announces.

usage_recorded: sent inside the transaction that wrote it, so that a failing receiver undoes the record and the client
sends it again. Calls and runs are written; the sums, for which other batches wait, are not yet. Arguments: `recorded`
(`agents.recorded.Recorded`).

usage_summed: sent likewise when they are, with little left to do before the commit. Arguments: `recorded`, and `last`:
what the rows of `recorded.last` came to.

agents_registered: sent inside the transaction that made agents which were seen for the first time. Arguments:
`workspace_id`, `agent_ids` (a list).

costs_corrected: sent likewise inside each transaction of a repricing, so that counters move with the costs. Arguments:
`corrected` (`agents.repricing.Corrected`).

days_moved: sent likewise inside each transaction that moves calls to the day another time zone gives them. Arguments:
`moved` (`agents.time_zone.Moved`).

agents_merged: sent inside the transaction from which on an agent's slug stands for another. Arguments: `merge`
(`agents.models.AgentMerge`).

merged_calls_moved: sent likewise inside each transaction that moves calls to the other agent. Arguments: `moved`
(`agents.moving.MovedCalls`).

merge_settling: sent outside of any transaction when all that the ledger holds has moved, before that is said. What else
names the merged agent is moved by those who keep it. A process may die over it, and it is sent again. Arguments:
`merge`.
"""

from django.dispatch import Signal

usage_recorded = Signal()
usage_summed = Signal()
agents_registered = Signal()
costs_corrected = Signal()
days_moved = Signal()
agents_merged = Signal()
merged_calls_moved = Signal()
merge_settling = Signal()
