"""Formats that sessions are exported to and imported from, one module each.

Pure functions over bytes: they know no store, and need Pydantic AI only to read other programs'.
"""
