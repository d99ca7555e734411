// `Chat` of the AI SDK, as `useChat` has it, against the server.

import assert from 'node:assert/strict';
import { Chat } from '@ai-sdk/react';
import {
  DefaultChatTransport,
  lastAssistantMessageIsCompleteWithApprovalResponses,
  lastAssistantMessageIsCompleteWithToolCalls,
} from 'ai';
import { info, place, run, shown, stored, transcript } from './support.mjs';

function open(options = {}) {
  const transport = new DefaultChatTransport({ api: `${place()}/chat` });
  return new Chat({ id: 'anything', transport, onError: () => {}, ...options });
}

const load = () => shown('vercel');

async function resumed(options = {}) {
  return open({ messages: await load(), ...options });
}

const text = (message) =>
  message.parts.filter((part) => part.type === 'text').map((part) => part.text).join('');
const texts = (chat) => chat.messages.map((message) => `${message.role}: ${text(message).trim()}`);
const tools = (message) => message.parts.filter((part) => part.type.startsWith('tool-'));

async function says(chat, prompt, expected) {
  await chat.sendMessage({ text: prompt });
  assert.equal(chat.error, undefined);
  assert.equal(chat.status, 'ready');
  assert.equal(text(chat.lastMessage).trim(), expected);
}

async function until(condition) {
  for (let round = 0; round < 1000 && !condition(); round += 1)
    await new Promise((resolve) => setTimeout(resolve, 5));
  assert.ok(condition());
}

// What a client that stayed shows, one that loads the session shows too.
async function showsTheSame(chat) {
  const plain = (message) => ({
    role: message.role,
    parts: message.parts
      .filter((part) => part.type !== 'step-start' && !part.type.startsWith('data-'))
      .map(({ type, text, toolCallId, state, input, output }) =>
        JSON.parse(JSON.stringify({ type, text, toolCallId, input, output, state: toolCallId && state }))),
  });
  assert.deepEqual((await load()).map(plain), chat.messages.map(plain));
}

