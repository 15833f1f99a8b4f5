// Sends a plan of requests with axios and axios-retry. usage: URL PLAN OUT ROUNDS
//
// By default axios-retry leaves a POST alone that was answered by a 5xx. An answer that breaks off
// within its body is the caller's to repeat in any case: it has a status.

import axios from 'axios';
import axiosRetry, { isNetworkError, isRetryableError } from 'axios-retry';

import { headersOf, pairs, run } from './caller.mjs';

const client = axios.create({ responseType: 'arraybuffer', proxy: false, timeout: 30_000 });
axiosRetry(client, {
  retries: 40,
  retryCondition: (error) => isNetworkError(error) || isRetryableError(error),
  retryDelay: (count) => Math.min(20 * 2 ** count, 500),
  shouldResetTimeout: true,
});

const answered = ({ status, data, request }) => ({
  status,
  headers: pairs(request.res.rawHeaders),
  content: Buffer.from(data),
});

await run(async (url, key, body) => {
  try {
    return answered(await client.post(url, body, { headers: headersOf(key) }));
  } catch (error) {
    // A status that axios takes for a failure is an answer like any other.
    if (error.code === 'ERR_BAD_REQUEST') {
      return answered(error.response);
    }
    throw error;
  }
});
