import { createHmac, createSecretKey } from 'node:crypto';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { inspect, isDeepStrictEqual } from 'node:util';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { readServeFile } from '../../src/daemon/serve/serve-file.js';
import type { Delivery, WebhookConfig, WebhookDeps, WebhookRequest } from '../../src/daemon/serve/webhook.js';
import { postEvent } from '../../src/daemon/serve/webhook-post.js';
import { Webhooks } from '../../src/daemon/serve/webhooks.js';
import type { NewEvent } from '../../src/telemetry/events/event-document.js';
import { EventHub } from '../../src/telemetry/events/event-hub.js';
import { makeCertificate } from '../helpers/certificates.js';

const SECRET = 'a-secret-for-tests-only';
const LIMITS = { events: 8, characters: 1_000_000 };

function event(n: number, more: Partial<NewEvent> = {}): NewEvent {
  return { kind: 'quirk', level: 'info', message: `event ${n}`, fields: { n }, ...more };
}

function config(url: string, more: Partial<WebhookConfig> = {}): WebhookConfig {
  return { name: 'alerts', url, secret: createSecretKey(SECRET, 'utf8'), filter: {}, ...more };
}

/** Webhooks that wait for nothing but the network. */
function made(t: Test, deps: Partial<WebhookDeps> = {}) {
  const hub = new EventHub(LIMITS);
  const log: string[] = [];
  const pauses: number[] = [];
  const logger = pino({ level: 'info' }, { write: (line: string) => void log.push(line) });
  const webhooks = new Webhooks(hub, logger, {
    pause: async (ms) => {
      pauses.push(ms);
      await new Promise((resolve) => setImmediate(resolve));
    },
    random: () => 0.5,
    ...deps,
  });
  t.teardown(() => webhooks.end());
  return { hub, webhooks, log, pauses };
}

type Handler = (body: string, request: IncomingMessage, response: ServerResponse) => void;

/** A receiver on a port of its own; `handle` may be replaced. */
async function receiver(t: Test, first: Handler) {
  const state = { handle: first };
  const server = createServer((request, response) => {
    let body = '';
    request.setEncoding('utf8').on('data', (part: string) => {
      body += part;
    });
    request.on('end', () => state.handle(body, request, response));
  });
  const url = await listen(server);
  t.teardown(() => close(server));
  return { state, server, url: `http://${url}/hook` };
}

function listen(server: Server, port = 0): Promise<string> {
  return new Promise((resolve) =>
    server.listen(port, '127.0.0.1', () => resolve(`127.0.0.1:${(server.address() as AddressInfo).port}`)),
  );
}

