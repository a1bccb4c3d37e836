"""The WSGI application that `manage.py serve` and any WSGI server with threads or processes run."""

import os
import sys

from django.core.exceptions import ImproperlyConfigured
from django.core.wsgi import get_wsgi_application

_OF_GREENLETS = ("gunicorn.workers.ggevent", "gunicorn.workers.geventlet")

# A worker of greenlets has one thread: a batch that waits for the database would stop all the others, for ever where it
# is they who would let it in. Seen before it patches anything, as with --preload; and after.
_patched = getattr(sys.modules.get("gevent.monkey"), "is_module_patched", None)
if any(name in sys.modules for name in _OF_GREENLETS) or (_patched is not None and _patched("threading")):
    raise ImproperlyConfigured(
        "Costsite's site cannot be served by gevent or eventlet: a batch waits for the database on its thread. Use"
        " `manage.py serve`, or a server with threads or processes, such as gunicorn --worker-class gthread."
    )

# Databases, their journals, locks and logs are their owner's alone, also in a state folder that others may enter.
os.umask(0o077)
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
application = get_wsgi_application()
