// What the clients share: the server's own view of a session, and running the scenarios.

import assert from 'node:assert/strict';
import { inspect } from 'node:util';

const [base, client] = process.argv.slice(2);
let session;

export const place = () => `${base}/sessions/${session}`;

async function get(path) {
  const response = await fetch(`${place()}${path}`);
  if (response.status === 404) return undefined;
  assert.equal(response.status, 200, await response.clone().text());
  return response.json();
}

export const info = () => get('/info');

// The messages as they are stored; none if there is no session.
export const stored = async () => (await get('/messages'))?.messages ?? [];

// The messages as a front end loads them.
export const shown = async (format) => (await get(`/messages?format=${format}`)).messages;

export const transcript = async () =>
  (await get('')).messages.map(({ role, content }) => `${role}: ${content.trim()}`);

// Runs each scenario in a session of its name; prints what went wrong in each, as JSON.
export async function run(scenarios) {
  const wrong = {};
  for (const [name, scenario] of Object.entries(scenarios)) {
    session = `${client}-${name}`;
    wrong[name] = await scenario().then(() => null, (error) => inspect(error, { depth: 6 }));
  }
  process.stdout.write(JSON.stringify(wrong));
}
