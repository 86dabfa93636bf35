import { mkdtempSync, rmSync } from 'node:fs';
import { request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { MessageReader } from '../../src/cli/vpn/message-reader.js';
import { ApiLab, IKE, type LabOptions, policyConnection } from '../helpers/api-lab.js';
import { EDITOR, TWO_ROLES, VIEWER } from '../helpers/two-roles.js';

const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

// biome-ignore lint/suspicious/noExplicitAny: tests reach into events of every form
type Document = any;

/** Events that the server keeps. */
async function kept(lab: ApiLab, query = ''): Promise<Document[]> {
  const answer = await lab.server.app.inject({
    method: 'GET',
    url: `/culvert/v1/events?follow=false${query}`,
    headers: { host: 'localhost', authorization: `Bearer ${VIEWER}` },
  });
  if (answer.statusCode !== 200) throw new Error(answer.payload);
  return new MessageReader()
    .push(answer.payload)
    .flatMap(({ data }) => (data === undefined ? [] : [JSON.parse(data)]));
}

const line = ({ kind, message }: Document): string => `${kind}: ${message}`;

interface OpenStream {
  readonly status: number;
  readonly headers: Readonly<Record<string, unknown>>;
  readonly events: Document[];
  readonly ids: string[];
  readonly ended: Promise<void>;
  end(): void;
}

/** A lab that listens at a Unix socket, and streams from it. */
async function listening(t: Test, options: LabOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-events-'));
  const lab = await ApiLab.open(t, options);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const open = (query = '', headers: Readonly<Record<string, string>> = {}): Promise<OpenStream> =>
    new Promise((resolve, reject) => {
      const path = `/culvert/v1/events${query}`;
      const sent = request({ socketPath, path, headers: { host: 'localhost', ...headers } }, (answer) => {
        const reader = new MessageReader();
        const stream = { events: [] as Document[], ids: [] as string[] };
        answer.setEncoding('utf8').on('data', (text: string) => {
          for (const { id, data } of reader.push(text)) {
            if (id !== undefined) stream.ids.push(id);
            if (data !== undefined) stream.events.push(JSON.parse(data));
          }
        });
        answer.on('error', () => undefined);
        const ended = new Promise<void>((over) => answer.once('close', () => over()));
        const { statusCode: status = 0, headers: given } = answer;
        resolve({ ...stream, status, headers: given, ended, end: () => sent.destroy() });
      });
      sent.once('error', reject).end();
    });
  return { lab, socketPath, open };
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
}

t.test('changes of objects are events, with who made them, their gateway and without any key', async (t) => {
  const lab = await ApiLab.open(t, { auth: TWO_ROLES });
  // The health of the gateway is looked at in its own time.
  const objects = async (query?: string): Promise<Document[]> =>
    (await kept(lab, query)).filter(({ kind }) => kind !== 'gateway-health');
  const { id: policy } = (await lab.post('/ike_policies', { ...IKE, name: 'strong' }, bearer(EDITOR))).body;
  const gateway = { name: 'west', subnet: { id: '0717-sub' }, mode: 'policy' };
  const { id } = (await lab.post('/vpn_gateways', gateway, bearer(EDITOR))).body;
  const stable = async () =>
    (await lab.get(`/vpn_gateways/${id}`, bearer(EDITOR))).body.lifecycle_state === 'stable';
  await lab.until(stable);
  const path = `/vpn_gateways/${id}/connections`;
  const made = (await lab.post(path, policyConnection(1), bearer(EDITOR))).body;
  await lab.patch(`${path}/${made.id}`, { psk: 'another-key-of-mine' }, bearer(EDITOR));
  await lab.delete(`/ike_policies/${policy}`, bearer(EDITOR));
  const events = await objects();
  t.same(events.map(line), [
    'object-created: ike policy strong was made by ed',
    'object-created: vpn gateway west was made by ed',
    'object-changed: vpn gateway west was changed by culvert',
    'object-created: vpn gateway connection connection-1 was made by ed',
    'object-changed: vpn gateway connection connection-1 was changed by ed',
    'object-deleted: ike policy strong was deleted by ed',
  ]);
  t.match(events[3], {
    level: 'info',
    gateway: { id, name: 'west' },
    connection: { id: made.id, name: 'connection-1' },
    fields: { resource_type: 'vpn_gateway_connection', who: 'ed', action: 'is.vpn.vpn-connection.create' },
  });
  t.notMatch(JSON.stringify(events), /lkj14b1oi0alcniejkso|another-key-of-mine/);
  t.same((await objects('&gateway=west&kind=object-changed')).length, 2);
  t.same((await objects(`&connection=${made.id}`)).length, 2);
  t.same((await objects('&gateway=east')).length, 0);
  t.same((await objects('&level=warn')).length, 0);
  t.same((await objects(`&last_event_id=${events[4].id}`)).map(line), events.slice(5).map(line));
  t.same((await objects('&since=2199-01-01T00:00:00Z')).length, 0);
  t.same((await objects('&since=2020-01-01T00:00:00%2B01:00')).length, 6);

  await lab.delete(`/vpn_gateways/${id}`, bearer(EDITOR));
  await lab.until(async () => (await lab.get(`/vpn_gateways/${id}`, bearer(EDITOR))).status === 404);
  const gone = await objects(`&last_event_id=${events[5].id}`);
  t.match(
    gone.find(({ kind, connection }) => kind === 'object-deleted' && connection !== undefined),
    {
      gateway: { id, name: 'west' },
      connection: { name: 'connection-1' },
    },
  );
});

t.test('every event fits the schema of the document', async (t) => {
  const lab = await ApiLab.open(t, { auth: TWO_ROLES });
  await lab.post('/ike_policies', { ...IKE, name: 'strong' }, bearer(EDITOR));
  const document = lab.server.app.swagger() as unknown as {
    paths: Record<string, { get: { responses: Record<number, { content: Record<string, object> }> } }>;
    components: { schemas: { Event: { required: string[]; properties: object } } };
  };
  const { content } = document.paths['/culvert/v1/events']!.get.responses[200]!;
  t.same(content, { 'text/event-stream': { schema: { $ref: '#/components/schemas/Event' } } });
  const { required, properties } = document.components.schemas.Event;
  for (const event of await kept(lab)) {
    t.same(
      required.filter((name) => !(name in event)),
      [],
    );
    t.same(
      Object.keys(event).filter((name) => !(name in properties)),
      [],
    );
  }
});

t.test('requests that cannot be fulfilled are refused in the usual form', async (t) => {
  const lab = await ApiLab.open(t, { auth: TWO_ROLES });
  const cases: readonly (readonly [query: string, code: string, name: string, message: RegExp])[] = [
    ['kind=ike-establishd', 'validation_enum', 'kind', /did you mean "ike-established"\?/],
    ['kind=message', 'validation_enum', 'kind', /no kind of event "message"/],
    ['level=debug', 'validation_enum', 'level', /info, warn/],
    ['gateway=', 'validation_failure', 'gateway', /empty/],
    ['last_event_id=7', 'bad_request', 'last_event_id', /take it from the stream/],
    ['since=yesterday', 'validation_failure', 'since', /write it as/],
    ['follow=maybe', 'validation_invalid_field_type', 'follow', /true nor false/],
  ];
  for (const [query, code, name, message] of cases) {
    const answer = await lab.get(`/events?${query}`, { prefix: '/culvert/v1', ...bearer(VIEWER) });
    t.match(
      answer,
      { status: 400, body: { errors: [{ code, message, target: { name, type: 'parameter' } }] } },
      query,
    );
  }
  const headers = { ...bearer(VIEWER).headers, 'last-event-id': 'x' };
  t.match(await lab.get('/events', { prefix: '/culvert/v1', headers }), {
    status: 400,
    body: { errors: [{ target: { name: 'Last-Event-ID', type: 'header' } }] },
  });
  t.match(await lab.get('/events', { prefix: '/culvert/v1' }), { status: 401 });
  const audited = await lab.get('/audit?action=culvert.event', { prefix: '/culvert/v1', ...bearer(VIEWER) });
  t.match(audited.body.entries, [
    { action: 'culvert.event.list', outcome: 'failure', initiator: { name: 'vi' } },
  ]);
});

t.test(
  'a stream goes on, is resumed where it was, and after a restart says that something is missing',
  async (t) => {
    const { lab, open } = await listening(t);
    const make = (name: string) => lab.post('/ike_policies', { ...IKE, name });
    const first = await open();
    t.equal(first.status, 200);
    t.match(first.headers, {
      'content-type': /^text\/event-stream/,
      'cache-control': 'no-store',
      'x-request-id': /./,
    });
    await make('one');
    await until(() => first.events.length === 1);
    t.same(first.events.map(line), ['object-created: ike policy one was made by anonymous']);
    first.end();
    await make('two');
    await make('three');
    const second = await open('', { 'last-event-id': first.ids.at(-1)! });
    await until(() => second.events.length === 2);
    t.same(
      second.events.map(({ fields }) => fields.name),
      ['two', 'three'],
    );
    second.end();
    const other = await listening(t);
    await other.lab.post('/ike_policies', { ...IKE, name: 'four' });
    const third = await other.open('', { 'last-event-id': second.ids.at(-1)! });
    await until(() => third.events.length === 2);
    t.match(third.events, [
      { kind: 'gap', level: 'warn', fields: { reason: 'restarted' } },
      { fields: { name: 'four' } },
    ]);
    third.end();
  },
);

t.test('the health of a gateway when it changes, with the reason', async (t) => {
  const { lab, open } = await listening(t);
  const stream = await open('?kind=gateway-health');
  const id = await lab.gateway('west');
  await until(() => stream.events.length === 1);
  t.match(stream.events.shift(), { fields: { health_state: 'ok', before: 'inapplicable' } }, 'a new one');
  lab.runner.setFault(id, 0, { kind: 'silent', message: 'process 7' });
  lab.runner.setState(id, 'down');
  await until(() => stream.events.length === 1);
  lab.runner.setState(id, 'running');
  await until(() => stream.events.length === 2);
  t.match(stream.events, [
    {
      level: 'warn',
      gateway: { id, name: 'west' },
      message: /^the health of the gateway is faulted, it was ok: .*does not answer: process 7/,
      fields: { health_state: 'faulted', before: 'ok', health_reasons: [{ code: 'internal_error' }] },
    },
    { level: 'info', fields: { health_state: 'ok', before: 'faulted' } },
  ]);
  stream.end();
});

t.test('streams are bounded, and end when credentials change and when the server ends', async (t) => {
  const { lab, open } = await listening(t);
  const streams = [];
  for (let n = 0; n < 16; n++) streams.push(await open());
  const refused = await open();
  t.equal(refused.status, 429);
  t.match(refused.headers, { 'retry-after': '10' });
  streams[0]!.end();
  await streams[0]!.ended;
  let again = await open();
  while (again.status === 429) again = await open();
  t.equal(again.status, 200, 'one that ended makes room');
  lab.server.replace({ site: lab.site, tokens: [], apiKeys: [] });
  await Promise.all([...streams, again].map(({ ended }) => ended));
  const last = await open();
  t.equal(last.status, 200, 'who may still read comes back');
  await lab.server.stop();
  await last.ended;
});
