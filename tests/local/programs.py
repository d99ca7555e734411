"""What the tests run in processes of their own. Plain functions with plain arguments."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

_NEW_FIELDS = {
    "message": ("run_id", "conversation_id", "state", "metadata", "provider_url", "finish_reason"),
    "part": ("id", "provider_name", "provider_details", "name", "model_id", "scope"),
}


def _as_older(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The same history as a Pydantic AI of the time of 0.4 writes it."""
    for message in messages:
        for field in _NEW_FIELDS["message"]:
            message.pop(field, None)
        if message["kind"] == "request":
            message.pop("timestamp", None)
        else:
            message.pop("provider_response_id", None)
            message["vendor_id"] = None
            message["usage"] = {
                "requests": 1,
                "request_tokens": None,
                "response_tokens": None,
                "total_tokens": None,
                "details": None,
            }
        for part in message["parts"]:
            for field in _NEW_FIELDS["part"]:
                part.pop(field, None)
    return messages


def file_program(path: str, form: str) -> None:
    """An application that keeps a session in a file: a line read is a turn to add.

    Answers with what the file held before, so that the caller can tell it was complete.
    """
    from pydantic_ai.messages import (
        ModelMessagesTypeAdapter,
        ModelRequest,
        ModelResponse,
        TextPart,
        UserPromptPart,
    )
    from pydantic_core import to_jsonable_python

    file = Path(path)
    for line in sys.stdin:
        text = line.rstrip("\n")
        history = ModelMessagesTypeAdapter.validate_json(file.read_bytes()) if file.exists() else []
        before = len(history)
        history.append(ModelRequest(parts=[UserPromptPart(text)]))
        history.append(ModelResponse(parts=[TextPart(text + "!")]))
        plain = to_jsonable_python(history)
        if form == "older":
            plain = _as_older(plain)
        file.parent.mkdir(parents=True, exist_ok=True)
        with file.open("w") as opened:
            json.dump(plain, opened, indent=2)
        print(before, flush=True)


def watch_view(path: str) -> None:
    """Read a view again and again, and tell what was wrong with it."""
    import threading

    file = Path(path)
    stop = threading.Event()
    problems: list[str] = []
    lengths: list[int] = []

    def loop() -> None:
        while not stop.is_set():
            try:
                data = file.read_bytes()
            except FileNotFoundError:
                problems.append("missing")
                continue
            try:
                lengths.append(len(json.loads(data)))
            except ValueError as error:
                problems.append(f"{error} in {data[:100]!r} ({len(data)} bytes)")

    sys.stdin.readline()
    thread = threading.Thread(target=loop)
    thread.start()
    print("started", flush=True)
    sys.stdin.readline()
    stop.set()
    thread.join()
    if lengths != sorted(lengths):
        problems.append("it went back")
    result = {"problems": problems[:5], "reads": len(lengths), "versions": len(set(lengths))}
    print(json.dumps(result), flush=True)


# Writers that are killed


def write_turns(
    acks: Any, root: str, sessions: dict[str, int], start: int, many: int, batch: bool
) -> None:
    """Save numbered turns to sessions as fast as it goes, and send each that was acknowledged.

    `sessions` are ids with the bytes of an answer. Turns count from `start`.
    """
    import asyncio

    from mythline import open_store

    async def main() -> None:
        async with open_store(root) as store:
            mine = store.sessions("agent")
            for name in sessions:
                if not await mine.exists(name):
                    await mine.create(name)

            async def one(name: str, size: int, number: int) -> None:
                from tests.local.support import turn

                messages = turn(f"{name} {number}", "x" * size)
                if number % 3:
                    await mine.append(name, messages)
                else:
                    conversation = await mine.load(name)
                    assert conversation is not None
                    conversation.messages += messages
                    await mine.save(conversation)
                acks.send((name, number))

            for number in range(start, start + many):
                if batch:
                    await asyncio.gather(
                        *(one(name, size, number) for name, size in sessions.items())
                    )
                else:
                    for name, size in sessions.items():
                        await one(name, size, number)

    asyncio.run(main())
    acks.send(None)


def open_stores(acks: Any, folder: str, many: int) -> None:
    """Make stores, one after the other, and send the name of each that was."""
    import asyncio

    from mythline import open_store

    async def make(name: str) -> None:
        async with open_store(Path(folder) / name) as store:
            await store.sessions("agent").create("one")

    for number in range(many):
        asyncio.run(make(str(number)))
        acks.send(str(number))


