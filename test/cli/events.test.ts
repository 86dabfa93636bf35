import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { eventLine } from '../../src/cli/event-line.js';
import { plainStyle } from '../../src/cli/style.js';
import { ApiClient } from '../../src/cli/vpn/api-client.js';
import { readEvents } from '../../src/cli/vpn/event-source.js';
import { MessageReader } from '../../src/cli/vpn/message-reader.js';
import { listenControl } from '../../src/daemon/control/server.js';
import type { EventDocument, NewEvent } from '../../src/telemetry/events/event-document.js';
import { ApiLab, IKE } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { openMemoryStore } from '../helpers/memory-store.js';

function folderOf(t: Test): string {
  const path = mkdtempSync(join(tmpdir(), 'culvert-events-'));
  t.teardown(() => rmSync(path, { recursive: true, force: true }));
  return path;
}

const status = (n: number, more: Partial<NewEvent> = {}): NewEvent => ({
  ...{
    kind: 'connection-status',
    level: 'warn',
    message: `c is down: reason ${n}`,
    fields: { status: 'down' },
  },
  gateway: { name: 'g' },
  connection: { id: 'id-of-c', name: 'c' },
  ...more,
});

t.test('events of a daemon with a file of its own', async (t) => {
  const control = join(folderOf(t), 'c.sock');
  const server = await listenControl(control, pino({ level: 'silent' }));
  const daemon = new FakeDaemon();
  server.serve(daemon);
  const events = (...argv: string[]) => commandLine('events', '--control', control, ...argv);
  t.match(await events(), { code: 0, out: '', err: '' });
  daemon.hub.publish(status(1, { time: '2026-11-30T08:00:00.000Z' }));
  daemon.hub.publish(status(2, { time: '2026-11-30T09:00:00.000Z', kind: 'quirk', level: 'info' }));
  t.equal(
    (await events()).out,
    '2026-11-30T08:00:00.000Z warn connection-status g/c: c is down: reason 1\n' +
      '2026-11-30T09:00:00.000Z info quirk g/c: c is down: reason 2\n',
  );
  const json = (await events('--kind', 'quirk', '--output', 'json')).out.trim().split('\n');
  t.match(
    json.map((text) => JSON.parse(text)),
    [{ kind: 'quirk', id: daemon.hub.idOf(2), connection: { name: 'c' } }],
  );
  t.match((await events('--since', '2026-11-30T08:30:00Z')).out, /^[^\n]*reason 2\n$/);
  t.match((await events('--last-event-id', daemon.hub.idOf(1))).out, /^[^\n]*reason 2\n$/);
  t.match(
    (await events('--last-event-id', '0000000000001-000000000001')).out,
    /^\S+ warn gap events before the start/,
  );
  t.match(await events('--gateway', 'g'), { code: 2, err: /a daemon has one, leave it out/ });
  t.match(await events('--kind', 'quirc'), {
    code: 2,
    err: /--kind does not take "quirc"; did you mean "quirk"\?/,
  });
  t.match(await events('--since', 'noon'), { code: 2, err: /--since does not take "noon": write 30s/ });
  t.match(await events('--since', '1m', '--last-event-id', 'x'), { code: 2, err: /give one of them/ });
  t.match(await events('--last-event-id', 'x'), { code: 1, err: /neither "oldest" nor the id of an event/ });
  const following = events('--follow', '--since', '2026-11-30T08:30:00Z');
  while (daemon.hub.subscribers === 0) await new Promise((resolve) => setTimeout(resolve, 5));
  daemon.hub.publish(status(3, { time: '2026-11-30T10:00:00.000Z' }));
  await new Promise((resolve) => setTimeout(resolve, 20));
  await server.close();
  const { code, out, err } = await following;
  t.equal(code, 1);
  t.match(out, /reason 2\n.*reason 3\n$/);
  t.match(err, /the daemon has ended/);
});

t.test('events of a server, followed over its restart', async (t) => {
  const endpoint = `unix:${join(folderOf(t), 'api.sock')}`;
  const store = openMemoryStore();
  const listening = async (): Promise<ApiLab> => {
    const lab = await ApiLab.open({ teardown: () => undefined }, { store });
    await lab.server.listen({ socketPath: endpoint.slice(5) });
    return lab;
  };
  const events = (...argv: string[]) => commandLine('events', '--endpoint', endpoint, ...argv);
  t.match(await events(), { code: 1, err: /no server: there is no socket/ });
  const lab = await listening();
  await lab.post('/ike_policies', { ...IKE, name: 'one' });
  t.match(await events(), {
    code: 0,
    out: /^\S+ info object-created ike policy one was made by anonymous\n$/,
  });
  t.match(await events('--kind', 'quirk', '--kind', 'gap', '--gateway', 'g'), { code: 0, out: '' });
  t.match(await events('--last-event-id', 'x'), { code: 1, err: /is not the id of an event/ });

  const seen: EventDocument[] = [];
  let lost = 0;
  const stop = new AbortController();
  const api = new ApiClient({ endpoint, seconds: 5 });
  const following = readEvents(api, {
    ...{ query: new URLSearchParams({ follow: 'true' }), follow: true, signal: stop.signal },
    take: (event) => void seen.push(event),
    lost: () => void lost++,
  });
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition()) await new Promise((resolve) => setTimeout(resolve, 5));
  };
  while (seen.length === 0) {
    // Until the stream is open nothing comes.
    const { body } = await lab.post('/ike_policies', { ...IKE, name: 'two' });
    if (body.id !== undefined) await lab.delete(`/ike_policies/${body.id}`);
  }
  await lab.server.stop();
  await until(() => lost === 1);
  const next = await listening();
  await next.post('/ike_policies', { ...IKE, name: 'three' });
  await until(() => seen.some(({ fields }) => fields.name === 'three'));
  const gap = seen.findIndex(({ kind }) => kind === 'gap');
  t.match(seen.slice(gap), [{ kind: 'gap', fields: { reason: 'restarted' } }, { message: /three was made/ }]);
  stop.abort();
  await following;
  await next.server.stop();
  await store.close();
});

t.test('messages are put together from pieces', async (t) => {
  const reader = new MessageReader();
  const text = ': culvert\r\nretry: 2000\r\nid: 1\r\n\r\nid: 2\ndata: {"a":\ndata: 1}\n\n: still here\n\n';
  const messages = [...text].flatMap((one) => reader.push(one));
  t.same(messages, [{ id: '1' }, { id: '2', data: '{"a":\n1}' }, {}]);
  t.throws(() => new MessageReader().push('x'.repeat(2_000_000)), /no end/);
});

t.test('what a peer sends cannot disturb a terminal', async (t) => {
  const event = { ...status(1), id: 'i', time: 'T', message: 'a\u001b[2Jb\nc' };
  t.equal(eventLine(event, plainStyle), 'T warn connection-status g/c: a\\u{1b}[2Jb\\u{a}c');
});
