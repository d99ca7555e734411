// `HttpAgent` of AG-UI against the server.

import assert from 'node:assert/strict';
import { HttpAgent } from '@ag-ui/client';
import { info, place, run, shown, stored, transcript } from './support.mjs';

let number = 0;

function open(initialMessages = []) {
  return new HttpAgent({ url: `${place()}/ag-ui`, threadId: 'anything', initialMessages });
}

const load = () => shown('ag-ui');

const resumed = async () => open(await load());

const texts = (agent) =>
  agent.messages
    .filter((message) => message.content && ['user', 'assistant'].includes(message.role))
    .map((message) => `${message.role}: ${message.content.trim()}`);

function prompt(agent, content, id = `prompt-${number += 1}`) {
  agent.addMessage({ id, role: 'user', content });
}

async function says(agent, content, expected) {
  prompt(agent, content);
  await agent.runAgent();
  assert.equal(agent.messages.at(-1).content.trim(), expected);
}

// What a client that stayed shows, one that loads the session shows too.
async function showsTheSame(agent) {
  const plain = ({ role, content, toolCalls, toolCallId }) =>
    JSON.parse(JSON.stringify({ role, content: content || undefined, toolCalls, toolCallId }));
  assert.deepEqual(merged((await load()).map(plain)), merged(agent.messages.map(plain)));
}

// Text and calls of one answer are one message or two, as the client makes it.
function merged(messages) {
  return messages.flatMap(({ content, toolCalls, ...rest }) => [
    ...(content === undefined ? [] : [{ ...rest, content }]),
    ...(toolCalls ?? []).map((call) => ({ ...rest, call })),
  ]);
}

async function interrupted(agent, content) {
  prompt(agent, content);
  await agent.runAgent();
  return agent.pendingInterrupts;
}