function close(server: Server): Promise<void> {
  server.closeAllConnections();
  return new Promise((resolve) => server.close(() => resolve()));
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test('events come in order, each signed over time and body', async (t) => {
  const got: { body: string; headers: IncomingMessage['headers'] }[] = [];
  const { url } = await receiver(t, (body, { headers }, response) => {
    got.push({ body, headers });
    response.writeHead(204).end();
  });
  const { hub, webhooks, log } = made(t);
  hub.publish(event(0));
  webhooks.configure([config(url, { filter: { kinds: ['quirk'] } })]);
  for (let n = 1; n <= 3; n++) hub.publish(event(n));
  hub.publish(event(4, { kind: 'advisory' }));
  hub.publish(event(5));
  await until(() => got.length === 4);
  t.same(
    got.map(({ body }) => JSON.parse(body).message),
    ['event 1', 'event 2', 'event 3', 'event 5'],
    'those that it wants, from its beginning on',
  );
  const [{ body, headers }] = got as [(typeof got)[0]];
  t.match(headers, {
    'content-type': 'application/json',
    'x-culvert-event': 'quirk',
    'x-culvert-event-id': JSON.parse(body).id,
  });
  const [, seconds, signature] = /^t=([0-9]+),v1=([0-9a-f]{64})$/.exec(
    String(headers['x-culvert-signature']),
  )!;
  t.equal(signature, createHmac('sha256', SECRET).update(`${seconds}.${body}`).digest('hex'));
  t.ok(Math.abs(Date.now() / 1000 - Number(seconds)) < 600);
  t.same(log, []);
});

t.test(
  'a receiver that fails, is away and comes back gets everything once, and is reported twice',
  async (t) => {
    const got: string[] = [];
    let refusals = 3;
    const { state, server, url } = await receiver(t, (_body, _request, response) => {
      response.writeHead(refusals-- > 1 ? 503 : 429).end();
    });
    const { hub, webhooks, log, pauses } = made(t);
    webhooks.configure([config(url)]);
    hub.publish(event(1));
    await until(() => refusals <= 0);
    const port = Number(new URL(url).port);
    await close(server);
    const tried = pauses.length;
    await until(() => pauses.length > tried + 12);
    t.same(pauses.slice(0, 8), [1000, 2000, 4000, 8000, 16_000, 32_000, 60_000, 60_000], 'ever more seldom');
    state.handle = (body, _request, response) => {
      got.push(JSON.parse(body).kind);
      response.writeHead(200).end();
    };
    await listen(server, port);
    await until(() => got.includes('webhook-recovered'));
    t.same(got, ['quirk', 'webhook-failing', 'webhook-recovered']);
    const messages = log.map((line) => JSON.parse(line).msg);
    t.match(messages, [
      'webhook alerts fails: it answered with status 503; it is tried again',
      'webhook alerts takes events again',
    ]);
  },
);

t.test('what is refused for good is given up; a redirection is not followed', async (t) => {
  const got: string[] = [];
  let elsewhere = 0;
  const other = await receiver(t, (_body, _request, response) => {
    elsewhere++;
    response.end();
  });
  const { url } = await receiver(t, (body, _request, response) => {
    const { fields, kind } = JSON.parse(body);
    got.push(kind === 'quirk' ? `event ${fields.n}` : kind);
    if (fields.n === 1) response.writeHead(400).end();
    else if (fields.n === 2) response.writeHead(307, { location: other.url }).end();
    else if (fields.n === 3) response.writeHead(500).end();
    else response.end();
  });
  const { hub, webhooks, log } = made(t);
  webhooks.configure([config(url, { filter: { kinds: ['quirk', 'webhook-recovered'] } })]);
  for (let n = 1; n <= 4; n++) hub.publish(event(n));
  await until(() => got.includes('webhook-recovered'));
  t.same(got, ['event 1', 'event 2', ...Array(12).fill('event 3'), 'event 4', 'webhook-recovered']);
  t.equal(elsewhere, 0);
  const messages = log.map((line) => JSON.parse(line));
  t.equal(messages.filter(({ msg }) => msg === 'webhook alerts: an event is given up').length, 3);
  t.match(messages.at(-1), { msg: 'webhook alerts takes events again', dropped: 3 });
});

t.test(
  'a receiver that never answers holds up nothing but itself, and memory stays what it is',
  async (t) => {
    const got: string[] = [];
    const { url } = await receiver(t, (body, _request, response) => {
      got.push(JSON.parse(body).message);
      response.end();
    });
    let silent: (() => void) | undefined;
    const asked: WebhookRequest[] = [];
    const { hub, webhooks } = made(t, {
      post: (request) => {
        if (request.url === url) return postEvent(request);
        asked.push(request);
        if (asked.length > 1) return Promise.resolve<Delivery>({ delivered: true });
        return new Promise((resolve) => {
          silent = () => resolve({ delivered: true });
        });
      },
    });
    webhooks.configure([config('http://127.0.0.1:1/', { name: 'silent' }), config(url)]);
    for (let n = 1; n <= 20; n++) {
      hub.publish(event(n));
      await until(() => got.length === n);
    }
    t.equal(asked.length, 1, 'one attempt at a time');
    silent?.();
    await until(() => asked.length === 10);
    const messages = asked.map(({ body }) => JSON.parse(body).message);
    t.match(messages.slice(0, 3), ['event 1', /^11 events were overwritten/, 'event 13']);
    t.equal(messages.at(-1), 'event 20');
  },
);

t.test('a receiver that is too slow is one that does not answer', async (t) => {
  const { url } = await receiver(t, () => undefined);
  const headers = { 'content-type': 'application/json' };
  const { signal } = new AbortController();
  t.same(await postEvent({ url, headers, body: '{}', signal }, 50), {
    delivered: false,
    why: 'it did not answer within 0.05 s',
    retry: 'later',
  });
  const gone = await postEvent({ url: 'http://127.0.0.1:1/', headers, body: '{}', signal });
  t.match(gone, { delivered: false, why: 'it cannot be reached (ECONNREFUSED)', retry: 'later' });
});

t.test('by HTTPS the certificate counts', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-hook-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const files = makeCertificate(folder);
  const [cert, key] = [readFileSync(files.certificate, 'utf8'), readFileSync(files.key, 'utf8')];
  const server = createTlsServer({ cert, key }, (_request, response) => void response.end());
  const url = `https://${await listen(server)}/`;
  t.teardown(() => close(server));
  const { signal } = new AbortController();
  const request = { url, headers: {}, body: '{}', signal };
  t.match(await postEvent(request), { delivered: false, why: /^it cannot be reached \(.*CERT.*\)$/ });
  t.same(await postEvent({ ...request, ca: cert }), { delivered: true });
});

t.test('another configuration: what is not changed goes on, the others begin or end', async (t) => {
  const got: string[] = [];
  const { url } = await receiver(t, (body, { url: path }, response) => {
    got.push(`${path} ${JSON.parse(body).message}`);
    response.end();
  });
  const { hub, webhooks } = made(t);
  const [first, second] = [config(`${url}/1`, { name: 'one' }), config(`${url}/2`, { name: 'two' })];
  webhooks.configure([first, second]);
  webhooks.configure([config(`${url}/1`, { name: 'one' }), config(`${url}/3`, { name: 'two' })]);
  t.equal(hub.subscribers, 2);
  hub.publish(event(1));
  await until(() => got.length === 2);
  t.same(got.sort(), ['/hook/1 event 1', '/hook/3 event 1']);
  await webhooks.end();
  t.equal(hub.subscribers, 0);
});

