"""Paths and commands as one types them where one is, so that what is printed can be pasted."""

from __future__ import annotations

import os
import shlex
import sys
from pathlib import Path

from django.conf import settings


def path_as_typed(path: str | Path) -> str:
    """Short below the current folder, whole elsewhere. A link such as `.venv/bin/python` is not followed."""
    here = os.path.relpath(path)
    return str(path) if here.startswith(os.pardir) else here


def python_as_typed(script: str, *arguments: str) -> str:
    """Runs a script of the project by the Python that runs now, which is the one that has its libraries."""
    words = (path_as_typed(sys.executable), path_as_typed(settings.BASE_DIR / script), *arguments)
    return shlex.join(words)
