"""A session of what another program kept: a tree of things said becomes messages and branches.

What comes out can be continued: every call has its result right after it, and no result is without
its call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any, Final, Literal

from .. import ids, messages
from ..models import StoredEntry
from . import parts as make
from .types import ImportedSession, Source, clean_metadata, clean_title, named_after

NO_RESULT: Final = "No result of this call was recorded."


@dataclass(slots=True)
class Tokens:
    """What a response used."""

    read: int = 0
    written: int = 0
    cache_read: int = 0
    cache_write: int = 0


@dataclass(slots=True)
class Node:
    """A thing said, after its parent; without parts it only leads from one to the next.

    Nodes of the same `group` that follow each other are one message.
    """

    node_id: str
    parent: str | None
    kind: Literal["request", "response"]
    parts: list[Any] = field(default_factory=list[Any])
    time: datetime | None = None
    model: str | None = None
    tokens: Tokens | None = None
    group: str | None = None


@dataclass(slots=True, eq=False)
class _Draft:
    """A message to be."""

    kind: Literal["request", "response"]
    parent: _Draft | None
    parts: list[Any]
    time: datetime
    model: str | None = None
    tokens: Tokens | None = None
    group: str | None = None
    answers: _Draft | None = None
    result_ids: set[str] = field(default_factory=set[str])
    has_calls: bool = False
    has_prompt: bool = False

    def add(self, parts: Sequence[Any]) -> None:
        self.parts += parts
        self.result_ids |= _result_ids(parts)
        self.has_calls = self.has_calls or any(p.part_kind == "tool-call" for p in parts)
        self.has_prompt = self.has_prompt or any(p.part_kind == "user-prompt" for p in parts)


def _result_ids(parts: Sequence[Any]) -> set[str]:
    return {part.tool_call_id for part in parts if part.part_kind == "tool-return"}


@dataclass(slots=True, kw_only=True)
class About:
    """What is known of a session beside its messages."""

    source: Source
    session_id: Any = None
    title: Any = None
    created: datetime | None = None
    last_modified: datetime | None = None
    pinned: bool = False
    archived: bool = False
    metadata: dict[str, Any] = field(default_factory=dict[str, Any])
    skipped: Counter[str] = field(default_factory=Counter[str])


def assemble(nodes: Iterable[Node], head: str | None, about: About) -> ImportedSession:
    """The session of `nodes`, in the order they were said, that ends with the node `head`.

    Without a usable `head`, with the last node. The ends of other lines become its branches.
    """
    known: dict[str, Node] = {}
    for node in nodes:
        if node.node_id in known:
            about.skipped["repeated"] += 1
        else:
            known[node.node_id] = node
    tree = _Tree(known)
    head = tree.speaking(head)
    drafts = _drafts(tree, head, about.created)
    inner = {id(draft.parent) for draft in drafts.values()}
    tips = [drafts[leaf] for leaf in tree.leaves if id(drafts[leaf]) not in inner]
    last = head or (tree.leaves[-1] if tree.leaves else None)
    head_draft = drafts[last] if last is not None else None
    return _session(_unique(drafts.values()), head_draft, _unique(tips), about)


class _Tree:
    """The nodes that say something, each with the nearest before it that does."""

    def __init__(self, known: dict[str, Node]) -> None:
        self.known = known
        self.parents: dict[str, str | None] = {}
        for start in known:
            self._settle(start)
        children: dict[str | None, list[str]] = {}
        for node_id, parent in self.parents.items():
            if known[node_id].parts:
                children.setdefault(parent, []).append(node_id)
        self.children = children
        self.order: list[str] = []
        pending = list(reversed(children.get(None, [])))
        while pending:
            node_id = pending.pop()
            self.order.append(node_id)
            pending.extend(reversed(children.get(node_id, [])))
        place = {node_id: number for number, node_id in enumerate(known)}
        self.leaves = sorted((n for n in self.order if n not in children), key=place.__getitem__)

    def _settle(self, start: str) -> None:
        """Find the nearest speaking node before `start`, and before all on the way to it."""
        way: list[str] = []
        seen: set[str] = set()
        step: str | None = start
        while step is not None and step in self.known and step not in self.parents:
            if step in seen:  # a circle, which is opened here
                step = None
                break
            seen.add(step)
            way.append(step)
            step = self.known[step].parent
        nearest = self.speaking(step)
        for node_id in reversed(way):
            self.parents[node_id] = nearest
            if self.known[node_id].parts:
                nearest = node_id

    def speaking(self, node_id: str | None) -> str | None:
        """The node itself if it says something, otherwise the nearest before it."""
        if node_id is None or node_id not in self.known:
            return None
        return node_id if self.known[node_id].parts else self.parents[node_id]


def _drafts(tree: _Tree, head: str | None, created: datetime | None) -> dict[str, _Draft]:
    """The message that each node is part of, in the order of the tree."""
    found: dict[str, _Draft] = {}
    first = created or datetime.now(UTC)
    for node_id in tree.order:
        node = tree.known[node_id]
        parent_id = tree.parents[node_id]
        parent = found[parent_id] if parent_id is not None else None
        alone = parent_id != head and len(tree.children.get(parent_id, [])) == 1
        joined = _joins(node, parent, alone)
        if joined is not None:
            joined.add(node.parts)
            joined.model = joined.model or node.model
            if node.tokens is not None:
                joined.tokens = node.tokens if _same_group(node, joined) else _sum(joined, node)
            found[node_id] = joined
            continue
        time = node.time or (parent.time if parent else first)
        draft = _Draft(node.kind, parent, [], time, node.model, node.tokens, node.group)
        draft.add(node.parts)
        if parent is not None and draft.kind == "request" and draft.result_ids:
            parent.answers = parent.answers or draft
        found[node_id] = draft
    return found


def _joins(node: Node, parent: _Draft | None, alone: bool) -> _Draft | None:
    """The message that a node goes on with, or `None` if it begins one."""
    if parent is None:
        return None
    results = _result_ids(node.parts)
    if parent.kind != node.kind:
        # results of calls that were made at once, each noted after its own call
        answers = parent.answers
        if answers is not None and results and results.isdisjoint(answers.result_ids):
            return answers
        return None
    if _same_group(node, parent):
        return parent
    if not alone:
        return None
    if node.kind == "response":
        return parent
    return parent if results or not parent.has_prompt else None


def _same_group(node: Node, draft: _Draft) -> bool:
    return node.group is not None and node.group == draft.group


def _sum(draft: _Draft, node: Node) -> Tokens | None:
    if draft.tokens is None or node.tokens is None:
        return node.tokens or draft.tokens
    one, other = draft.tokens, node.tokens
    return Tokens(
        one.read + other.read,
        one.written + other.written,
        one.cache_read + other.cache_read,
        one.cache_write + other.cache_write,
    )


def _unique(drafts: Iterable[_Draft]) -> list[_Draft]:
    return list({id(draft): draft for draft in drafts}.values())


# Calls and results


def _session(
    drafts: Sequence[_Draft], head: _Draft | None, tips: Sequence[_Draft], about: About
) -> ImportedSession:
    order: list[_Draft] = []
    after: dict[int, _Draft] = {}  # the results that were put after calls without any
    ends = {id(tip) for tip in tips} | ({id(head)} if head else set[int]())
    for draft in drafts:
        if draft.kind == "response":
            _number_calls(draft)
        if draft.parent is not None and draft.kind == "response" and draft.parent.has_calls:
            draft.parent = _put_after(draft.parent, after, order)
        elif draft.kind == "request":
            _pair(draft)
        order.append(draft)
        if id(draft) in ends and draft.kind == "response" and draft.has_calls:
            _put_after(draft, after, order)
    entry_ids = ids.new_entry_ids(len(order))
    named = {id(draft): entry_ids[place] for place, draft in enumerate(order)}

    def name(draft: _Draft) -> str:
        return named[id(after.get(id(draft), draft))]

    bodies = messages.dump(_message(draft) for draft in order)
    entries = tuple(
        StoredEntry(named[id(draft)], None if draft.parent is None else named[id(draft.parent)], b)
        for draft, b in zip(order, bodies, strict=True)
    )
    times = [draft.time for draft in order]
    return ImportedSession(
        source=about.source,
        session_id=named_after(about.session_id),
        title=clean_title(about.title),
        pinned=about.pinned,
        archived=about.archived,
        metadata=clean_metadata(about.metadata),
        created=about.created or min(times, default=None),
        last_modified=about.last_modified or max(times, default=None),
        usage=_usage(order),
        head_id=name(head) if head else None,
        branches=tuple(name(tip) for tip in tips if tip is not head),
        entries=entries,
        skipped=dict(about.skipped),
    )


def _number_calls(draft: _Draft) -> None:
    """Give a second call of the same id in a message one of its own."""
    seen: set[str] = set()
    numbers: Counter[str] = Counter()
    for place, part in enumerate(draft.parts):
        if part.part_kind != "tool-call":
            continue
        call_id = part.tool_call_id
        while call_id in seen:
            numbers[part.tool_call_id] += 1
            call_id = f"{part.tool_call_id}-{numbers[part.tool_call_id] + 1}"
        seen.add(call_id)
        if call_id != part.tool_call_id:
            draft.parts[place] = replace(part, tool_call_id=call_id)


def _put_after(draft: _Draft, after: dict[int, _Draft], order: list[_Draft]) -> _Draft:
    """A message with results for the calls of `draft`, after it."""
    if id(draft) not in after:
        made = _Draft("request", draft, [], draft.time)
        _pair(made)
        after[id(draft)] = made
        order.append(made)
    return after[id(draft)]


def _pair(draft: _Draft) -> None:
    """Give each call before `draft` one result, and make text of results that have no call."""
    parent = draft.parent
    calls = [part for part in parent.parts if part.part_kind == "tool-call"] if parent else []
    found: dict[str, list[Any]] = {part.tool_call_id: [] for part in calls}
    rest: list[Any] = []
    for part in draft.parts:
        if part.part_kind != "tool-return":
            rest.append(part)
        elif part.tool_call_id in found:
            found[part.tool_call_id].append(part)
        else:
            named = f" of {part.tool_name}" if part.tool_name else ""
            rest += make.said(f"[Result{named}, without its call]\n{part.content}")
    results: list[Any] = []
    for call in calls:
        given = found[call.tool_call_id]
        if not given:
            results += make.result(
                call.tool_name, NO_RESULT, call.tool_call_id, outcome="interrupted"
            )
            continue
        content = "\n\n".join(part.content for part in given if part.content)
        outcome = "failed" if any(part.outcome == "failed" for part in given) else "success"
        results += make.result(call.tool_name, content, call.tool_call_id, outcome=outcome)
    draft.parts = [*results, *rest]


def _message(draft: _Draft) -> Any:
    from pydantic_ai.messages import ModelRequest, ModelResponse
    from pydantic_ai.usage import RequestUsage

    if draft.kind == "request":
        stamped = [replace(part, timestamp=draft.time) for part in draft.parts]
        return ModelRequest(parts=stamped, timestamp=draft.time)
    used = draft.tokens or Tokens()
    return ModelResponse(
        parts=draft.parts,
        timestamp=draft.time,
        model_name=draft.model,
        usage=RequestUsage(
            input_tokens=used.read,
            output_tokens=used.written,
            cache_read_tokens=used.cache_read,
            cache_write_tokens=used.cache_write,
        ),
    )


def _usage(drafts: Sequence[_Draft]) -> bytes:
    used = [draft.tokens for draft in drafts if draft.tokens is not None]
    if not used:
        return b"{}"
    return messages.dump_plain(
        {
            "requests": len(used),
            "input_tokens": sum(tokens.read for tokens in used),
            "output_tokens": sum(tokens.written for tokens in used),
            "cache_read_tokens": sum(tokens.cache_read for tokens in used),
            "cache_write_tokens": sum(tokens.cache_write for tokens in used),
        }
    )


def linear(steps: Iterable[Node]) -> Iterator[Node]:
    """The nodes, each after the one before."""
    before: str | None = None
    for number, step in enumerate(steps):
        step.node_id, step.parent = str(number), before
        before = step.node_id
        yield step
