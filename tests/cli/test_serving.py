"""`mythline serve`."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from mythline.cli import serving

from .support import invoke, process


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "::", "example.com"])
def test_serve_refuses_other_addresses_than_loopback(host: str, tmp_path: Path):
    ran = process("serve", "--host", host, "--store", tmp_path)
    assert ran.code == 2
    assert "--insecure" in ran.err
    assert list(tmp_path.iterdir()) == []


def test_serve_refuses_settings_that_cant_be(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MYTHLINE_PRUNE_OLDER_THAN", "soon")
    ran = invoke("serve", "--store", tmp_path)
    assert ran.code == 2
    assert "MYTHLINE_PRUNE_OLDER_THAN" in ran.err
    assert "30d" in ran.err
    assert "Traceback" not in ran.err
    assert list(tmp_path.iterdir()) == []


AGENTS = """
from pydantic_ai import Agent

teller = Agent("test", name="teller")
nameless = Agent("test")
number = 3
"""


@pytest.mark.parametrize(
    ("specs", "says"),
    [
        (["my_agents"], "module:agent"),
        (["nowhere:teller"], "no module 'nowhere'"),
        (["my_agents.deeper:teller"], "no module 'my_agents.deeper'"),
        ([".my_agents:teller"], "can't be a module's name"),
        (["my_agents:nobody"], "no 'nobody'"),
        (["my_agents:number"], "Not an agent"),
        (["my_agents:nameless"], "has no name"),
        (["a/b=my_agents:teller"], "Not an agent id"),
        (["my_agents:teller", "teller=my_agents:nameless"], "another agent has this id"),
    ],
)
def test_serve_tells_what_is_no_agent(
    specs: list[str], says: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "my_agents.py").write_text(AGENTS)
    # What the command changes in its process, which is this one here, is undone.
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.setenv("MYTHLINE_AGENTS", "")
    options = [word for spec in specs for word in ("--agent", spec)]
    try:
        ran = invoke("serve", "--store", "store", *options)
    finally:
        sys.modules.pop("my_agents", None)
    assert ran.code == 2
    assert says in ran.err
    assert "Traceback" not in ran.err
    assert not (tmp_path / "store").exists()


def test_what_a_module_raises_is_shown_as_it_is(tmp_path: Path):
    (tmp_path / "my_agents.py").write_text("import not_installed")
    ran = process("serve", "--agent", "my_agents:teller", cwd=tmp_path)
    assert ran.code == 1
    assert "No module named 'not_installed'" in ran.err


def test_a_server_that_is_stopped_as_soon_as_it_starts_stops(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        port = str(found.getsockname()[1])
    running = subprocess.Popen(
        [sys.executable, "-m", "mythline", "serve", "--store", "store", "--port", port],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert running.stdout is not None
    try:
        for line in running.stdout:
            if "Spawning worker" in line:
                break
        running.send_signal(signal.SIGTERM)
        rest, _ = running.communicate(timeout=30)
    except subprocess.TimeoutExpired:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert running.returncode == 0
    assert "Traceback" not in rest


def test_a_port_that_is_in_use_is_told_in_a_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Also where its owner would share it, as another server does (`SO_REUSEPORT`)."""
    monkeypatch.setattr(serving, "_PATIENCE", 0.1)
    with socket.socket() as other:
        other.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        ran = invoke("serve", "--store", tmp_path / "store", "--port", port)
    assert ran.code == 1
    assert ran.out == ""
    assert ran.err.count("\n") == 1
    assert f"Port {port} of 127.0.0.1 is in use" in ran.err
    assert not (tmp_path / "store").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="Only Linux can do it.")
def test_nothing_of_a_server_that_is_killed_is_left(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = found.getsockname()
    running = subprocess.Popen(
        [sys.executable, "-m", "mythline", "serve", "--port", str(address[1])],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    patience = time.monotonic() + 30
    try:
        _wait_for(running, address)
        running.kill()
        running.wait()
        while _is_listening(address):
            assert time.monotonic() < patience
            time.sleep(0.05)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(running.pid, signal.SIGKILL)
        running.wait()


def test_a_client_that_sends_no_more_does_not_keep_a_server_from_stopping(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as found:
        address = found.getsockname()
    code = "from mythline.cli import serving, main; serving._STOPPING = 1; main()"
    running = subprocess.Popen(
        [sys.executable, "-c", code, "serve", "--store", "store", "--port", str(address[1])],
        cwd=tmp_path,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        _wait_for(running, address)
        with socket.create_connection(address) as client:
            client.sendall(b"POST /api/agents/a/sessions/create HTTP/1.1\r\n")
            client.sendall(b"Host: localhost\r\nContent-Length: 9\r\n\r\n{")
            running.send_signal(signal.SIGTERM)
            _, told = running.communicate(timeout=30)
    except BaseException:
        os.killpg(running.pid, signal.SIGKILL)
        raise
    assert running.returncode == 0
    assert "Traceback" not in told


def test_a_signal_at_any_moment_of_the_wait_wakes_it_up():
    """A `threading.Event` is locked in some of them, and would wait for itself for ever."""
    wakeup = serving.Wakeup()
    before = signal.signal(signal.SIGALRM, lambda _number, _frame: wakeup.set())
    try:
        moment = passed = 1
        while passed >= moment:  # until there is no such moment any more
            moment, passed = moment + 1, 0

            def signal_at(frame: FrameType, _event: str, _arg: object, moment: int = moment) -> Any:
                nonlocal passed
                frame.f_trace_opcodes = True
                passed += 1
                if passed == moment:
                    signal.raise_signal(signal.SIGALRM)
                return signal_at

            wakeup.set()
            traced, _ = sys.gettrace(), sys.settrace(signal_at)
            try:
                wakeup.wait()
                wakeup.clear()
            finally:
                sys.settrace(traced)
        assert moment > 20  # bytecodes
    finally:
        signal.signal(signal.SIGALRM, before)


def _wait_for(running: subprocess.Popen[Any], address: tuple[str, int]) -> None:
    """Wait until the server takes connections."""
    patience = time.monotonic() + 30
    while not _is_listening(address):
        assert running.poll() is None
        assert time.monotonic() < patience
        time.sleep(0.05)


def _is_listening(address: tuple[str, int]) -> bool:
    with socket.socket() as client:
        return client.connect_ex(address) == 0
