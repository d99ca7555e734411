"""The sync functions, as file-based code uses them."""

import asyncio
import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic_ai import Agent
from pydantic_ai.messages import (
    ModelMessage,
    ModelMessagesTypeAdapter,
    ModelRequest,
    ModelResponse,
    TextPart,
    UserPromptPart,
)
from pydantic_ai.models.test import TestModel
from pydantic_core import to_jsonable_python

from mythline import context_memory
from mythline.context_memory import get_latest_session, load_context, save_context
from mythline.errors import InvalidId, StoreClosed


def turn(text: str) -> list[ModelMessage]:
    return [
        ModelRequest(parts=[UserPromptPart(text)]),
        ModelResponse(parts=[TextPart(f"about {text}")]),
    ]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MYTHLINE_STORE", raising=False)
    yield tmp_path / ".mythline"
    context_memory.close()


def view(folder: Path, agent: str, session: str) -> Path:
    return folder / agent / "context_memory" / f"{session}.json"


def test_nothing_is_there_and_asking_makes_nothing(folder: Path):
    assert load_context("agent", "none") == []
    assert get_latest_session("agent") is None
    assert not (folder / "agent").exists()


def test_what_was_saved_is_loaded_and_shown_at_once(folder: Path):
    history = turn("one")
    save_context("agent", "first", history)
    assert load_context("agent", "first") == history
    shown = ModelMessagesTypeAdapter.validate_json(view(folder, "agent", "first").read_bytes())
    assert shown == history
    save_context("agent", "second", turn("two"))
    assert get_latest_session("agent") == "second"
    save_context("agent", "first", history + turn("three"))
    assert get_latest_session("agent") == "first"


@pytest.fixture
def _loop_for_run_sync() -> Iterator[None]:
    """`run_sync` makes a loop where there is none, and leaves it open."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    asyncio.set_event_loop(None)
    loop.close()


@pytest.mark.usefixtures("_loop_for_run_sync")
def test_an_agent_goes_on_where_it_was():
    agent = Agent(TestModel(custom_output_text="yes"))
    for count in (2, 4, 6):
        result = agent.run_sync("again", message_history=load_context("agent", "chat"))
        save_context("agent", "chat", result.all_messages())
        assert len(load_context("agent", "chat")) == count


def test_a_rewritten_history_becomes_the_current_one():
    history = turn("one") + turn("two")
    save_context("agent", "chat", history)
    edited = history[:2] + turn("another")
    save_context("agent", "chat", edited)
    assert load_context("agent", "chat") == edited
    save_context("agent", "chat", history[:1])
    assert load_context("agent", "chat") == history[:1]
    save_context("agent", "chat", [])
    assert load_context("agent", "chat") == []


@pytest.mark.parametrize("metadata", [{"rating": "up"}, None])
def test_what_is_said_beside_the_parts_is_saved(metadata: dict[str, str] | None):
    first, second = turn("one")
    save_context("agent", "chat", [first, replace(second, metadata={"rating": "down"})])
    edited = [first, replace(second, metadata=metadata)]
    save_context("agent", "chat", edited)
    assert load_context("agent", "chat") == edited


def test_saving_the_same_again_changes_nothing(folder: Path):
    history = turn("one")
    save_context("agent", "chat", history)
    before = view(folder, "agent", "chat").stat()
    save_context("agent", "chat", load_context("agent", "chat"))
    after = view(folder, "agent", "chat").stat()
    assert (before.st_mtime_ns, before.st_ino) == (after.st_mtime_ns, after.st_ino)


def test_files_of_other_programs_and_ours_in_turn(folder: Path):
    path = view(folder, "agent", "chat")
    path.parent.mkdir(parents=True)
    history: list[ModelMessage] = []
    for number in range(6):
        history += turn(str(number))
        if number % 2:
            save_context("agent", "chat", load_context("agent", "chat") + history[-2:])
        else:
            loaded = json.loads(path.read_text()) if path.exists() else []
            loaded += to_jsonable_python(history[-2:])
            with path.open("w") as file:
                json.dump(loaded, file, indent=2)
        assert load_context("agent", "chat") == history
    assert ModelMessagesTypeAdapter.validate_json(path.read_bytes()) == history


def test_the_store_is_named_by_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    save_context("agent", "chat", turn("here"))
    monkeypatch.setenv("MYTHLINE_STORE", str(tmp_path / "elsewhere"))
    assert load_context("agent", "chat") == []
    save_context("agent", "chat", turn("there"))
    assert view(tmp_path / "elsewhere", "agent", "chat").exists()
    monkeypatch.delenv("MYTHLINE_STORE")
    assert load_context("agent", "chat")[0].parts[0].content == "here"  # type: ignore[union-attr]


def test_many_threads_save_sessions_of_their_own():
    def work(number: int) -> None:
        history: list[ModelMessage] = []
        for step in range(10):
            history = load_context("agent", f"chat{number}") + turn(f"{number}.{step}")
            save_context("agent", f"chat{number}", history)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for number in range(6):
        prompts = [message.parts[0].content for message in load_context("agent", f"chat{number}")]  # type: ignore[union-attr]
        assert prompts[::2] == [f"{number}.{step}" for step in range(10)]


def test_a_close_leaves_no_thread_that_calls_waiting():
    """Whoever is in a call then has its answer, or is told that the store is closed."""
    save_context("agent", "chat", turn("here"))
    given: list[object] = []
    stop = threading.Event()

    def work() -> None:
        while not stop.is_set():
            try:
                given.append(len(load_context("agent", "chat")))
            except StoreClosed:
                given.append(StoreClosed)

    threads = [threading.Thread(target=work, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(30):
        before = len(given)
        until = time.monotonic() + 60
        while len(given) < before + 4:
            assert time.monotonic() < until, "a call hangs"
            time.sleep(0.001)
        context_memory.close()
    stop.set()
    for thread in threads:
        thread.join(60)
        assert not thread.is_alive(), "a call hangs"
    assert set(given) <= {2, StoreClosed}
    assert 2 in given


def test_a_process_that_was_forked_off_has_stores_of_its_own():
    """Also where another thread was just about to open or close one."""
    save_context("agent", "chat", turn("here"))
    code = (
        "import os, signal, threading\n"
        "from mythline import context_memory as memory\n"
        "assert len(memory.load_context('agent', 'chat')) == 2\n"
        "memory._lock.acquire()\n"
        "child = os.fork()\n"
        "if not child:\n"
        "    signal.alarm(60)\n"
        "    found = memory.load_context('agent', 'chat')\n"
        "    memory.save_context('agent', 'chat', [*found, *found])\n"
        "    memory.close()\n"
        "    os._exit(len(found))\n"
        "memory._lock.release()\n"
        "assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 2\n"
        "assert len(memory.load_context('agent', 'chat')) == 4\n"
        "memory.close()\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize("bad", ["../up", "a/b", "", ".hidden", "x" * 129, "latest", "ä", "a\0b"])
def test_bad_ids_are_refused_by_every_function(bad: str, folder: Path):
    with pytest.raises(InvalidId):
        load_context("agent", bad)
    with pytest.raises(InvalidId):
        save_context("agent", bad, turn("x"))
    if bad != "latest":
        with pytest.raises(InvalidId):
            get_latest_session(bad)
        with pytest.raises(InvalidId):
            save_context(bad, "chat", turn("x"))
    assert not folder.exists() or [p.name for p in folder.iterdir() if p.is_dir()] == []
