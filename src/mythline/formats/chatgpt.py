"""`conversations.json` of ChatGPT's data export: an array of conversations, each a tree.

`mapping` has the nodes; the way to `current_node` is the history, other ends are branches.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Final

from ..messages import dump_plain
from . import parts as make
from .building import About, Node, assemble
from .types import ImportedSession
from .values import args, arr, moment, obj, plain_text, text, whole

_MARKS: Final = re.compile("\ue200[^\ue201]*\ue201|[\ue200-\ue206]")
"""Citations and widgets: private characters around what only ChatGPT's page resolves."""
_CONTEXT: Final = {"user_editable_context", "model_editable_context"}


def is_conversation(value: Any) -> bool:
    """Whether a value has the form of a conversation."""
    return isinstance(obj(value).get("mapping"), dict)


def read(document: Any) -> Iterator[ImportedSession]:
    """The sessions of an export, in its order."""
    for conversation in arr(document):
        if is_conversation(conversation):
            yield _session(conversation)


def _session(conversation: dict[str, Any]) -> ImportedSession:
    mapping = obj(conversation["mapping"])
    identity = conversation.get("conversation_id") or conversation.get("id") or _made_id(mapping)
    about = About(
        source="chatgpt",
        session_id=identity,
        title=conversation.get("title"),
        created=moment(conversation.get("create_time")),
        last_modified=moment(conversation.get("update_time")),
        pinned=conversation.get("is_starred") is True,
        archived=conversation.get("is_archived") is True,
        metadata={
            "imported_from": "chatgpt",
            "model": text(conversation.get("default_model_slug")),
            "gizmo_id": text(conversation.get("gizmo_id")),
        },
    )
    calls: dict[str, tuple[str, str]] = {}  # the nearest call up to a node: its id and name
    nodes: list[Node] = []
    for node_id in _downward(mapping):
        node = obj(mapping[node_id])
        parent = text(node.get("parent")) or None
        if parent in calls:
            calls[node_id] = calls[parent]
        nodes += _nodes(node_id, parent, obj(node.get("message")), calls, about.skipped)
    return assemble(nodes, text(conversation.get("current_node")) or None, about)


def _made_id(mapping: dict[str, Any]) -> str | None:
    """The id of a conversation that has none, as in the first exports: by those of its nodes."""
    return hashlib.sha256(dump_plain(list(mapping))).hexdigest()[:32] if mapping else None


def _downward(mapping: dict[str, Any]) -> list[str]:
    """The ids of all nodes, each after its parent where that is possible."""
    order: dict[str, None] = {}
    for start in mapping:
        way: list[str] = []
        step: str | None = start
        while step is not None and step in mapping and step not in order:
            if len(way) > len(mapping):  # a circle
                break
            way.append(step)
            step = text(obj(mapping[step]).get("parent")) or None
        for node_id in reversed(way):
            order.setdefault(node_id)
    return list(order)


def _nodes(
    node_id: str,
    parent: str | None,
    message: dict[str, Any],
    calls: dict[str, tuple[str, str]],
    skipped: Counter[str],
) -> Iterator[Node]:
    author, content = obj(message.get("author")), obj(message.get("content"))
    about = obj(message.get("metadata"))
    role = text(author.get("role"))
    kind = text(content.get("content_type"))
    time = moment(message.get("create_time"))
    model = text(about.get("model_slug")) or None
    hidden = about.get("is_visually_hidden_from_conversation") is True
    node = Node(node_id, parent, "request", time=time)
    if message and (kind in _CONTEXT or (hidden and role in ("system", "user"))):
        skipped[kind if kind in _CONTEXT else f"hidden {role} message"] += 1
    elif role == "user":
        node.parts = make.said([*_contents(content, skipped), *_attached(about)])
        calls.pop(node_id, None)
    elif role == "system":
        node.parts = make.instructed(_joined(content, skipped))
    elif role == "assistant":
        node.kind, node.model = "response", model
        recipient = text(message.get("recipient")) or "all"
        if recipient == "all":
            node.parts = _answer(kind, content, skipped)
            if node.parts and kind != "thoughts":
                calls.pop(node_id, None)
        else:
            node.parts = make.call(recipient, args(_joined(content, skipped)), node_id)
            calls[node_id] = node_id, recipient
    elif role == "tool":
        name = text(author.get("name"))
        said = _joined(content, skipped)
        if said.strip():
            if node_id not in calls:  # a tool that ran by itself, such as a search in files
                call_id = f"{node_id}-call"
                asked = make.call(name, {}, call_id)
                yield Node(call_id, parent, "response", asked, time, model)
                node.parent = call_id
                calls[node_id] = call_id, name
            node.parts = make.result(name, said, calls[node_id][0])
    elif message:
        skipped[f"role {role or 'missing'}"] += 1
    yield node