def die_at(acks: Any, root: str, point: str, when: str, nth: int, scenario: str) -> None:
    """Save turns to the session `one`, and die at a point of the view's publication.

    Args:
        acks: What was acknowledged is sent here.
        root: The store.
        point: A name in `mythline.local.views` or in `os`, called by the store's threads.
        when: `before` or `after` that call.
        nth: Which call, from 1.
        scenario: `first` for a view that isn't there yet, else one that is changed.
    """
    import asyncio
    import os
    import threading

    from mythline import open_store
    from mythline.local import views
    from tests.local.support import turn

    module: Any = os if point.startswith("os.") else views
    name = point.removeprefix("os.")
    original = getattr(module, name)
    armed = threading.Event()
    calls = 0

    def dying(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        counts = armed.is_set() and threading.current_thread().name in (
            "mythline-views",
            "mythline-write",
        )
        if counts:
            calls += 1
            if calls == nth and when == "before":
                os._exit(9)
        found = original(*arguments, **named)
        if counts and calls == nth and when == "after":
            os._exit(9)
        return found

    async def main() -> None:
        async with open_store(root) as store:
            mine = store.sessions("agent")
            setattr(module, name, dying)
            if scenario == "first":
                armed.set()
                await mine.create("one")
                acks.send("created")
                await mine.append("one", turn("first"))
                acks.send("first")
            else:
                await mine.create("one")
                await mine.append("one", turn("first"))
                await store.settle(mine._key("one"))
                acks.send("first")
                armed.set()
            await mine.append("one", turn("second"))
            acks.send("second")
            await store.settle(mine._key("one"))
            acks.send("settled")
            if scenario == "delete":
                await mine.delete("one")
                acks.send("deleted")

    asyncio.run(main())
    acks.send("end")


# Many at once


def mixed_work(result: Any, root: str, name: str, rounds: int, seed: int, own_views: bool) -> None:
    """Save, append, create, delete, list and fork, on shared sessions and on own ones.

    Sends the turns that were acknowledged, by session, and every error that isn't a conflict.
    """
    import asyncio
    import random

    from pydantic_ai.conversation_store import ConversationConflict

    from mythline import open_store
    from mythline.errors import SessionNotFound
    from tests.local.support import said, turn

    chance = random.Random(seed)
    acked: dict[str, list[str]] = {}
    problems: list[str] = []

    async def save(sessions: Any, session: str, text: str) -> None:
        while True:
            conversation = await sessions.load(session)
            conversation.messages += turn(text)
            try:
                await sessions.save(conversation)
            except ConversationConflict:
                continue
            return

    async def one(sessions: Any, task: int, number: int) -> None:
        text = f"{name}.{task} {number}"
        session = chance.choice(["shared0", "shared1", f"own-{name}"])
        kind = chance.randrange(8)
        if kind < 3:
            await save(sessions, session, text)
        else:
            await sessions.append(session, turn(text))
        acked.setdefault(session, []).append(text)
        if kind == 4:
            page = await sessions.list(limit=1000)
            missing = {"shared0", "shared1", f"own-{name}"} - {i.session_id for i in page}
            if missing:
                problems.append(f"not listed: {missing}")
        elif kind == 5:
            passing = f"passing-{name}-{task}-{number}"
            await sessions.create(passing)
            await sessions.append(passing, turn("x"))
            await sessions.delete(passing)
            if await sessions.exists(passing):
                problems.append("it exists after its deletion")
        elif kind == 6:
            fork = await sessions.fork(session)
            history = said(fork.messages)
            await sessions.append(fork.conversation_id, turn("fork"))
            if said(await sessions.history(fork.conversation_id)) != [*history, "fork", "fork!"]:
                problems.append("a fork differs")
            await sessions.purge(fork.conversation_id)
        elif kind == 7:
            try:
                other = await sessions.transcript("shared0", limit=5)
                if session == "shared0" and not other:
                    problems.append("an empty transcript")
            except SessionNotFound:
                problems.append("not found")

    async def task_of(sessions: Any, task: int) -> None:
        for number in range(rounds):
            try:
                await one(sessions, task, number)
            except Exception as error:  # everything that a caller would see
                problems.append(f"{type(error).__name__}: {error} / {error.__cause__!r}")

    async def main() -> None:
        async with open_store(root, views=own_views) as store:
            sessions = store.sessions("agent")
            await sessions.create(f"own-{name}")
            await asyncio.gather(*(task_of(sessions, task) for task in range(3)))

    try:
        asyncio.run(main())
    except Exception as error:
        problems.append(f"all of it: {type(error).__name__}: {error}")
    result.send((acked, problems))


def open_together(result: Any, barrier: Any, folder: str, rounds: int, name: str) -> None:
    """Open fresh folders in the same moment as other processes, and make a session in each."""
    import asyncio

    from mythline import open_store

    async def main(number: int) -> None:
        store = open_store(Path(folder) / str(number))
        barrier.wait(60)
        async with store:
            sessions = store.sessions("agent")
            await sessions.create(name)
            found = await sessions.list()
            if name not in {info.session_id for info in found}:
                raise AssertionError("not listed")

    problems: list[str] = []
    for number in range(rounds):
        try:
            asyncio.run(main(number))
        except Exception as error:
            problems.append(f"{number}: {type(error).__name__}: {error} / {error.__cause__!r}")
    result.send(problems)


def fork_with_open_store(root: str) -> None:
    """Fork with an open store; prints what each method gives the child, then how it went on."""
    import asyncio
    import os
    import signal

    from mythline import open_store
    from tests.local.support import turn

    async def in_child(store: Any, sessions: Any) -> dict[str, str]:
        found: dict[str, str] = {}
        for name, make in {
            "exists": lambda: sessions.exists("one"),
            "info": lambda: sessions.info("one"),
            "list": lambda: sessions.list(),
            "list of another": lambda: store.sessions("other").list(),
            "agents": lambda: store.agents(None),
            "append": lambda: sessions.append("one", turn("child")),
            "create": lambda: sessions.create("child"),
            "load": lambda: sessions.load("one"),
            "delete": lambda: sessions.delete("one"),
            "delete_all": lambda: sessions.delete_all(),
            "delete_all of another": lambda: store.sessions("another").delete_all(),
            "close": lambda: store.close(),
            "list after": lambda: sessions.list(),
        }.items():
            try:
                await asyncio.wait_for(make(), 20)
                found[name] = "nothing"
            except TimeoutError:
                found[name] = "hangs"
            except BaseException as error:
                found[name] = type(error).__name__
        return found

    async def main() -> None:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await sessions.append("one", turn("before"))
            await sessions.list()
            reading, writing = os.pipe()
            inside: Any = store
            locks = inside._opening, inside._database._opening, inside._database._accepting
            for lock in locks:  # as another thread may have them, which the child then lacks
                lock.acquire()
            child = os.fork()
            if not child:
                signal.alarm(50)
                os.close(reading)
                loop = asyncio.new_event_loop()
                asyncio.events._set_running_loop(None)
                found = loop.run_until_complete(in_child(store, sessions))
                os.write(writing, json.dumps(found).encode())
                os._exit(0)
            for lock in locks:
                lock.release()
            os.close(writing)

            def wait() -> tuple[bytes, int]:
                with os.fdopen(reading, "rb") as pipe:
                    data = pipe.read()
                return data, os.waitpid(child, 0)[1]

            data, status = await asyncio.to_thread(wait)
            for number in range(5):
                await sessions.append("one", turn(f"after {number}"))
            count = (await sessions.info("one")).message_count
        print(json.dumps({"child": json.loads(data or b"{}"), "status": status, "count": count}))

    asyncio.run(main())


def killed_beside_a_child(root: str) -> None:
    """Hold a session, and fork inside of a save that doesn't end; the child waits for a line."""
    import asyncio
    import os
    import signal

    from mythline import open_store
    from mythline.local import rows
    from mythline.store import SessionKey
    from tests.local.support import turn

    def grow(*_arguments: Any, **_named: Any) -> Any:
        if not os.fork():
            print("forked", flush=True)
            os.read(0, 1)
            os._exit(0)
        signal.pause()

    async def main() -> None:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await store.hold(SessionKey(None, "agent", "one"))
            rows.grow = grow
            await sessions.append("one", turn("lost"))

    asyncio.run(main())


def fork_while_writing(root: str) -> None:
    """Fork inside of a save; prints whether the save still has the store to itself afterwards."""
    import asyncio
    import fcntl
    import os

    from mythline import open_store
    from mythline.local import rows
    from tests.local.support import turn

    original = rows.grow
    free: list[bool] = []

    def move(*arguments: Any, **named: Any) -> Any:
        child = os.fork()
        if not child:
            loop = asyncio.new_event_loop()
            asyncio.events._set_running_loop(None)
            try:
                loop.run_until_complete(asyncio.wait_for(store.close(), 20))
            finally:
                os._exit(0)
        os.waitpid(child, 0)
        descriptor = os.open(root, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            free.append(True)
        except BlockingIOError:
            free.append(False)
        finally:
            os.close(descriptor)
        return original(*arguments, **named)

    store = open_store(root)

    async def main() -> None:
        async with store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            rows.grow = move
            await sessions.append("one", turn("x"))
            rows.grow = original
        print(json.dumps(free))

    asyncio.run(main())


# Limits


def save_with_a_limit(root: str, limit: int) -> None:
    """Save turns until files may not grow; prints what happened."""
    import asyncio
    import resource
    import signal

    from mythline import open_store
    from tests.local.support import said, turn

    async def main() -> dict[str, Any]:
        acked: list[str] = []
        found: dict[str, Any] = {"acked": acked}
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, resource.RLIM_INFINITY))
            for number in range(10_000):
                try:
                    await sessions.append("one", turn(f"{number}", "x" * 5000))
                except Exception as error:
                    found["error"], found["text"] = type(error).__name__, str(error)
                    break
                acked.append(f"{number}")
            try:
                await sessions.append("one", turn("again", "x" * 500_000))
                found["again"] = "nothing"
            except Exception as error:
                found["again"] = type(error).__name__
            found["read"] = said(await sessions.history("one"))[::2]
            resource.setrlimit(
                resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )
        return found

    print(json.dumps(asyncio.run(main())))


