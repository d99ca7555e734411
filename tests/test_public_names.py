"""What users import: a name that goes missing, or appears by accident, fails here."""

import subprocess
import sys

import mythline
from mythline import errors


def test_the_package_exports_exactly_these():
    assert sorted(mythline.__all__) == [
        "AgentSessions",
        "MythlineError",
        "SessionDetails",
        "SessionExists",
        "SessionInfo",
        "SessionMemory",
        "SessionNotFound",
        "SessionPage",
        "SessionSearch",
        "Store",
        "StoreError",
        "Transcript",
        "TranscriptItem",
        "UnreadableMessages",
        "create_app",
        "open_store",
        "session_router",
    ]
    assert dir(mythline) == sorted(mythline.__all__)
    for name in mythline.__all__:
        assert getattr(mythline, name).__name__ == name


def test_every_error_is_one_tree_with_a_status_and_an_exit_code():
    tree = [
        cls
        for cls in vars(errors).values()
        if isinstance(cls, type) and issubclass(cls, errors.MythlineError)
    ]
    drawn = errors.__doc__ or ""
    assert {cls.__name__ for cls in tree if cls.__name__ not in drawn} == set()
    assert len(tree) == 20
    for cls in tree:
        status = next(errors.STATUS[base] for base in cls.__mro__ if base in errors.STATUS)
        assert 400 <= status < 600


def test_a_store_opens_without_importing_pydantic_ai():
    """It takes half a second, which a list should not."""
    code = (
        "import asyncio, sys, mythline\n"
        "from mythline.operations import Listing\n"
        "async def main(path):\n"
        "    async with mythline.open_store(path) as store:\n"
        "        await store.list(None, 'agent', Listing(limit=10))\n"
        "asyncio.run(main(sys.argv[1]))\n"
        "print([name for name in ('pydantic_ai', 'fastapi') if name in sys.modules])\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code, "/dev/null/none"], capture_output=True, text=True, check=False
    )
    assert "StoreUnavailable" in run.stderr
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run(
            [sys.executable, "-c", code, folder], capture_output=True, text=True, check=True
        )
    assert run.stdout.strip() == "[]"
