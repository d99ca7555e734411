"""A proxy between a client and PostgreSQL that counts round trips, and cuts."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

from tests.postgres.programs import free_port
from tests.postgres.wire import Message, Statements, Traffic, read, read_startup

_Pump = tuple[asyncio.StreamReader, asyncio.StreamWriter]
_GONE = (OSError, asyncio.IncompleteReadError)


class Loss:
    """An execution that is going to be lost."""

    def __init__(self, sql: str, *, answer: bool) -> None:
        self._sql = re.compile(rf"{re.escape(sql)}(?!\w)", re.IGNORECASE)
        self.answer = answer
        self._happened = threading.Event()

    @property
    def happened(self) -> bool:
        """Whether it was lost, and the connection cut."""
        return self._happened.is_set()

    def matches(self, sql: str) -> bool:
        return self._sql.search(sql) is not None

    def happen(self) -> None:
        self._happened.set()


class Proxy:
    """A proxy in front of the server of a DSN, in a thread of its own. A context manager.

    Its methods may be called from anywhere, and have taken effect when they return; what the
    server or a client had sent before may have passed.
    """

    def __init__(self, dsn: str) -> None:
        parts = urlsplit(dsn)
        self._target = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self.port = free_port()
        self.traffic = Traffic()  # since the start
        self._recording = [self.traffic]
        self._links: dict[_Link, asyncio.Task[None]] = {}
        self._losses: list[Loss] = []
        self._delay = 0.0
        self._swallowing = False

    def dsn(self, dsn: str) -> str:
        """The DSN that leads to the same database through the proxy."""
        parts = urlsplit(dsn)
        user = parts.netloc.rpartition("@")[0]
        netloc = f"{user}@127.0.0.1:{self.port}" if user else f"127.0.0.1:{self.port}"
        return parts._replace(netloc=netloc).geturl()

    def __enter__(self) -> Proxy:
        self._exit = ExitStack()
        self._portal = self._exit.enter_context(start_blocking_portal())
        self._exit.callback(lambda: self._portal.call(self._end))
        self._portal.call(self._begin)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._exit.close()

    # What can be seen

    @contextlib.contextmanager
    def recording(self) -> Iterator[Traffic]:
        """What goes over the wire within the block. An answer that was had is complete in it."""
        traffic = Traffic()
        self._portal.call(self._recording.append, traffic)
        try:
            yield traffic
        finally:
            self._portal.call(self._recording.remove, traffic)

    @property
    def open_connections(self) -> int:
        """How many connections are open through the proxy."""
        return self._portal.call(lambda: len(self._links))

    # What can be done

    def drop(self) -> None:
        """Reset all connections. New ones may be made."""
        self._portal.call(self._drop)

    def refuse(self) -> None:
        """Refuse new connections, until `resume`. Those that are open stay."""
        self._portal.call(self._server.close)

    def cut(self) -> None:
        """Reset all connections and refuse new ones, until `resume`: as a server that is gone."""
        self.refuse()
        self.drop()

    def hold(self) -> None:
        """Let nothing pass either way, until `resume`: as a network where packets get lost."""
        self._portal.call(self._passing.clear)

    def swallow(self) -> None:
        """Lose the server's answers, until `resume`, which resets the connections."""
        self._portal.call(setattr, self, "_swallowing", True)

    def delay(self, seconds: float) -> None:
        """Let each message take this much longer, either way, until `resume`."""
        self._portal.call(setattr, self, "_delay", seconds)

    def lose_answer(self, sql: str = "") -> Loss:
        """Let the server do the next execution of SQL that contains `sql`, and lose its answer.

        The connection is reset when the server is done: it has happened, and the client
        can't know. Upper and lower case are one; the last word is a whole one.
        """
        return self._lose(Loss(sql, answer=True))

    def lose_request(self, sql: str = "") -> Loss:
        """Reset the connection on which SQL that contains `sql` is executed next, before it is.

        For the client the same as `lose_answer`, but nothing happened.
        """
        return self._lose(Loss(sql, answer=False))

    def resume(self) -> None:
        """Let everything pass again."""
        self._portal.call(self._resume)

    # In the proxy's thread

    async def _begin(self) -> None:
        self._passing = asyncio.Event()
        self._passing.set()
        await self._listen()

    async def _listen(self) -> None:
        self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        link = _Link(self, (reader, writer))
        task = asyncio.current_task()
        assert task is not None
        self._links[link] = task
        try:
            await link.run(self._target)
        finally:
            del self._links[link]

    async def _resume(self) -> None:
        if self._swallowing:
            self._drop()
        self._swallowing, self._delay = False, 0.0
        self._losses.clear()
        self._passing.set()
        if not self._server.is_serving():
            await self._listen()

    async def _end(self) -> None:
        self._server.close()
        while tasks := list(self._links.values()):
            self._drop()
            await asyncio.wait(tasks)

    def _drop(self) -> None:
        for link in self._links:
            link.reset()

    def _lose(self, loss: Loss) -> Loss:
        self._portal.call(self._losses.append, loss)
        return loss

    def lost(self, sql: str) -> Loss | None:
        """The loss that befalls this execution, if one does; it befalls no other."""
        for loss in self._losses:
            if loss.matches(sql):
                self._losses.remove(loss)
                return loss
        return None

    def record(self, note: Callable[[Traffic], object]) -> None:
        for traffic in self._recording:
            note(traffic)

    async def passes(self, *, answer: bool) -> bool:
        """Wait as long as a message has to; whether it goes on at all."""
        if self._delay:
            await asyncio.sleep(self._delay)
        await self._passing.wait()
        return not (answer and self._swallowing)