def use_without_descriptors(root: str) -> None:
    """Use a store while the process may open nothing more; prints errors that aren't typed."""
    import asyncio
    import os
    import resource

    from mythline import open_store
    from mythline.errors import MythlineError
    from tests.local.support import dump, turn, turns, view

    async def main() -> dict[str, Any]:
        wrong: list[str] = []
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await sessions.create("one")
            await sessions.append("one", turn("hello"))
            await store.settle(sessions._key("one"))
            await sessions.list()
            dump(view(Path(root), "agent", "one"), turns(2))
            dump(view(Path(root), "agent", "two"), turns(2))
            soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
            used = os.open("/dev/null", os.O_RDONLY)
            os.close(used)
            resource.setrlimit(resource.RLIMIT_NOFILE, (used, hard))
            for make in (
                lambda: sessions.info("one"),
                lambda: sessions.history("one"),
                lambda: sessions.exists("two"),
                lambda: sessions.append("one", turn("more")),
                lambda: sessions.create("three"),
                lambda: sessions.delete("one"),
                lambda: sessions.list(),
                lambda: store.agents(None),
            ):
                try:
                    await asyncio.wait_for(make(), 30)
                except MythlineError as error:
                    if str(root) in str(error):
                        wrong.append(str(error))
                except Exception as error:
                    wrong.append(f"{type(error).__name__}: {error}")
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            after = (await sessions.info("two")).message_count
        return {"wrong": wrong, "after": after}

    print(json.dumps(asyncio.run(main())))


