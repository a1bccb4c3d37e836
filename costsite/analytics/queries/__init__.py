"""Every read of the pages: from rollups, or from runs and calls by an index and bounded; frozen dataclasses come out.

`visible_to(user)` is applied by the function that names the table; nothing outside this package touches a queryset.
"""
