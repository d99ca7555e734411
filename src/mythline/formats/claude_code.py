"""Claude Code's session files: `~/.claude/projects/*/*.jsonl`, a tree by `parentUuid`.

One message of the model is several lines with the same `message.id`. What was said beside
(`isSidechain`) and what the program wrote for the model alone (`isMeta`) is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final

from .anthropic import chained, said_by_model, said_by_user, usage
from .building import About, Node, assemble
from .types import ImportedSession
from .values import arr, moment, obj, text

_SAID: Final = {"user", "assistant"}
_TITLES: Final = {"custom-title": "customTitle", "ai-title": "aiTitle", "summary": "summary"}
_PRINTED: Final = ("<local-command-stdout>", "<local-command-stderr>")
_COMMAND: Final = ("<command-name>", "<command-message>")


def is_line(value: Any) -> bool:
    """Whether a line has the form of one of these files."""
    found = obj(value)
    kind = text(found.get("type"))
    if kind in _SAID or kind == "system":
        return "parentUuid" in found or "sessionId" in found
    return kind in _TITLES and ("leafUuid" in found or "sessionId" in found)


def read(lines: Sequence[Any]) -> ImportedSession:
    """The session of a file's lines."""
    about = About(source="claude-code", metadata={"imported_from": "claude-code"})
    found = [obj(line) for line in lines]
    said = [line for line in found if text(line.get("type")) in _SAID]
    # the file of a sidechain has nothing else
    with_sides = bool(said) and all(line.get("isSidechain") is True for line in said)
    known = {text(line.get("uuid")) for line in found}
    titles: dict[str, str] = {}
    nodes: list[Node] = []
    last: str | None = None
    for number, line in enumerate(found):
        kind = text(line.get("type"))
        if kind in _TITLES:
            if kind != "summary" or text(line.get("leafUuid")) in known:
                titles[kind] = text(line.get(_TITLES[kind]))
            continue
        if line.get("isSidechain") is True and not with_sides:
            about.skipped["sidechain"] += 1
            continue
        for name in ("sessionId", "cwd", "gitBranch", "version"):
            if value := text(line.get(name)):
                about.metadata[name] = value[:1000]
        node_id = text(line.get("uuid")) or f"line {number}"
        parent = text(line.get("parentUuid")) or text(line.get("logicalParentUuid")) or None
        if "parentUuid" not in line:
            parent = last
        made = list(_nodes(node_id, parent, line, about))
        nodes += made
        if any(node.parts for node in made):
            last = node_id
    about.session_id = about.metadata.pop("sessionId", None)
    about.title = next((titles[kind] for kind in _TITLES if titles.get(kind)), None)
    return assemble(nodes, last, about)


def _nodes(node_id: str, parent: str | None, line: dict[str, Any], about: About) -> Iterator[Node]:
    kind = text(line.get("type"))
    message = obj(line.get("message"))
    time = moment(line.get("timestamp"))
    content = message.get("content")
    if kind == "assistant":
        named = text(message.get("model"))
        like = Node(
            node_id,
            parent,
            "response",
            time=time,
            model=named if named != "<synthetic>" else None,
            tokens=usage(message.get("usage")),
            group=text(message.get("id")) or None,
        )
        yield from chained(node_id, parent, said_by_model(content, about.skipped, node_id), like)
        return
    parts: list[Any] = []
    if kind == "user" and line.get("isMeta") is not True:
        parts = said_by_user(_typed(content), about.skipped)
        if not parts and content:
            about.skipped["output of a command"] += 1
    elif kind == "user":
        about.skipped["meta"] += 1
    elif kind and kind != "system":
        about.skipped[kind] += 1
    yield Node(node_id, parent, "request", parts, time)


def _typed(content: Any) -> Any:
    """A user's content with commands as they were typed, and without what they printed."""
    if isinstance(content, list):
        blocks = [obj(block) for block in arr(content)]
        return [
            block | {"text": _typed(text(block.get("text")))}
            if block.get("type") == "text"
            else block
            for block in blocks
        ]
    said = text(content)
    if said.lstrip().startswith(_PRINTED):
        return ""
    if said.lstrip().startswith(_COMMAND):
        name, args = (
            said.partition(f"<command-{part}>")[2].partition(f"</command-{part}>")[0].strip()
            for part in ("name", "args")
        )
        return f"{name} {args}".strip() or said
    return content