await run({
  async conversation() {
    const agent = open();
    await says(agent, 'one', '1: one');
    await says(agent, 'two', '2: two');
    assert.deepEqual(await transcript(), texts(agent));
    await showsTheSame(agent);
  },

  async regenerate() {
    const agent = open();
    await says(agent, 'one', '1: one');
    await says(agent, 'two', '2: two');
    agent.setMessages(agent.messages.slice(0, 3));
    await agent.runAgent();
    assert.deepEqual(texts(agent), ['user: one', 'assistant: 1: one', 'user: two', 'assistant: 2: two']);
    assert.deepEqual(await transcript(), texts(agent));
    assert.equal((await info()).branches.length, 1);
  },

  async edit() {
    const agent = open();
    await says(agent, 'one', '1: one');
    await says(agent, 'two', '2: two');
    const [first] = agent.messages;
    agent.setMessages([{ ...first, content: 'ONE' }]);
    await agent.runAgent();
    assert.deepEqual(await transcript(), ['user: ONE', 'assistant: 1: ONE']);
    assert.equal((await info()).branches.length, 1);
  },

  async resume() {
    const before = open();
    await says(before, 'one', '1: one');
    await says(before, 'two', '2: two');
    const agent = await resumed();
    assert.deepEqual(texts(agent), texts(before));
    assert.deepEqual(agent.messages.map(({ id }) => id), (await stored()).map((each) => each.entry_id));
    await says(agent, 'three', '3: three');
    agent.setMessages((await load()).slice(0, 3));
    await agent.runAgent();
    assert.deepEqual(await transcript(), ['user: one', 'assistant: 1: one', 'user: two', 'assistant: 2: two']);
  },

  async stop() {
    const agent = open();
    await says(agent, 'one', '1: one');
    prompt(agent, 'wait');
    await agent.runAgent({}, { onTextMessageContentEvent: () => agent.abortRun() }).catch(() => {});
    for (let round = 0; round < 200 && (await stored()).length < 4; round += 1);
    assert.equal((await stored())[3].state, 'interrupted');
    await says(agent, 'two', '3: two');
    assert.deepEqual(await transcript(), texts(agent));
    assert.equal((await info()).branches.length, 0);
  },

  async tools() {
    const agent = open();
    prompt(agent, 'use look nothing');
    const { newMessages } = await agent.runAgent();
    assert.equal(agent.messages.at(-1).content, "It gave look={'seen': 1}, nothing=None");
    assert.equal(newMessages.filter(({ role }) => role === 'tool').length, 2);
    await showsTheSame(agent);
    await says(agent, 'two', '2: two');
    const later = await resumed();
    await says(later, 'three', '3: three');
    assert.equal((await stored()).length, 8);
    later.setMessages((await load()).slice(0, 1));
    await later.runAgent();
    assert.equal((await stored()).length, 4);
  },

  async thinking() {
    const agent = open();
    prompt(agent, 'think');
    await agent.runAgent();
    assert.equal(agent.messages.find(({ role }) => role === 'reasoning').content, 'Hm, well.');
    await showsTheSame(agent);
    await says(agent, 'one', '2: one');
    await says(await resumed(), 'two', '3: two');
  },

  async approval() {
    for (const reload of [false, true])
      for (const approved of [true, false]) {
        let agent = (await stored()).length ? await resumed() : open();
        const [interrupt] = await interrupted(agent, 'use pay look');
        assert.ok(interrupt);
        if (reload) agent = await resumed();
        const payload = approved ? { approved } : { approved, reason: 'Too much.' };
        const resume = [{ interruptId: interrupt.id, status: 'resolved', payload }];
        await agent.runAgent({ resume });
        assert.match(agent.messages.at(-1).content, approved ? /pay=paid 1/ : /pay=.*(denied|Too much)/);
        assert.deepEqual(agent.pendingInterrupts, []);
      }
    assert.equal((await info()).branches.length, 0);
    await says(await resumed(), 'on', '5: on');
  },

  async tool_of_the_client() {
    const tools = [{ name: 'locate', description: 'Say where.', parameters: { type: 'object', properties: { n: { type: 'number' } } } }];
    for (const name of ['locate', 'where'])
      for (const reload of [false, true]) {
        let agent = (await stored()).length ? await resumed() : open();
        prompt(agent, `use ${name}`);
        await agent.runAgent({ tools });
        if (reload) agent = await resumed();
        const call = agent.messages.flatMap(({ toolCalls }) => toolCalls ?? []).at(-1);
        assert.equal(call.function.name, name);
        agent.addMessage({ id: `tool-${call.id}`, role: 'tool', toolCallId: call.id, content: 'Shadowglen' });
        await agent.runAgent({ tools });
        assert.equal(agent.messages.at(-1).content, `It gave ${name}=Shadowglen`);
      }
    assert.equal((await info()).branches.length, 0);
    await says(await resumed(), 'on', '5: on');
  },

  async a_message_in_place_of_an_answer() {
    const agent = open();
    await interrupted(agent, 'use pay');
    const later = await resumed();
    prompt(later, 'on');
    await later.runAgent();
    assert.match(later.messages.at(-1).content, /pay=.*interrupted/);
    await says(await resumed(), 'three', '3: three');
  },

  async failure() {
    const agent = open();
    prompt(agent, 'fail');
    let told;
    await agent.runAgent({}, { onRunErrorEvent: ({ event }) => { told = event.message; } }).catch((error) => { told ??= error.message; });
    assert.match(told, /The agent failed/);
    assert.ok(!told.includes('sk-123'));
    await says(agent, 'two', '2: two');
    assert.deepEqual(await transcript(), texts(agent));
  },

  async problem() {
    const agent = open();
    await says(agent, 'one', '1: one');
    await assert.rejects(agent.runAgent(), /422|new message/);
    await says(agent, 'two', '2: two');
  },

  async files() {
    const agent = open();
    const value = Buffer.from('a picture').toString('base64');
    prompt(agent, [
      { type: 'text', text: 'see' },
      { type: 'image', source: { type: 'data', mimeType: 'image/png', value } },
    ]);
    await agent.runAgent();
    assert.match(agent.messages.at(-1).content, /see \[image\/png 9\]/);
    const [message] = await load();
    assert.equal(message.content.at(-1).source.value, value);
    await says(await resumed(), 'two', '2: two');
  },
});