class _Link:
    """One connection of a client, and the proxy's own to the server for it."""

    def __init__(self, proxy: Proxy, client: _Pump) -> None:
        self._proxy = proxy
        self._from_client, self._to_client = client
        self._statements = Statements()
        self._started = False
        self._losing: Loss | None = None  # what is executed before the next Sync
        self._asked: deque[Loss | None] = deque()  # of what the server has yet to finish

    async def run(self, target: tuple[str, int]) -> None:
        """Pass everything on until one side goes away, or `reset`."""
        self._passing = asyncio.create_task(self._pass(target))
        await asyncio.wait([self._passing])
        self._to_client.close()
        with contextlib.suppress(OSError):
            await self._to_client.wait_closed()

    def reset(self) -> None:
        """Break the connection off: the client is told so at once."""
        transport = self._to_client.transport
        connection = transport.get_extra_info("socket")
        with contextlib.suppress(OSError):
            at_once = struct.pack("ii", 1, 0)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, at_once)
        transport.abort()
        self._passing.cancel()

    async def _pass(self, target: tuple[str, int]) -> None:
        with ExitStack() as closing, contextlib.suppress(*_GONE):
            startup = await read_startup(self._from_client, self._to_client)
            await self._proxy.passes(answer=False)
            from_server, to_server = await asyncio.open_connection(*target)
            closing.callback(to_server.close)
            to_server.write(startup)
            self._proxy.record(_note_connection)
            pumps = [
                asyncio.create_task(self._requests(to_server)),
                asyncio.create_task(self._answers(from_server)),
            ]
            for pump in pumps:
                closing.callback(pump.cancel)
            await asyncio.wait(pumps, return_when=asyncio.FIRST_COMPLETED)

    async def _requests(self, server: asyncio.StreamWriter) -> None:
        with contextlib.suppress(*_GONE):
            while True:
                message = await read(self._from_client)
                await self._proxy.passes(answer=False)
                if self._started and self._follow(message):
                    self.reset()
                    return
                server.write(message.data)
                await server.drain()

    def _follow(self, message: Message) -> bool:
        """Take note of a client's message; whether it is lost."""
        self._proxy.record(lambda traffic: _note_sent(traffic, message))
        sql = self._statements.executed(message)
        if sql is not None:
            self._proxy.record(lambda traffic: traffic.executed.append(sql))
            loss = self._proxy.lost(sql)
            if loss is not None and not loss.answer:
                loss.happen()
                return True
            self._losing = loss or self._losing
        if message.type in "QSF":  # what the server ends with ReadyForQuery
            self._asked.append(self._losing)
            self._losing = None
        return False

    async def _answers(self, server: asyncio.StreamReader) -> None:
        with contextlib.suppress(*_GONE):
            while True:
                message = await read(server)
                goes_on = await self._proxy.passes(answer=True)
                if self._started:
                    self._proxy.record(lambda traffic, got=message: _note_received(traffic, got))
                loss = self._asked[0] if self._asked else self._losing
                if message.type == "Z":
                    self._started = True
                    if self._asked:
                        self._asked.popleft()
                    if loss is not None:
                        loss.happen()
                        self.reset()
                        return
                if goes_on and loss is None:
                    self._to_client.write(message.data)
                    await self._to_client.drain()


def _note_connection(traffic: Traffic) -> None:
    traffic.connections += 1


def _note_sent(traffic: Traffic, message: Message) -> None:
    traffic.sent[message.type] += 1
    traffic.bytes_sent += len(message.data)


def _note_received(traffic: Traffic, message: Message) -> None:
    traffic.received[message.type] += 1
    traffic.bytes_received += len(message.data)
