"""`mythline doctor` and `mythline migrate`."""

from __future__ import annotations

import contextlib
import sys
from typing import Annotated

import typer

from ..errors import StoreCorrupt
from ..models import Finding
from .asking import progress
from .output import console, fields_of, note, number, plain, print_json, print_line
from .place import Place
from .verbs import verb

FINDING = ("kind", "explanation", "owner", "agent_id", "session_id", "is_fixed", "can_fix")


def _damaged(error: StoreCorrupt, as_json: bool) -> None:
    """Tell of a database that can't even be read."""
    finding = Finding(kind="integrity", explanation=str(error))
    if as_json:
        print_json([fields_of(finding, FINDING)])
    else:
        _print_finding(finding)
    raise typer.Exit(1) from error


@verb(damaged=_damaged)
async def doctor(
    place: Place,
    fix: Annotated[
        bool, typer.Option("--fix", help="Put right what can be without losing anything.")
    ] = False,
) -> None:
    """Look through the whole store, of all owners, and explain what is wrong.

    Exits with 0 if nothing is, or all of it was put right, else with 1. With --agent or --owner,
    only what concerns theirs is told.

    Example: mythline doctor --fix
    """
    found: list[Finding] = []
    with progress("Looking through the store", None):
        async with contextlib.aclosing(place.store.check(fix=fix)) as findings:
            async for finding in findings:
                if place.agent not in (None, finding.agent_id):
                    continue
                if place.owner not in (None, finding.owner):
                    continue
                found.append(finding)
                if not place.as_json:
                    _print_finding(finding)
    left = [finding for finding in found if not finding.is_fixed]
    if place.as_json:
        print_json([fields_of(finding, FINDING) for finding in found])
    elif not found:
        print_line("Nothing is wrong.")
    else:
        can_fix = sum(finding.can_fix for finding in left)
        hint = f" `mythline doctor --fix` puts {can_fix} right." if can_fix and not fix else ""
        note(f"{number(len(found), 'finding')}, {len(left)} left.{hint}")
    if left:
        raise typer.Exit(1)


def _print_finding(finding: Finding) -> None:
    """One finding, a paragraph: whether it was put right, where, and what it means."""
    state = "fixed" if finding.is_fixed else "can be fixed" if finding.can_fix else "wrong"
    owner = None if finding.owner is None else f"@{finding.owner}"
    where = "/".join(plain(part) for part in (owner, finding.agent_id, finding.session_id) if part)
    head = f"{state}: {finding.kind}{f' in {where}' if where else ''}"
    if not sys.stdout.isatty():
        print_line(f"{head}: {plain(finding.explanation)}")
        return
    from rich.padding import Padding
    from rich.text import Text

    paper = console()
    colour = {"fixed": "green", "can be fixed": "yellow", "wrong": "red"}[state]
    paper.print(Text(head, f"bold {colour}"))
    paper.print(Padding(Text(plain(finding.explanation)), (0, 0, 0, 2), expand=False))


@verb(opens=False)
async def migrate(place: Place) -> None:
    """Bring a store up to date with this version of Mythline.

    Opening a directory does it. A database is migrated by this alone, unless it is empty; the
    servers that work with it meanwhile go on. A store is brought up to date as a whole, whatever
    --agent and --owner say.

    Example: mythline migrate --store ./sessions
    """
    version = await place.store.migrate()
    if place.as_json:
        print_json({"status": "migrated"})
    else:
        schema = "" if version is None else f" Its schema has version {version}."
        print_line(f"The store is up to date.{schema}")
