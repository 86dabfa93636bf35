import { writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { join } from 'node:path';
import t from 'tap';
import { stringify } from 'yaml';
import { ApiClient } from '../../src/cli/vpn/api-client.js';
import { readEvents } from '../../src/cli/vpn/event-source.js';
import type { EventDocument } from '../../src/telemetry/events/event-document.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { PSK, ServeLab, TWO_GATEWAYS, until } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();

const said = ({ kind, fields }: EventDocument): string =>
  kind === 'connection-status' ? `${kind} ${fields.status}` : kind;

t.test(
  'the life of a tunnel as a stream, over crashes of gateway and server',
  { skip, timeout: 240_000 },
  async (t) => {
    const hooked: EventDocument[] = [];
    const receiver = createServer((request, response) => {
      let body = '';
      request.setEncoding('utf8').on('data', (part: string) => {
        body += part;
      });
      request.on('end', () => {
        hooked.push(JSON.parse(body));
        response.end();
      });
    });
    await new Promise<void>((resolve) => receiver.listen(0, '127.0.0.1', resolve));
    t.teardown(() => receiver.close());
    const url = `http://127.0.0.1:${(receiver.address() as AddressInfo).port}/`;
    const webhooks = [
      { name: 'alerts', url, secret: 'a-secret-for-tests', kinds: ['connection-status', 'gateway-ended'] },
    ];
    const lab = await ServeLab.open({ on_stop: 'keep', webhooks });
    t.teardown(() => lab.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
    await lab.start();

    const seen: EventDocument[] = [];
    const stop = new AbortController();
    t.teardown(() => stop.abort());
    const query = new URLSearchParams({ follow: 'true', gateway: 'gateway-1' });
    const reading = readEvents(
      new ApiClient({ endpoint: `unix:${join(lab.folder, 'api.sock')}`, seconds: 30 }),
      {
        ...{ query, follow: true, signal: stop.signal, lost: () => undefined },
        take: (event) => void seen.push(event),
      },
    );
    const told = (what: string): Promise<number> =>
      until(what, () => {
        const at = seen.findIndex((event) => said(event) === what);
        return at < 0 ? undefined : at + 1;
      });
    const file = join(lab.folder, 'vpn.yaml');
    writeFileSync(file, stringify(TWO_GATEWAYS), { mode: 0o600 });
    const applied = await lab.culvert('apply', '-f', file, '--wait');
    t.equal(applied.code, 0, applied.err);
    await told('connection-status up');
    const kinds = seen.map(said);
    for (const kind of ['object-created', 'gateway-started', 'ike-established', 'child-established']) {
      t.ok(kinds.includes(kind), kind);
    }
    t.ok(
      kinds.indexOf('ike-established') < kinds.indexOf('connection-status up'),
      'the SA first, then what it means',
    );
    const [up] = seen.filter(({ kind }) => kind === 'connection-status');
    const objects = await lab.culvert('vpn-gateways', '--output', 'json');
    const { id } = JSON.parse(objects.out).find(({ name }: { name: string }) => name === 'gateway-1');
    t.match(up, { gateway: { id, name: 'gateway-1', member: 1 }, connection: { name: 'to-the-other' } });
    t.ok(
      seen.every(({ gateway }) => gateway?.name === 'gateway-1'),
      'the other gateway is not asked for',
    );

    seen.length = 0;
    process.kill(lab.gateways(id)[0]!, 'SIGKILL');
    await told('gateway-ended');
    await told('connection-status up');
    t.same(
      seen.filter(({ kind }) => kind === 'gap'),
      [],
      'nothing is missing',
    );

    seen.length = 0;
    await lab.end('SIGKILL');
    await lab.start();
    await told('gateway-started');
    t.equal(said(seen[0]!), 'gap', 'what the server before had sent is not known to this one');
    t.match(
      seen.find(({ kind }) => kind === 'gateway-started'),
      { fields: { adopted: true } },
    );
    t.notOk(
      seen.some(({ kind }) => kind === 'ike-established'),
      'and is not told again',
    );
    const down = await lab.culvert(
      'vpn-gateway-connection-update',
      'gateway-1',
      'to-the-other',
      '--admin-state-up',
      'false',
    );
    t.equal(down.code, 0, down.err);
    await told('connection-status down');
    stop.abort();
    await reading;

    await until('the webhook', () => hooked.some((event) => said(event) === 'connection-status down'));
    t.ok(hooked.some(({ kind }) => kind === 'gateway-ended'));
    const { out } = await lab.culvert('events', '--gateway', 'gateway-1', '--kind', 'connection-status');
    t.match(out, /^\S+ info connection-status gateway-1\/to-the-other: to-the-other is down$/m);
    t.notMatch(JSON.stringify([seen, hooked]) + out, PSK);
  },
);
