"""As much of PostgreSQL's protocol, version 3, as it takes to follow a conversation."""

from __future__ import annotations

import asyncio
import struct
from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

_SSL, _GSS = 80877103, 80877104  # asks whether the server encrypts; sent before anything else

# What a client sends when it is going to wait: Query, Sync, Flush, FunctionCall, CopyDone,
# CopyFail. CopyDone within the extended protocol has a Sync after it, and counts twice.
ASKS = frozenset("QSHFcf")


class Message(NamedTuple):
    """A message: its type, a letter, and all its bytes."""

    type: str
    data: bytes

    @property
    def body(self) -> bytes:
        return self.data[5:]


async def read(reader: asyncio.StreamReader) -> Message:
    """The next message. Raises `IncompleteReadError` where the stream ends."""
    head = await reader.readexactly(5)
    (length,) = struct.unpack_from("!I", head, 1)
    return Message(chr(head[0]), head + await reader.readexactly(length - 4))


async def read_startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes:
    """How a client begins, which has no type; encryption, if it asks for it, is declined."""
    while True:
        head = await reader.readexactly(8)
        length, code = struct.unpack("!II", head)
        rest = await reader.readexactly(length - 8)
        if code not in (_SSL, _GSS):
            return head + rest
        writer.write(b"N")


@dataclass
class Traffic:
    """What went over the wire, without what belongs to the start of a connection."""

    connections: int = 0  # that were started
    sent: Counter[str] = field(default_factory=Counter)  # by the client; messages by type
    received: Counter[str] = field(default_factory=Counter)  # by the client, from the server
    bytes_sent: int = 0
    bytes_received: int = 0
    executed: list[str] = field(default_factory=list)  # the SQL of each execution, in order

    @property
    def round_trips(self) -> int:
        """How often a client asked for an answer, and so waited."""
        return sum(count for kind, count in self.sent.items() if kind in ASKS)


class Statements:
    """The SQL of the prepared statements of one connection."""

    def __init__(self) -> None:
        self._named: dict[bytes, str] = {}

    def executed(self, message: Message) -> str | None:
        """The SQL that a client's message executes, if it does: a Query, or a Bind."""
        if message.type == "Q":
            return message.body.rstrip(b"\0").decode()
        if message.type == "P":
            name, sql, _ = message.body.split(b"\0", 2)
            self._named[name] = sql.decode()
        elif message.type == "B":
            _, name, _ = message.body.split(b"\0", 2)
            return self._named.get(name, "")
        return None
