"""Sessions and entries as statements take them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import excerpts, messages
from ..models import StoredEntry, now_micros
from ..store import Save, SessionKey
from . import rows
from .texts import shown


def batch(
    entry_ids: Sequence[str], bodies: Sequence[bytes], before: int = 0
) -> tuple[list[str], list[bytes], list[bool], list[int]]:
    """Entries as statements take them: ids, bodies, which are odd, and the bytes up to each."""
    totals: list[int] = []
    for body in bodies:
        before += len(body)
        totals.append(before)
    return list(entry_ids), list(bodies), [messages.is_odd(body) for body in bodies], totals


def new_values(key: SessionKey, save: Save, entries: Sequence[StoredEntry]) -> list[Any]:
    """The values of the statement `create`, with these as the first messages."""
    ids, bodies, odd, totals = batch(
        [entry.entry_id for entry in entries], [entry.body for entry in entries]
    )
    opening = shown(excerpts.opening(bodies[: excerpts.LOOK]))
    preview = shown(excerpts.preview(reversed(bodies[-excerpts.LOOK :])))
    title = None if save.title is None else shown(save.title)
    return [
        *rows.place_of(key),
        save.revision,
        len(ids),
        ids[-1] if ids else None,
        totals[-1] if totals else 0,
        save.updated if save.created is None else save.created,
        save.updated,
        save.shared_id,
        save.pinned,
        save.archived,
        title,
        opening,
        (title or opening).casefold(),
        preview,
        preview.casefold(),
        rows.as_json(list(save.tags)),
        save.forked_from,
        save.forked_at,
        save.usage,
        save.deferred_tool_requests,
        rows.as_json(dict(save.metadata)),
        list(save.tags),
        ids,
        bodies,
        odd,
        totals,
        now_micros(),
    ]
