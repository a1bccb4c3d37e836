"""The WSGI application that `manage.py serve` and any WSGI server run."""

import os

from django.core.wsgi import get_wsgi_application

# Databases, their journals, locks and logs are their owner's alone, also in a state folder that others may enter.
os.umask(0o077)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
application = get_wsgi_application()
