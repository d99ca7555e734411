import pytest
from pydantic_ai.conversation_store import InMemoryConversationStore

from mythline import open_store
from mythline.testing import ConversationStoreSuite


class TestInMemory(ConversationStoreSuite):
    @pytest.fixture
    def conversations(self):
        return InMemoryConversationStore()
class TestLocal(ConversationStoreSuite):
    @pytest.fixture
    async def conversations(self, tmp_path):
        async with open_store(tmp_path) as store:
            yield store.sessions("agent")
