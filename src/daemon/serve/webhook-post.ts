import { request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import { rootCertificates } from 'node:tls';
import type { Delivery, WebhookRequest } from './webhook.js';

/** A receiver has to answer within this time. */
const ANSWER_MS = 10_000;

/** Statuses that say "not now": everything else from 300 on says "not this". */
const FOR_NOW = [408, 425, 429];

/**
 * Sends one event by HTTP. Redirections are not followed: the operator has named the receiver. Nothing is read of an
 * answer but its status.
 */
export function postEvent(
  { url, ca, headers, body, signal }: WebhookRequest,
  answerMs = ANSWER_MS,
): Promise<Delivery> {
  const target = new URL(url);
  const send = target.protocol === 'https:' ? requestHttps : requestHttp;
  return new Promise((resolve) => {
    const late = AbortSignal.timeout(answerMs);
    const request = send(
      target,
      {
        method: 'POST',
        // A connection of its own: the receiver may keep none open for us.
        agent: false,
        headers: { ...headers, 'content-length': String(Buffer.byteLength(body)) },
        signal: AbortSignal.any([signal, late]),
        ...(ca === undefined ? {} : { ca: [...rootCertificates, ca] }),
      },
      (answer) => {
        resolve(judge(answer.statusCode ?? 0));
        answer.destroy();
      },
    );
    request.once('error', (error: NodeJS.ErrnoException) => {
      const why = late.aborted
        ? `it did not answer within ${answerMs / 1000} s`
        : `it cannot be reached (${error.code ?? error.message})`;
      resolve({ delivered: false, why, retry: 'later' });
    });
    request.end(body);
  });
}

function judge(status: number): Delivery {
  if (status >= 200 && status < 300) return { delivered: true };
  const refused = { delivered: false, why: `it answered with status ${status}` } as const;
  if (status >= 500 || FOR_NOW.includes(status)) return { ...refused, retry: 'again' };
  if (status < 300 || status >= 400) return { ...refused, retry: 'never' };
  return {
    delivered: false,
    why: `it answered with a redirection (${status}), which is not followed: correct its "url"`,
    retry: 'never',
  };
}
