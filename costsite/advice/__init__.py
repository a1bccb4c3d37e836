"""Cost optimization: what the ledger's own tokens say one could do, with the cents of each advice.

Arithmetic is in `usual`, `chains`, `compaction`, `causes`, `whatif`, `comparing` and `words`; `scan` and `finding` run
it over the ledger once a night, and the page reads the rows they left. docs/cost-optimization.md tells the rules.
"""
