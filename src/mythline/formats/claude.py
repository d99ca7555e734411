"""`conversations.json` of Claude's data export: an array of conversations with `chat_messages`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from . import parts as make
from .anthropic import chained, said_by_model, said_by_user
from .building import About, Node, assemble
from .types import ImportedSession
from .values import arr, moment, obj, text, whole


def is_conversation(value: Any) -> bool:
    """Whether a value has the form of a conversation."""
    return isinstance(obj(value).get("chat_messages"), list)


def read(document: Any) -> Iterator[ImportedSession]:
    """The sessions of an export, in its order."""
    for conversation in arr(document):
        if is_conversation(conversation):
            yield _session(conversation)


def _session(conversation: dict[str, Any]) -> ImportedSession:
    about = About(
        source="claude",
        session_id=conversation.get("uuid"),
        title=conversation.get("name"),
        created=moment(conversation.get("created_at")),
        last_modified=moment(conversation.get("updated_at")),
        pinned=conversation.get("is_starred") is True,
        metadata={
            "imported_from": "claude",
            "model": text(conversation.get("model")),
            "summary": text(conversation.get("summary"))[:4000],
            "project": text(obj(conversation.get("project")).get("name")),
        },
    )
    said = [obj(message) for message in arr(conversation["chat_messages"])]
    is_tree = any(text(message.get("parent_message_uuid")) for message in said)
    nodes: list[Node] = []
    last: str | None = None
    for number, message in enumerate(said):
        node_id = text(message.get("uuid")) or str(number)
        parent = text(message.get("parent_message_uuid")) or None if is_tree else last
        nodes += _nodes(node_id, parent, message, about)
        last = node_id
    head = text(conversation.get("current_leaf_message_uuid")) or last
    return assemble(nodes, head, about)


def _nodes(
    node_id: str, parent: str | None, message: dict[str, Any], about: About
) -> Iterator[Node]:
    time = moment(message.get("created_at"))
    content = arr(message.get("content")) or text(message.get("text"))
    sender = text(message.get("sender"))
    if sender == "assistant":
        model = text(message.get("model")) or text(about.metadata.get("model")) or None
        like = Node(node_id, parent, "response", time=time, model=model)
        yield from chained(node_id, parent, said_by_model(content, about.skipped, node_id), like)
        return
    parts: list[Any] = []
    if sender in ("human", "user"):
        parts = [*said_by_user(content, about.skipped), *make.said(list(_files(message)))]
    else:
        about.skipped[f"sender {sender or 'missing'}"] += 1
    yield Node(node_id, parent, "request", parts, time)


def _files(message: dict[str, Any]) -> Iterator[str]:
    for value in arr(message.get("attachments")):
        file = obj(value)
        name, kind = text(file.get("file_name")), text(file.get("file_type"))
        held = text(file.get("extracted_content"))
        if held:
            yield f"{make.note('file', name, kind, why='its text follows')}\n{held}"
        else:
            yield make.note("file", name, kind, make.size(whole(file.get("file_size"))))
    # newer exports name the same files in both
    files = [obj(value) for name in ("files", "files_v2") for value in arr(message.get(name))]
    named = {text(file.get("file_uuid")) or str(number): file for number, file in enumerate(files)}
    for file in named.values():
        yield make.note("file", text(file.get("file_name")))
