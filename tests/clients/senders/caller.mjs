// What the code around a client in Node does: it goes through a plan, and repeats by the same key
// what the client's own retries do not cover.
//
// An answer is whole when it has the length that it says; one that says to come back is no answer
// yet.

import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as pause } from 'node:timers/promises';

const TASKS = 8;
const REPEATS = 40;
const PAUSE_MS = 100;

export const headersOf = (key) => ({
  authorization: 'Bearer sk_anna',
  'content-type': 'application/json',
  'idempotency-key': `"${key}"`,
});

// Until there is an answer; what came before it is counted.
async function one(send, url, { key, body }) {
  const told = { key, failed: 0, torn: 0 };
  for (let repeat = 0; repeat < REPEATS; repeat += 1) {
    try {
      const { status, headers, content } = await send(url, key, body);
      const names = headers.map(([name]) => name.toLowerCase());
      const length = headers[names.indexOf('content-length')]?.[1];
      if (length !== String(content.length)) {
        told.torn += 1;
      } else if (!names.includes('retry-after')) {
        return { ...told, status, headers, body: content.toString('base64') };
      }
    } catch (error) {
      told.failed += 1;
      told.error = `${error.name}: ${error.code}: ${error.message}`;
    }
    await pause(PAUSE_MS);
  }
  return told;
}

// Names and values as they came, in pairs.
export const pairs = (raw) =>
  Array.from({ length: raw.length / 2 }, (_, at) => [raw[2 * at], raw[2 * at + 1]]);

export async function run(send) {
  const [url, planPath, out, rounds] = process.argv.slice(2);
  const plan = readFileSync(planPath, 'utf8').trimEnd().split('\n').map((line) => JSON.parse(line));
  const lines = [];
  for (let round = 0; round < Number(rounds); round += 1) {
    const left = [...plan];
    const task = async () => {
      while (left.length > 0) {
        lines.push(JSON.stringify({ ...(await one(send, url, left.shift())), round }));
      }
    };
    await Promise.all(Array.from({ length: TASKS }, task));
  }
  writeFileSync(out, `${lines.join('\n')}\n`);
}
