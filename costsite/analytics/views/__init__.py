"""Pages: read the request, ask the queries, render. A file per part of the navigation."""
