"""A store to look at: 10,000 sessions of many days, and some that have everything in them."""

from __future__ import annotations

import base64
import json
import random
import struct
import zlib
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mythline import open_store
from mythline.ids import new_entry_ids
from mythline.local import LocalStore, lines, rows
from mythline.models import now_micros

AGENT = "story_researcher"
MANY = 10_000
NOW = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
_DAY = 86_400_000_000  # microseconds

_TOPICS = (
    "the keepers of Shadowglen|a trade route over the northern pass|why the lighthouse went dark|"
    "names for a harbour town|a villain who is right once|the calendar of the river folk|"
    "how bread is baked in the citadel|a map of the drowned quarter|songs of the salt miners|"
    "the treaty of the two bridges|an heir nobody wanted|what the astronomers hid|"
    "a winter without wolves|the ferryman's debts|letters from the southern front"
).split("|")
_ASKS = (
    "Tell me about {}.|Give me three ideas for {}.|What would contradict {}?|Summarise {}.|"
    "Write an opening paragraph about {}.|Who would profit from {}?"
).split("|")
_ANSWERS = (
    "It begins quietly: nobody in the valley remembers who lit the first lantern.|"
    "Three things stand out, and the second is the one I would build the chapter on.|"
    "The chronicle disagrees with itself here, which is useful: pick the version that hurts.|"
    "Start with the smell of tar and wet rope, and let the reader find the harbour by it.|"
    "I would keep it small. One debt, one witness, one night."
).split("|")
TAGS = ("lore", "draft", "characters", "maps", "later")


def prompt(text: str, *more: Any) -> dict[str, Any]:
    content = [text, *more] if more else text
    return {
        "parts": [
            {
                "content": content,
                "timestamp": NOW,
                "part_kind": "user-prompt",
            }
        ],
        "kind": "request",
    }


def reply(*parts: Any, **more: Any) -> dict[str, Any]:
    return {
        "parts": [
            {"content": part, "part_kind": "text"} if isinstance(part, str) else part
            for part in parts
        ],
        "usage": {"input_tokens": 812, "output_tokens": 164},
        "model_name": "some-model-1",
        "timestamp": NOW,
        "kind": "response",
        **more,
    }


def call(name: str, args: Any, call_id: str) -> dict[str, Any]:
    return {"tool_name": name, "args": args, "tool_call_id": call_id, "part_kind": "tool-call"}


def returned(name: str, content: Any, call_id: str, **more: Any) -> dict[str, Any]:
    part = {
        "tool_name": name,
        "content": content,
        "tool_call_id": call_id,
        "timestamp": NOW,
        "part_kind": "tool-return",
        **more,
    }
    return {"parts": [part], "kind": "request"}


def picture(width: int = 320, height: int = 180) -> bytes:
    """A PNG: dusk over water."""
    lines_ = bytearray()
    for y in range(height):
        lines_.append(0)
        share = y / height
        for x in range(width):
            glow = max(0.0, 1 - ((x - width * 0.7) ** 2 + (y - height * 0.45) ** 2) / 2600)
            red, green, blue = 40 + 130 * share, 58 + 60 * share, 92 + 20 * share
            if share > 0.6:
                red, green, blue = red * 0.45, green * 0.55, blue * 0.7
            lines_ += bytes(min(255, int(c + 120 * glow)) for c in (red, green, blue))

    def chunk(kind: bytes, data: bytes) -> bytes:
        whole = kind + data
        return struct.pack(">I", len(data)) + whole + struct.pack(">I", zlib.crc32(whole))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(lines_)))
        + chunk(b"IEND", b"")
    )


def binary(data: bytes, media_type: str, **more: Any) -> dict[str, Any]:
    encoded = base64.urlsafe_b64encode(data).decode()
    return {"data": encoded, "media_type": media_type, "kind": "binary", **more}


MARKDOWN = """Shadowglen lies in the north of **Teldrassil**, in a bowl of old trees. The sources \
agree on:

1. The *keepers* settled there after the long war.
2. The moonwell came first, the village later.

| keeper | since | what they guard |
|---|---|---|
| Ilthalaine | the first spring | the moonwell |
| Dirania | the flood | the seed house |
| Gilshalan | nobody knows | the northern path |

To count how often each is named, I used:

```python
from collections import Counter

def named(chronicle: str) -> Counter[str]:
    \"\"\"How often each keeper is named.\"\"\"
    words = chronicle.lower().split()  # no stemming: names don't bend
    return Counter(word for word in words if word in KEEPERS)
```

> “Whoever keeps the path keeps the village.”

See [the chronicle](https://example.com/chronicle) for `chapter 3`, or look at the map:
![A map of the glen](https://example.com/map.png)
"""