def _answer(kind: str, content: dict[str, Any], skipped: Counter[str]) -> list[Any]:
    if kind == "thoughts":
        thoughts = (obj(thought) for thought in arr(content.get("thoughts")))
        pairs = ((text(one.get("summary")), text(one.get("content"))) for one in thoughts)
        return make.thought("\n\n".join(line for pair in pairs for line in pair if line))
    if kind == "reasoning_recap":  # how long it thought
        skipped[kind] += 1
        return []
    said = _joined(content, skipped)
    if kind == "code" and said.strip():
        language = re.sub(r"[^\w+#-]", "", text(content.get("language")))
        return make.answered(f"```{'' if language == 'unknown' else language}\n{said}\n```")
    return make.answered(said)


def _joined(content: dict[str, Any], skipped: Counter[str]) -> str:
    found = _contents(content, skipped)
    said = [item if isinstance(item, str) else make.note("file", item.kind) for item in found]
    return "\n\n".join(_MARKS.sub("", item) for item in said if item)


def _contents(content: dict[str, Any], skipped: Counter[str]) -> list[Any]:
    match text(content.get("content_type")):
        case "text" | "multimodal_text" | "":
            return [_part(part, skipped) for part in arr(content.get("parts"))]
        case "code" | "execution_output":
            return [text(content.get("text")), *map(text, arr(content.get("parts")))]
        case "tether_browsing_display":
            return [text(content.get("result")) or text(content.get("summary"))]
        case "tether_quote" | "sonic_webpage":
            names = ("title", "url", "text", "snippet")
            return ["\n".join(line for name in names if (line := text(content.get(name))))]
        case "system_error":
            return [f"{text(content.get('name'))}: {text(content.get('text'))}"]
        case "thoughts" | "reasoning_recap":
            return [plain_text(content.get("content"))]
        case kind:
            skipped[f"content {kind}"] += 1
            found = content.get("text") or content.get("result") or content.get("parts")
            return [plain_text(found)] if found else []


def _part(part: Any, skipped: Counter[str]) -> Any:
    if isinstance(part, str):
        return part
    found = obj(part)
    kind = text(found.get("content_type"))
    if kind == "audio_transcription":
        return text(found.get("text"))
    if kind == "image_asset_pointer":
        width, height = whole(found.get("width")), whole(found.get("height"))
        extent = f"{width}×{height}" if width and height else ""
        return make.note("picture", extent, make.size(whole(found.get("size_bytes"))))
    if kind in ("audio_asset_pointer", "real_time_user_audio_video_asset_pointer"):
        return make.note("sound", make.size(whole(found.get("size_bytes"))))
    if "text" in found:
        return text(found["text"])
    skipped[f"content {kind or 'of no type'}"] += 1
    return ""


def _attached(about: dict[str, Any]) -> Iterator[str]:
    for value in arr(about.get("attachments")):
        file = obj(value)
        media_type = text(file.get("mime_type")) or text(file.get("mimeType"))
        if media_type.startswith("image/"):
            continue  # its place in the text says so
        yield make.note(
            "file", text(file.get("name")), media_type, make.size(whole(file.get("size")))
        )
