"""Temporary."""

from __future__ import annotations


class Indexing:
    def __init__(self, connections):
        pass

    def open(self):
        pass

    async def close(self):
        pass

    def wake(self):
        pass

    async def catch_up(self, owner, agents):
        pass
