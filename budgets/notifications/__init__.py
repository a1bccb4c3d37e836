"""Telling people: who is told of what (`telling`), and how it gets to them whatever fails (`sending`)."""
