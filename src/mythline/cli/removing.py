"""`mythline delete`, `restore`, `purge` and `prune`."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ..ages import parse_age
from ..errors import InvalidInput, MythlineError, SessionNotFound
from .asking import confirm, progress
from .options import DeletedArgument, SessionsArgument, YesOption
from .output import note, number, plain, print_json, print_line, print_table, size, when
from .place import LATEST, Place, Refused
from .texts import parse_size
from .verbs import verb

if TYPE_CHECKING:
    from ..models import Pruned, SessionInfo

TOGETHER = 64
"""Sessions that are deleted at once; they share the syncs of their store."""
NAMED = 3
"""Sessions that a question names."""

PermanentOption = Annotated[bool, typer.Option("--permanent", help="For good, not to the trash.")]


@verb()
async def delete(
    place: Place,
    sessions: SessionsArgument = None,
    everything: Annotated[bool, typer.Option("--all", help="All sessions of one agent.")] = False,
    permanent: PermanentOption = False,
    yes: YesOption = False,
) -> None:
    """Delete sessions: to the trash, from where `mythline restore` brings them back.

    Asks first. Each is done by itself: where one can't be deleted, the others are.

    Example: mythline delete session_2026 old-one --yes
    """
    _check_chosen(sessions, everything)
    for_good = permanent or place.store.trash_days == 0
    how = "Delete {} for good?" if for_good else "Move {} to the trash?"
    if everything:
        await _delete_all(place, how, permanent=permanent, yes=yes)
        return

    async def one(found: SessionInfo) -> str:
        if not await place.store.delete(place.key(found), permanent=permanent):
            raise SessionNotFound(found.session_id)
        return "purged" if for_good else "deleted"

    find = _unmistakable(place.find) if for_good and yes else place.find
    results = await _each(place, sessions or [], find, one, "Deleting", how, yes=yes)
    _report(place, results)


async def _delete_all(place: Place, how: str, *, permanent: bool, yes: bool) -> None:
    agent_id = await place.one_agent()
    counts = {info.agent_id: info.session_count for info in await place.store.agents(place.owner)}
    what = f"all {number(counts.get(agent_id, 0), 'session')} of {agent_id}"
    confirm(how.format(what), yes=yes)
    count = await place.store.delete_all(place.owner, agent_id, permanent=permanent)
    if place.as_json:
        print_json({"agent_id": agent_id, "deleted": count})
    else:
        print_line(f"{number(count, 'session')} deleted.")


@verb()
async def restore(
    place: Place,
    sessions: DeletedArgument = None,
    session_id: Annotated[
        str | None,
        typer.Option(metavar="ID", help="The id from now on, where its own is taken again."),
    ] = None,
) -> None:
    """Take deleted sessions out of the trash, with all that they had.

    Example: mythline restore session_20261123
    """
    if not sessions:
        raise InvalidInput("Name the sessions to restore. `mythline list --trash` shows them.")
    if session_id is not None and len(sessions) > 1:
        raise InvalidInput("--session-id is for one session.")

    async def one(found: SessionInfo) -> str:
        details = await place.store.restore(place.key(found), session_id=session_id)
        return f"restored as {session_id}" if details.session_id != found.session_id else "restored"

    if session_id is not None:
        from ..ids import check_session_id

        check_session_id(session_id)
    _report(place, await _each(place, sessions, place.find_deleted, one, "Restoring"))


@verb()
async def purge(
    place: Place,
    sessions: DeletedArgument = None,
    everything: Annotated[
        bool, typer.Option("--all", help="Empty the trash of one agent.")
    ] = False,
    yes: YesOption = False,
) -> None:
    """Remove deleted sessions from the trash, for good.

    `mythline delete --permanent` is for sessions that aren't in the trash. Asks first.

    Example: mythline purge --all --agent story_researcher --yes
    """
    _check_chosen(sessions, everything)
    how = "Remove {} from the trash for good?"
    if everything:
        agent_id = await place.one_agent()
        confirm(how.format(f"all deleted sessions of {agent_id}"), yes=yes)
        count = await place.store.empty_trash(place.owner, agent_id)
        if place.as_json:
            print_json({"agent_id": agent_id, "purged": count})
        else:
            print_line(f"{number(count, 'session')} purged.")
        return

    async def one(found: SessionInfo) -> str:
        if await place.store.get(place.key(found)) is not None:
            raise Refused(
                f"There is a session {found.session_id!r} besides the deleted one. Restore that "
                "under another id, then delete it with --permanent."
            )
        await place.store.delete(place.key(found), permanent=True)
        return "purged"

    find = _unmistakable(place.find_deleted) if yes else place.find_deleted
    results = await _each(place, sessions or [], find, one, "Purging", how, yes=yes)
    _report(place, results)


def _check_chosen(sessions: Sequence[str] | None, everything: bool) -> None:
    if bool(sessions) == everything:
        raise InvalidInput("Name sessions, or say --all; one of the two.")


Find = Callable[[str], Awaitable["SessionInfo"]]


def _unmistakable(find: Find) -> Find:
    """Only whole ids, where nobody is asked and nothing comes back.

    The same command again would take another session, if one is left that begins so.
    """

    async def whole(text: str) -> SessionInfo:
        info = await find(text)
        if text not in (info.session_id, LATEST):
            raise Refused(
                f"{text!r} is the start of {info.session_id!r}. With --yes, what goes for good "
                "is named by its whole id."
            )
        return info

    return whole


async def _each(
    place: Place,
    texts: Sequence[str],
    find: Find,
    do: Callable[[SessionInfo], Awaitable[str]],
    doing: str,
    question: str | None = None,
    *,
    yes: bool = False,
) -> list[dict[str, Any]]:
    """Find sessions, ask about all if there is a question, and do it.

    What became of each, in the order in which they were named.
    """
    results: dict[tuple[str | None, str], dict[str, Any]] = {}
    chosen: list[SessionInfo] = []
    for text in texts:
        try:
            info = await find(text)
        except MythlineError as error:
            results[None, text] = _failed(text, place.agent, error)
        else:
            if (info.agent_id, info.session_id) not in results:
                chosen.append(info)
                results[info.agent_id, info.session_id] = {}  # for its place among them
    if chosen and question is not None:
        confirm(question.format(_named(chosen)), yes=yes)
    with progress(doing, len(chosen)) as advance:
        for start in range(0, len(chosen), TOGETHER):
            some = chosen[start : start + TOGETHER]
            answers = await asyncio.gather(*map(do, some), return_exceptions=True)
            for info, answer in zip(some, answers, strict=True):
                key = info.agent_id, info.session_id
                if isinstance(answer, MythlineError):
                    results[key] = _failed(info.session_id, info.agent_id, answer)
                elif isinstance(answer, BaseException):
                    raise answer
                else:
                    results[key] = {
                        "session_id": info.session_id,
                        "agent_id": info.agent_id,
                        "status": answer,
                        "detail": None,
                    }
            advance(len(some))
    return list(results.values())


def _failed(session_id: str, agent_id: str | None, error: MythlineError) -> dict[str, Any]:
    return {
        "session_id": session_id,
        "agent_id": agent_id,
        "status": "failed",
        "detail": str(error),
    }


def _named(chosen: Sequence[SessionInfo]) -> str:
    """The sessions of a question, so that a wrong one is noticed."""
    names = [f"{info.session_id} ({plain(info.title or 'no title')})" for info in chosen[:NAMED]]
    more = [f"{len(chosen) - NAMED} more"] if len(chosen) > NAMED else []
    return f"{number(len(chosen), 'session')}, {', '.join([*names, *more])},"


def _report(place: Place, results: Sequence[dict[str, Any]]) -> None:
    """Print what became of each session; exit with 1 if one of them failed."""
    failed = [result for result in results if result["status"] == "failed"]
    if place.as_json:
        print_json(results)
    else:
        for result in results:
            if result["status"] != "failed":
                print_line(f"{result['session_id']}: {result['status']}")
        for result in failed:
            note(f"mythline: {result['detail']}")
    if failed:
        raise typer.Exit(1)


@verb()
async def prune(
    place: Place,
    older_than: Annotated[
        str | None,
        typer.Option(metavar="AGE", help="Sessions saved longer ago than this: 12h, 30d, 2w."),
    ] = None,
    keep: Annotated[
        int | None,
        typer.Option(min=0, metavar="N", help="All but this many of each agent, saved last."),
    ] = None,
    max_bytes: Annotated[
        str | None,
        typer.Option(
            metavar="SIZE", help="The oldest, until each agent's fit in this: 500kB, 10MB, 2GiB."
        ),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
    yes: YesOption = False,
) -> None:
    """Move old sessions of an agent, or of each, to the trash. Pinned ones stay.

    A session goes if one of the bounds tells. Shows what would go, and asks.

    Example: mythline prune --older-than 30d --keep 100 --dry-run
    """
    bounds: dict[str, Any] = {
        "older_than": None if older_than is None else parse_age(older_than),
        "keep": keep,
        "max_bytes": None if max_bytes is None else parse_size(max_bytes),
    }
    if not any(bound is not None for bound in bounds.values()):
        raise InvalidInput("Say what to prune: --older-than, --keep or --max-bytes.")
    agents = await place.agents()
    found = {name: await place.sessions(name).prune(dry_run=True, **bounds) for name in agents}
    if not dry_run and any(one.pruned for one in found.values()):
        if not yes:
            await _print_pruned(place, found)
        confirm(f"Move {_sum(found)} to the trash?", yes=yes)
        done: dict[str, Pruned] = {}
        with progress("Pruning", len(agents)) as advance:
            for name in agents:
                done[name] = await place.sessions(name).prune(**bounds)
                advance(1)
        found = done
    if place.as_json:
        _print_pruned_json(found, dry_run=dry_run)
    elif dry_run:
        await _print_pruned(place, found)
        note(f"{_sum(found)} would go to the trash.")
    else:
        note(f"{_sum(found)} went to the trash.")


def _sum(found: dict[str, Pruned]) -> str:
    count = sum(one.pruned for one in found.values())
    return f"{number(count, 'session')} ({size(sum(one.bytes for one in found.values()))})"


async def _print_pruned(place: Place, found: dict[str, Pruned]) -> None:
    """Print the sessions that would go, the oldest of each agent first."""
    lines: list[list[str]] = []
    for agent_id, one in found.items():
        for session_id in one.sessions:
            try:
                info = await place.one(agent_id, session_id)
            except SessionNotFound:  # gone meanwhile
                continue
            words = [when(info.last_modified), size(info.size), info.title or ""]
            lines.append([session_id, agent_id, *words])
    if lines:
        columns = ["session", "agent", "modified", "size", "title"]
        print_table(columns, lines, shorten="title", spare=("size", "agent"))


def _print_pruned_json(found: dict[str, Pruned], *, dry_run: bool) -> None:
    agents = [
        {
            "agent_id": name,
            "pruned": one.pruned,
            "bytes": one.bytes,
            "sessions": list(one.sessions),
        }
        for name, one in found.items()
    ]
    print_json(
        {
            "pruned": sum(one.pruned for one in found.values()),
            "bytes": sum(one.bytes for one in found.values()),
            "sessions": [session_id for one in found.values() for session_id in one.sessions],
            "dry_run": dry_run,
            "agents": agents,
        }
    )
