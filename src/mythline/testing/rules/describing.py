"""What describes a session: title, tags, pinned, archived, metadata."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest

from ...errors import InvalidInput, RevisionConflict, SessionNotFound
from ...sessions import AgentSessions
from ...store import Store
from ..base import StoreRules
from ..samples import conflict, loaded, saved, turn, turns


class DescribingRules(StoreRules):
    """`update` and `rename`."""

    async def test_each_field_alone(self, sessions: AgentSessions) -> None:
        """What is given changes, and nothing else does."""
        await saved(sessions, "What is Shadowglen?")
        offered = await sessions.info("one")
        assert offered.title == "What is Shadowglen?"
        changes: list[dict[str, Any]] = [
            {"title": "A valley"},
            {"tags": ("lore", "places")},
            {"pinned": True},
            {"archived": True},
            {"metadata": {"colour": "blue", "deep": {"list": [1, None, "é"]}}},
            {"pinned": False},
        ]
        wanted: dict[str, Any] = {}
        for change in changes:
            wanted |= change
            given = await sessions.update("one", **change)
            assert given == await sessions.info("one")
            for name, value in wanted.items():
                assert getattr(given, name) == value
            assert given.last_modified == offered.last_modified
            assert given.message_count == offered.message_count

    async def test_back_to_the_offered_title(self, sessions: AgentSessions) -> None:
        """Without a title of its own, a session has the start of its first prompt again."""
        await saved(sessions, "What is Shadowglen?")
        await sessions.rename("one", "A valley")
        await sessions.append("one", turn("and more"))
        assert (await sessions.info("one")).title == "A valley"
        assert (await sessions.rename("one", None)).title == "What is Shadowglen?"
        assert (await sessions.rename("one", "  ")).title == "What is Shadowglen?"

    async def test_tags_are_a_set(self, sessions: AgentSessions) -> None:
        """Tags come sorted, without repeats; titles and tags are one line."""
        await sessions.create("one")
        described = await sessions.update("one", tags=["b", "a", "b"], title="two\n lines\t\x07")
        assert described.tags == ("a", "b")
        assert described.title == "two lines"
        assert (await sessions.update("one", tags=[])).tags == ()

    async def test_all_of_the_metadata(self, sessions: AgentSessions) -> None:
        """Metadata is replaced as a whole."""
        await sessions.create("one", metadata={"a": 1})
        assert (await sessions.update("one", metadata={"b": 2})).metadata == {"b": 2}
        assert (await sessions.update("one", metadata={})).metadata == {}

    @pytest.mark.parametrize(
        "change",
        [
            {"title": "t" * 201},
            {"title": 5},
            {"tags": ["t" * 65]},
            {"tags": [""]},
            {"tags": [" "]},
            {"tags": "word"},
            {"tags": [str(number) for number in range(51)]},
            {"metadata": {"big": "x" * (16 << 10)}},
            {"metadata": ["no object"]},
            {"metadata": {"x": object()}},
            {"metadata": {"x": [float("nan")]}},
            {"metadata": json.loads('{"x":' * 181 + "1" + "}" * 181)},
        ],
    )
    async def test_description_out_of_bounds(
        self, sessions: AgentSessions, change: dict[str, Any]
    ) -> None:
        """What is out of bounds is refused, and changes nothing."""
        before = await sessions.create("one", title="kept", tags=["kept"])
        with pytest.raises(InvalidInput):
            await sessions.update("one", pinned=True, **change)
        assert await sessions.info("one") == before

    async def test_nothing_to_describe(self, sessions: AgentSessions, store: Store) -> None:
        """What isn't there, was deleted or is another owner's can't be described."""
        await saved(store.sessions(self.agent_id, owner="alice"), "a")
        await sessions.create("two")
        await sessions.delete("two")
        for name in ("one", "two"):
            changes: list[dict[str, Any]] = [{}, {"title": "x"}]
            for change in changes:
                with pytest.raises(SessionNotFound):
                    await sessions.update(name, **change)
        info = await store.sessions(self.agent_id, owner="alice").info("one")
        assert info.title == "a"

    async def test_revisions_of_descriptions(self, sessions: AgentSessions) -> None:
        """A change makes another revision, and the one before is refused from then on."""
        first = await sessions.create("one")
        second = await sessions.rename("one", "A", expected_revision=first.revision)
        assert second.revision != first.revision
        with pytest.raises(RevisionConflict):
            await sessions.rename("one", "B", expected_revision=first.revision)
        third = await sessions.update("one", pinned=True, expected_revision=second.revision)
        assert len({first.revision, second.revision, third.revision}) == 3
        with pytest.raises(RevisionConflict):
            await sessions.update("one", expected_revision=second.revision)
        assert await sessions.update("one", expected_revision=third.revision) == third
        assert (await sessions.info("one")).title == "A"

    async def test_one_description_wins(self, sessions: AgentSessions) -> None:
        """Of changes that go on from the same revision, one is made."""
        first = await sessions.create("one")

        async def rename(title: str) -> str | None:
            try:
                await sessions.rename("one", title, expected_revision=first.revision)
            except RevisionConflict:
                return None
            return title

        found = await asyncio.gather(*(rename(str(number)) for number in range(8)))
        winners = [title for title in found if title is not None]
        assert winners == [(await sessions.info("one")).title]

    async def test_a_run_is_not_disturbed(self, sessions: AgentSessions) -> None:
        """A conversation that was loaded before a change is saved after it."""
        await saved(sessions, "a")
        conversation = await loaded(sessions)
        await sessions.rename("one", "A valley")
        conversation.messages += turn("b")
        await sessions.save(conversation)
        await sessions.rename("one", "Another valley")
        conversation.messages += turn("c")
        await sessions.save(conversation)
        later = await loaded(sessions)
        assert later.messages == [*turn("a"), *turn("b"), *turn("c")]
        await sessions.rename("one", "A third valley")
        later.messages += turn("d")
        await sessions.save(later)
        conversation.messages += turn("too late")
        with conflict():
            await sessions.save(conversation)
        assert (await sessions.info("one")).title == "A third valley"

    async def test_no_change_of_the_history_is_disturbed(self, sessions: AgentSessions) -> None:
        """Nor is what was loaded before and is saved without a new message, rewritten or left."""
        await saved(sessions, "a", "b")
        conversation = await loaded(sessions)
        await sessions.rename("one", "A valley")
        assert await sessions.save(conversation) == []
        await sessions.rename("one", "Another valley")
        conversation.messages[2:] = turn("c")
        assert len(await sessions.save(conversation)) == 2
        for revision in (conversation.revision, None):
            await sessions.rename("one", f"A valley after {revision}")
            described = (await sessions.info("one")).revision
            branch = await sessions.branch("one", at=2, expected_revision=revision or described)
            branch.messages += turn("d")
            await sessions.save(branch)
            assert (await loaded(sessions)).messages == turns("a", "d")
        with conflict():
            await sessions.save(conversation)
        with conflict():
            await sessions.branch("one", at=1, expected_revision=conversation.revision)
        info = await sessions.info("one")
        assert (info.title, len(info.branches)) == ("A valley after None", 3)

    async def test_all_reads_tell_of_it(self, sessions: AgentSessions) -> None:
        """Whatever is read of a session has the revision of its description."""
        await saved(sessions, "a")
        changes: list[dict[str, Any]] = [{"title": "A valley"}, {"tags": ["lore"]}]
        for change in changes:
            described = (await sessions.update("one", **change)).revision
            assert (await sessions.info("one")).revision == described
            assert (await sessions.entries("one")).revision == described
            assert (await sessions.transcript("one")).history.revision == described
            assert (await sessions.exported("one")).details.revision == described
            (listed,) = await sessions.list()
            assert listed.revision == described

    async def test_whole_histories_go_on_from_it(self, sessions: AgentSessions) -> None:
        """What comes whole is compared with the history of a session that was described."""
        await saved(sessions, "a")
        await sessions.rename("one", "A valley")
        assert await sessions.save_history("one", turn("a")) == []
        assert len(await sessions.save_history("one", turns("a", "b"))) == 2
        await sessions.update("one", pinned=True)
        assert len(await sessions.save_history("one", turn("c"))) == 2
        info = await sessions.info("one")
        assert (info.title, info.pinned, len(info.branches)) == ("A valley", True, 1)

    async def test_appends_and_branches_keep_it(self, sessions: AgentSessions) -> None:
        """What describes a session stays through all that happens to its history."""
        await saved(sessions, "a", "b")
        described = await sessions.update(
            "one", title="T", tags=["x"], pinned=True, metadata={"m": 1}
        )
        await sessions.append("one", turn("c"), expected_revision=described.revision)
        revision = (await sessions.info("one")).revision
        await sessions.branch("one", at=2, expected_revision=revision)
        await sessions.save_history("one", turn("else"))
        info = await sessions.info("one")
        assert (info.title, info.tags, info.pinned) == ("T", ("x",), True)
        assert info.metadata == {"m": 1}
