#!/usr/bin/env python
"""Django's entry point."""

import os
import sys


def main() -> None:
    os.umask(0o077)  # what commands make holds costs, sessions and hashed keys; see costsite.wsgi
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "costsite.settings")
    from django.core.management import execute_from_command_line

    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
