"""The HTTP API, version 1."""

from costsite.api.app import api

__all__ = ["api"]