await run({
  async conversation() {
    const chat = open();
    await says(chat, 'one', '1: one');
    await says(chat, 'two', '2: two');
    assert.deepEqual(await transcript(), texts(chat));
    await showsTheSame(chat);
  },

  async regenerate() {
    const chat = open();
    await says(chat, 'one', '1: one');
    await says(chat, 'two', '2: two');
    await chat.regenerate();
    assert.equal(chat.error, undefined);
    assert.deepEqual(texts(chat), ['user: one', 'assistant: 1: one', 'user: two', 'assistant: 2: two']);
    assert.deepEqual(await transcript(), texts(chat));
    assert.equal((await info()).branches.length, 1);
    await chat.regenerate({ messageId: chat.messages[1].id });
    assert.equal(chat.error, undefined);
    assert.deepEqual(await transcript(), ['user: one', 'assistant: 1: one']);
    assert.deepEqual(texts(chat), await transcript());
    assert.equal((await info()).branches.length, 2);
    await says(chat, 'on', '2: on');
  },

  async edit() {
    const chat = open();
    await says(chat, 'one', '1: one');
    await says(chat, 'two', '2: two');
    await chat.sendMessage({ text: 'TWO', messageId: chat.messages[2].id });
    assert.deepEqual(await transcript(), texts(chat));
    assert.equal(texts(chat).at(-1), 'assistant: 2: TWO');
    await chat.sendMessage({ text: 'ONE', messageId: chat.messages[0].id });
    assert.deepEqual(await transcript(), ['user: ONE', 'assistant: 1: ONE']);
    assert.equal((await info()).branches.length, 2);
  },

  async resume() {
    const before = open();
    await says(before, 'one', '1: one');
    await says(before, 'two', '2: two');
    const chat = await resumed();
    assert.deepEqual(texts(chat), texts(before));
    assert.deepEqual(chat.messages.map((message) => message.id), (await stored()).map((each) => each.entry_id));
    await says(chat, 'three', '3: three');
    await chat.regenerate();
    await chat.sendMessage({ text: 'TWO', messageId: chat.messages[2].id });
    assert.equal(chat.error, undefined);
    assert.deepEqual(texts(chat), ['user: one', 'assistant: 1: one', 'user: TWO', 'assistant: 2: TWO']);
    assert.deepEqual(await transcript(), texts(chat));
    const again = await resumed();
    await again.regenerate({ messageId: again.messages[1].id });
    assert.deepEqual(await transcript(), ['user: one', 'assistant: 1: one']);
  },

  async stop() {
    const chat = open();
    await says(chat, 'one', '1: one');
    const sending = chat.sendMessage({ text: 'wait' });
    await until(() => chat.status === 'streaming' && text(chat.lastMessage));
    await chat.stop();
    await sending;
    assert.equal(chat.status, 'ready');
    for (let round = 0; round < 200 && (await stored()).length < 4; round += 1);
    assert.equal((await stored())[3].state, 'interrupted');
    assert.deepEqual(await transcript(), texts(chat));
    await says(chat, 'two', '3: two');
    assert.deepEqual(await transcript(), texts(chat));
    await showsTheSame(chat);
    assert.equal((await info()).branches.length, 0);
  },

  async stopped_and_regenerated() {
    const chat = open();
    const sending = chat.sendMessage({ text: 'wait' });
    await until(() => chat.status === 'streaming' && text(chat.lastMessage));
    await chat.stop();
    await sending;
    for (let round = 0; round < 200 && (await stored()).length < 2; round += 1);
    await chat.sendMessage({ text: 'one', messageId: chat.messages[0].id });
    assert.equal(chat.error, undefined);
    assert.deepEqual(await transcript(), ['user: one', 'assistant: 1: one']);
  },

  async tools() {
    const chat = open();
    await chat.sendMessage({ text: 'use look nothing' });
    assert.equal(chat.error, undefined);
    const [look, nothing] = tools(chat.lastMessage);
    assert.deepEqual([look.type, look.state, look.input, look.output],
      ['tool-look', 'output-available', { n: 1 }, { seen: 1 }]);
    assert.deepEqual([nothing.type, nothing.state], ['tool-nothing', 'output-available']);
    assert.equal(text(chat.lastMessage), 'Let me see. It gave look={\'seen\': 1}, nothing=None');
    await showsTheSame(chat);
    await says(chat, 'two', '2: two');
    await says(await resumed(), 'three', '3: three');
    assert.equal((await stored()).length, 8);
    await chat.regenerate({ messageId: chat.messages[1].id });
    assert.equal((await stored()).length, 4);
    const again = await resumed();
    await again.regenerate();
    assert.equal(again.error, undefined);
    assert.equal((await stored()).length, 4);
  },

  async thinking() {
    const chat = open();
    await chat.sendMessage({ text: 'think' });
    const thought = chat.lastMessage.parts.find((part) => part.type === 'reasoning');
    assert.equal(thought.text, 'Hm, well.');
    await showsTheSame(chat);
    await says(await resumed(), 'two', '2: two');
  },

  async approval() {
    const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithApprovalResponses;
    for (const reload of [false, true])
      for (const approved of [true, false]) {
        let chat = open({ sendAutomaticallyWhen });
        chat.messages = (await stored()).length ? await load() : [];
        await chat.sendMessage({ text: 'use pay look' });
        assert.equal(chat.error, undefined);
        if (reload) chat = await resumed({ sendAutomaticallyWhen });
        const waiting = chat.messages.flatMap(tools).filter((part) => part.state === 'approval-requested');
        assert.equal(waiting.length, 1);
        const { id } = waiting[0].approval;
        await chat.addToolApprovalResponse({ id, approved, reason: 'Too much.' });
        await until(() => chat.status === 'ready' && text(chat.lastMessage).includes('It gave'));
        assert.equal(chat.error, undefined);
        assert.match(text(chat.lastMessage), approved ? /pay=paid 1/ : /Too much/);
        const paid = tools(chat.lastMessage).find((part) => part.type === 'tool-pay');
        assert.equal(paid.state, approved ? 'output-available' : 'output-denied');
        const shown = (await load()).flatMap(tools).filter((part) => part.type === 'tool-pay').at(-1);
        assert.equal(shown.state, approved ? 'output-available' : 'output-denied');
      }
    assert.equal((await info()).branches.length, 0);
    await says(await resumed(), 'on', '5: on');
  },

  async tool_of_the_client() {
    const sendAutomaticallyWhen = lastAssistantMessageIsCompleteWithToolCalls;
    for (const reload of [false, true]) {
      let chat = open({ sendAutomaticallyWhen });
      chat.messages = (await stored()).length ? await load() : [];
      await chat.sendMessage({ text: 'use where' });
      assert.equal(chat.error, undefined);
      if (reload) chat = await resumed({ sendAutomaticallyWhen });
      const [part] = tools(chat.lastMessage);
      assert.equal(part.state, 'input-available');
      await chat.addToolOutput({ tool: 'where', toolCallId: part.toolCallId, output: 'Shadowglen' });
      await until(() => chat.status === 'ready' && text(chat.lastMessage).includes('It gave'));
      assert.equal(chat.error, undefined);
      assert.match(text(chat.lastMessage), /where=Shadowglen/);
    }
    assert.equal((await info()).branches.length, 0);
    await says(await resumed(), 'on', '3: on');
  },

  async failure() {
    const chat = open();
    await chat.sendMessage({ text: 'fail' });
    assert.equal(chat.status, 'error');
    assert.match(chat.error.message, /The agent failed/);
    assert.ok(!chat.error.message.includes('sk-123'));
    await says(chat, 'two', '2: two');
    assert.deepEqual(await transcript(), texts(chat));
    await chat.sendMessage({ text: 'fail' });
    assert.equal(chat.status, 'error');
    await chat.sendMessage({ text: 'three', messageId: chat.messages.at(-2).id });
    assert.equal(text(chat.lastMessage).trim(), '3: three');
    assert.deepEqual(await transcript(), texts(chat));
  },

  async failure_and_another_try() {
    const chat = open();
    await says(chat, 'one', '1: one');
    await chat.sendMessage({ text: 'fail' });
    await chat.regenerate();
    assert.equal(chat.status, 'error');
    assert.deepEqual(await transcript(), ['user: one', 'assistant: 1: one', 'user: fail', 'assistant: 2:']);
  },

  async a_message_in_place_of_an_answer() {
    const chat = open();
    await chat.sendMessage({ text: 'use pay where' });
    await chat.sendMessage({ text: 'on' });
    assert.equal(chat.error, undefined);
    assert.match(text(chat.lastMessage), /where=.*interrupted/);
    const shown = (await load()).flatMap(tools);
    assert.deepEqual(shown.map((part) => part.state), ['output-available', 'output-available']);
    await says(await resumed(), 'three', '3: three');
  },

  async problem() {
    const chat = open();
    await says(chat, 'one', '1: one');
    await fetch(place(), { method: 'DELETE' });
    await chat.regenerate();
    assert.equal(chat.status, 'error');
    assert.match(chat.error.message, /not in this session/);
    assert.deepEqual(await stored(), []);
  },

  async files() {
    const chat = open();
    const url = `data:image/png;base64,${Buffer.from('a picture').toString('base64')}`;
    await chat.sendMessage({
      text: 'see',
      files: [{ type: 'file', mediaType: 'image/png', filename: 'map.png', url }],
    });
    assert.equal(chat.error, undefined);
    assert.match(text(chat.lastMessage), /\[image\/png 9\]/);
    const [message] = await load();
    assert.equal(message.parts.find((part) => part.type === 'file').url, url);
    const again = await resumed();
    await says(again, 'two', '2: two');
    await again.regenerate({ messageId: again.messages[1].id });
    assert.match(text(again.lastMessage), /\[image\/png 9\]/);
  },
});