RICH: list[dict[str, Any]] = [
    {
        "parts": [
            {"content": "You research stories.", "part_kind": "system-prompt"},
            *prompt(
                "Who are the keepers of Shadowglen? This is the view from the path.",
                binary(picture(), "image/png", identifier="dusk"),
            )["parts"],
        ],
        "kind": "request",
    },
    reply(
        {
            "content": "The chronicle has it in chapter 3. I should look before I answer.",
            "part_kind": "thinking",
        },
        call("search_chronicle", {"query": "keepers", "limit": 5, "strict": True}, "call_1"),
        call("burn_chronicle", '{"all": true}', "call_2"),
    ),
    {
        "parts": [
            *returned(
                "search_chronicle",
                {"hits": [{"chapter": 3, "text": "Three keepers there were."}], "more": None},
                "call_1",
            )["parts"],
            *returned("burn_chronicle", "Nobody may do that.", "call_2", outcome="denied")["parts"],
        ],
        "kind": "request",
    },
    reply(MARKDOWN),
    prompt("And who guards the northern path *today*?"),
    reply("Gilshalan, if one believes the ferry", state="interrupted"),
]


async def fill(place: Path, many: int = MANY) -> None:
    """Make the store."""
    async with open_store(place, views=False) as store:
        assert isinstance(store, LocalStore)
        await _fill_many(store, many)
        sessions = store.sessions(AGENT)
        await sessions.create("long", title="The whole of the river folk")
        for number in range(0, 400, 20):
            turns = [
                message
                for each in range(number, number + 20)
                for message in (
                    prompt(f"Verse {each}, please."),
                    reply(f"Verse {each}: the river carries what the hills let go of."),
                )
            ]
            await sessions.append("long", json.dumps(turns).encode())
        await sessions.create("rich", tags=["lore", "characters"])
        for start, end in ((0, 4), (4, 6)):
            await sessions.append("rich", json.dumps(RICH[start:end]).encode())
        await sessions.create("branched", title="Two endings for the lighthouse", tags=["draft"])
        await sessions.append(
            "branched",
            json.dumps([prompt("How does it end?"), reply("With the light on.")]).encode(),
        )
        dark = await sessions.append(
            "branched",
            json.dumps([prompt("Darker."), reply("The keeper never lit it at all.")]).encode(),
        )
        first = (await sessions.entries("branched", limit=4)).entries[1].entry_id
        await sessions.branch_at("branched", first)
        await sessions.append(
            "branched", json.dumps([prompt("Kinder."), reply("Somebody waits below.")]).encode()
        )
        assert dark.entry_ids
        other = store.sessions("map_maker")
        await other.create("first-map", title="The first map")
        await other.append(
            "first-map",
            json.dumps(
                [prompt("Draw the glen."), reply("A bowl of trees, and one path.")]
            ).encode(),
        )


async def _fill_many(store: LocalStore, many: int) -> None:
    """What as many creates and appends would make, but in bulk, over two years."""
    chance = random.Random(7)
    now = now_micros()

    def add(connection: Any) -> None:
        for number in range(many):
            topic = chance.choice(_TOPICS)
            asked = chance.choice(_ASKS).format(topic)
            updated = now - int((number / many) ** 1.6 * 700 * _DAY) - number * 1000 - 3_600_000_000
            name = f"session_{number:06}"
            messages = [prompt(asked), reply(chance.choice(_ANSWERS))]
            bodies = [json.dumps(message).encode() for message in messages]
            identity = ("", AGENT, name)
            revision, *entries = new_entry_ids(1 + len(bodies))
            tags = sorted(chance.sample(TAGS, 1 + number % 2)) if number % 7 == 3 else []
            described = {"tags": json.dumps(tags), "pinned": int(number in (3, 17))}
            rows.add(connection, identity, revision, updated, updated, **described)
            row = rows.session(connection, identity)
            assert row is not None
            head = lines.extend(connection, 0, list(zip(entries, bodies, strict=True)))[-1]
            rows.move(
                connection, row, head, revision=revision, updated=updated, noted=None, added=bodies
            )

    await store._database.write(add, durable=False)
