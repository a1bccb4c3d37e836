"""Costsite's callback for LangChain agents."""

from langchain_plugin._version import __version__

__all__ = ["__version__"]
