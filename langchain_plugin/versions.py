"""The versions that a report may depend on: the plugin's, Python's, and those of the libraries it reads and uses."""

from __future__ import annotations

import sys

from langchain_plugin._version import __version__


def versions() -> dict[str, str]:
    """By the package's name; what is not installed is left out. Reads files: not for the caller's thread."""
    from importlib.metadata import PackageNotFoundError, version

    found = {"costsite": __version__, "python": ".".join(str(part) for part in sys.version_info[:3])}
    for package in ("langchain-core", "langchain", "langgraph", "httpx", "pydantic"):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found