const SITE = `vpcs: [{ name: v }]\nsubnets: [{ name: s, vpc: v, cidr: 10.1.0.0/24, public_addresses: [] }]\n`;

t.test('webhooks in the file of the server', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-hook-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  writeFileSync(join(folder, 'secret'), `${SECRET}\n`, { mode: 0o600 });
  const read = (entries: string) => readServeFile(`${SITE}webhooks: ${entries}\n`, join(folder, 'site.yaml'));
  const wrong = (entry: string): string => {
    const result = read(`[{ name: a, url: "https://hooks.example/", secret: ${SECRET}, ${entry} }]`);
    return result.ok ? 'no error' : result.error.map(({ path, message }) => `${path}: ${message}`).join('\n');
  };
  const good = read(
    `[{ name: a, url: "https://hooks.example/x?token=y", secret_file: secret, kinds: [connection-status], level: warn }]`,
  );
  if (!good.ok) throw new Error(JSON.stringify(good.error));
  const [hook] = good.value.webhooks;
  t.match(hook, {
    name: 'a',
    url: 'https://hooks.example/x?token=y',
    filter: { kinds: ['connection-status'], level: 'warn' },
  });
  t.notMatch(inspect(good.value.webhooks, { depth: 9 }) + JSON.stringify(good.value.webhooks), SECRET);
  const other = read(
    `[{ name: a, url: "https://hooks.example/x?token=y", secret: ${SECRET}, kinds: [connection-status], level: warn }]`,
  );
  t.ok(other.ok && isDeepStrictEqual(other.value.webhooks, good.value.webhooks), 'the same, and no change');
  const changed = read(
    `[{ name: a, url: "https://hooks.example/x?token=y", secret: another-secret-of-16, kinds: [connection-status], level: warn }]`,
  );
  t.ok(
    changed.ok && !isDeepStrictEqual(changed.value.webhooks, good.value.webhooks),
    'another secret is a change',
  );
  const loopback = read(
    `[{ name: a, url: "http://127.0.0.1:9000/", secret: ${SECRET} }, { name: b, url: "http://10.0.0.1/", secret: ${SECRET}, plain_http: true }]`,
  );
  t.ok(loopback.ok);

  t.match(
    wrong('kinds: [conection-status]'),
    /webhooks\[0\]\.kinds\[0\]: .* did you mean "connection-status"\?/,
  );
  t.match(wrong('colour: blue'), /webhooks\[0\]\.colour: is not a known field/);
  t.match(wrong('ca_file: none'), /webhooks\[0\]\.ca_file: "none" cannot be read \(ENOENT\)/);
  t.match(wrong('secret_file: secret'), /webhooks\[0\]: needs either "secret" or "secret_file"/);
  const entry = (text: string): string => {
    const result = read(`[{ name: a, ${text} }]`);
    return result.ok ? 'no error' : result.error.map(({ path, message }) => `${path}: ${message}`).join('\n');
  };
  t.match(
    entry(`url: "http://hooks.example/t0ken", secret: ${SECRET}`),
    /webhooks\[0\]\.url: would send events in the clear/,
  );
  t.match(
    entry(`url: "https://ann:pass@hooks.example/", secret: ${SECRET}`),
    /webhooks\[0\]\.url: contains a user/,
  );
  t.match(entry(`url: "ftp://hooks.example/t0ken", secret: ${SECRET}`), /webhooks\[0\]\.url: is no URL/);
  t.match(
    entry('url: "https://hooks.example/", secret: short-one'),
    /webhooks\[0\]\.secret: has fewer than 16/,
  );
  t.match(
    entry('url: "https://hooks.example/", secret: 1234567890123456'),
    /webhooks\[0\]\.secret: needs a text/,
  );
  t.match(entry('url: "https://hooks.example/"'), /needs either "secret" or "secret_file"/);
  for (const text of [
    `url: "http://hooks.example/t0ken", secret: ${SECRET}`,
    'url: "https://hooks.example/", secret: 1234567890123456',
    'url: "https://hooks.example/", secret: [short-one]',
  ]) {
    t.notMatch(entry(text), /t0ken|1234567890123456|short-one/, 'no secret is repeated');
  }
  const twin = `{ name: a, url: "https://hooks.example/", secret: ${SECRET} }`;
  const twice = read(`[${twin}, ${twin}]`);
  t.match(twice.ok ? [] : twice.error, [
    { path: 'webhooks[1].name', message: /is the name of webhooks\[0\] already/ },
  ]);
  chmodSync(join(folder, 'secret'), 0o644);
  t.match(
    entry('url: "https://hooks.example/", secret_file: secret'),
    /webhooks\[0\]\.secret_file: "secret" .* chmod 600/,
  );
});