def save_some(root: str) -> None:
    """Save ten turns, one after the other; prints which were acknowledged and which failed."""
    import asyncio

    from mythline import open_store
    from mythline.errors import SessionExists
    from tests.local.support import said, turn

    async def main() -> dict[str, Any]:
        acked: list[str] = []
        failed: dict[str, str] = {}
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            while True:
                try:
                    await sessions.create("one")
                except SessionExists:
                    break
                except Exception as error:
                    failed["create"] = type(error).__name__
                    continue
                break
            for number in range(10 - len(failed)):
                try:
                    await sessions.append("one", turn(f"{number}"))
                except Exception as error:
                    failed[f"{number}"] = type(error).__name__
                    continue
                acked.append(f"{number}")
            read = said(await sessions.history("one"))[::2]
        return {"acked": acked, "failed": failed, "read": read}

    print(json.dumps(asyncio.run(main())))


def open_and_close(result: Any, root: str, rounds: int, name: str) -> None:
    """Open a store, save a turn, read, and close it again, over and over."""
    import asyncio

    from mythline import open_store
    from tests.local.support import said, turn

    async def main(number: int) -> None:
        async with open_store(root) as store:
            sessions = store.sessions("agent")
            await asyncio.gather(
                sessions.append("one", turn(f"{name} {number}")),
                sessions.list(),
                sessions.info("one"),
            )
            if f"{name} {number}" not in said(await sessions.history("one")):
                raise AssertionError("not there")

    problems: list[str] = []
    for number in range(rounds):
        try:
            asyncio.run(main(number))
        except Exception as error:
            problems.append(f"{number}: {type(error).__name__}: {error} / {error.__cause__!r}")
    result.send(problems)


def say_and_search(acks: Any, root: str, start: int) -> None:
    """Say numbered words in two sessions and a fork of one, searching in between."""
    import asyncio

    from mythline import open_store
    from mythline.local import indexing

    indexing.PAUSE = 0.001

    async def main() -> None:
        from tests.local.support import turn

        async with open_store(root) as store:
            mine = store.sessions("agent")
            for name in ("one", "two"):
                if not await mine.exists(name):
                    await mine.create(name)
            for number in range(start, start + 10_000):
                await mine.append("one" if number % 2 else "two", turn(f"word{number}", "dragon"))
                acks.send(number)
                if number % 7 == 0:
                    await mine.fork("one")
                if number % 5 == 0:
                    await mine.search("dragon")

    asyncio.run(main())
