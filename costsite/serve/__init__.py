"""Web and background work under one command: `manage.py serve`."""
