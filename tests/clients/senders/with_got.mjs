// Sends a plan of requests with got, which retries POST when it is told to. usage: URL PLAN OUT
// ROUNDS

import got from 'got';

import { headersOf, pairs, run } from './caller.mjs';

const client = got.extend({
  method: 'POST',
  responseType: 'buffer',
  throwHttpErrors: false,
  timeout: { request: 30_000 },
  retry: {
    limit: 40,
    methods: ['POST'],
    statusCodes: [429, 500, 502, 503, 504],
    backoffLimit: 300,
  },
});

await run(async (url, key, body) => {
  const response = await client(url, { body, headers: headersOf(key) });
  const headers = pairs(response.rawHeaders);
  return { status: response.statusCode, headers, content: Buffer.from(response.rawBody) };
});
