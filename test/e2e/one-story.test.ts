import { execFile } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual, promisify } from 'node:util';
import t from 'tap';
import { stringify } from 'yaml';
import { ApiClient } from '../../src/cli/vpn/api-client.js';
import { readEvents } from '../../src/cli/vpn/event-source.js';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import type { EventDocument } from '../../src/telemetry/events/event-document.js';
import { readExposition, type Series } from '../helpers/exposition.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { PSK, ServeLab, TWO_GATEWAYS, until } from '../helpers/serve-lab.js';

const skip = skipWithoutTun() || skipWithoutProgram('curl');
const execute = promisify(execFile);

const GATEWAY = 'gateway-1';
const CONNECTION = 'to-the-other';

/** What one source says of the connection, in words that all of them have. */
interface Story {
  readonly up: boolean;
  /** The public code of the first status reason, and the finer cause. */
  readonly code?: string;
  readonly cause?: string;
}

/** Two gateways that find a dead peer within seconds. */
function document(): object {
  const gateways = structuredClone(TWO_GATEWAYS.vpn_gateways);
  const dpd = { dead_peer_detection: { action: 'restart', interval: 1, timeout: 3 } };
  for (const { connections } of gateways) for (const one of connections) Object.assign(one, dpd);
  return { vpn_gateways: gateways };
}

const storyOf = (up: boolean, code: string | undefined, cause: string | undefined): Story => ({
  up,
  ...(code === undefined || code === 'none' ? {} : { code }),
  ...(cause === undefined || cause === 'none' ? {} : { cause }),
});

/** The four who report, and what they say of one connection. */
class Witnesses {
  readonly lab: ServeLab;
  readonly events: EventDocument[] = [];
  readonly #stop = new AbortController();
  readonly #reading: Promise<unknown>;

  constructor(lab: ServeLab) {
    this.lab = lab;
    const client = new ApiClient({ endpoint: `unix:${join(lab.folder, 'api.sock')}`, seconds: 30 });
    const query = new URLSearchParams({ follow: 'true', gateway: GATEWAY });
    this.#reading = readEvents(client, {
      ...{ query, follow: true, signal: this.#stop.signal, lost: () => undefined },
      take: (event) => void this.events.push(event),
    });
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.#reading;
  }

  async json(...argv: string[]) {
    const { code, out, err } = await this.lab.culvert(...argv, '--output', 'json');
    const value = out === '' ? undefined : JSON.parse(out);
    if (value === undefined || value.error !== undefined)
      throw new Error(`${argv.join(' ')} ended with ${code}: ${out} ${err}`);
    return value;
  }

  /** The series of the connection. */
  async #series(): Promise<Series[]> {
    // Within half a second all get the same.
    await sleep(520);
    const socket = join(this.lab.folder, 'metrics.sock');
    const { stdout } = await execute('curl', ['-sS', '--unix-socket', socket, 'http://localhost/metrics']);
    const mine = ({ labels }: Series): boolean =>
      labels.gateway === GATEWAY && labels.connection === CONNECTION;
    return readExposition(stdout).filter(mine);
  }

  /** A metric of the connection, summed over the labels that are not named. */
  async total(name: string, labels: Readonly<Record<string, string>> = {}): Promise<number> {
    return (await this.#series())
      .filter((one) => one.name === `culvert_connection_${name}`)
      .filter((one) => Object.entries(labels).every(([key, value]) => one.labels[key] === value))
      .reduce((sum, { value }) => sum + value, 0);
  }

  /** How many events of a kind the stream had, with these fields, about the connection or a peer not known yet. */
  seen(kind: string, fields: object = {}): number {
    return this.events.filter(
      (event) =>
        event.kind === kind &&
        (event.connection?.name ?? CONNECTION) === CONNECTION &&
        Object.entries(fields).every(([key, value]) => event.fields[key] === value),
    ).length;
  }

  /** Failed negotiations that the stream had. */
  failures(): number {
    return this.events
      .filter(({ kind, fields }) => kind === 'ike-failed' && fields.cause !== 'terminated')
      .reduce((sum, { fields }) => sum + 1 + Number(fields.repeats ?? 0), 0);
  }

  async metrics(): Promise<Story> {
    const series = await this.#series();
    const { code, cause } = series.find(({ name }) => name === 'culvert_connection_cause_info')!.labels;
    return storyOf(series.find(({ name }) => name === 'culvert_connection_up')!.value === 1, code, cause);
  }

  async status(): Promise<Story> {
    const folder = join(this.lab.folder, 'run');
    const { status, status_reasons: reasons }: ConnectionStatusDocument = await this.json(
      ...['status', `${GATEWAY}/${CONNECTION}`, '--run-folder', folder],
    );
    return storyOf(status === 'up', reasons[0]?.code, reasons[0]?.details?.cause);
  }

  /** The cause is in the diagnosis: the connection itself has public codes only. */
  async api(): Promise<Story> {
    const { status, status_reasons: reasons } = await this.json(
      ...['vpn-gateway-connection', GATEWAY, CONNECTION],
    );
    const diagnosis = await this.json('vpn-gateway-connection-explain', GATEWAY, CONNECTION);
    return storyOf(status === 'up', reasons[0]?.code, diagnosis.cause ?? undefined);
  }

  /** The state, and the cause of the newest failure or loss since it was last up. */
  told(): Story {
    const mine = this.events.filter(({ connection }) => connection?.name === CONNECTION);
    const at = mine.findLastIndex(
      ({ kind, fields }) => kind === 'connection-status' && fields.status === 'up',
    );
    const up = at >= 0 && at === mine.findLastIndex(({ kind }) => kind === 'connection-status');
    const cause = mine.slice(at + 1).findLast(({ fields }) => fields.cause !== undefined)?.fields.cause;
    return storyOf(up, undefined, cause as string | undefined);
  }

  /** What all say when they agree; the events have no public code. */
  async agreed(): Promise<Story | undefined> {
    const [metrics, status, api] = [await this.metrics(), await this.status(), await this.api()];
    const { code: _, ...rest } = status;
    const alike = [metrics, api].every((one) => isDeepStrictEqual(one, status));
    return alike && isDeepStrictEqual(this.told(), rest) ? status : undefined;
  }

  async everyone(): Promise<object> {
    return {
      metrics: await this.metrics(),
      status: await this.status(),
      api: await this.api(),
      told: this.told(),
    };
  }
}

t.test('metrics, status, API and events report one life alike', { skip, timeout: 240_000 }, async (t) => {
  const lab = await ServeLab.open();
  t.teardown(() => lab.dispose());
  lab.configure({ metrics: { listen: join(lab.folder, 'metrics.sock') } });
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  await lab.start();
  const all = new Witnesses(lab);
  const file = join(lab.folder, 'vpn.yaml');
  writeFileSync(file, stringify(document(), { aliasDuplicateObjects: false }), { mode: 0o600 });
  const applied = await lab.culvert('apply', '-f', file, '--wait');
  t.equal(applied.code, 0, applied.err);
  /** Waits until all four say the same, and that it is so. */
  const agree = async (what: string, isSo: (story: Story) => boolean): Promise<Story> => {
    let story: Story | undefined;
    for (let tries = 0; tries < 20; tries++) {
      story = await all.agreed();
      if (story !== undefined && isSo(story)) break;
    }
    if (story === undefined || !isSo(story)) t.fail(what, { everyone: await all.everyone() });
    return story ?? { up: false };
  };

  t.same(await agree('up', ({ up }) => up), { up: true });
  t.equal(await all.total('establishments_total'), all.seen('ike-established'));
  t.equal(await all.total('child_sas'), all.seen('child-established') - all.seen('child-closed'));

  const update = (gateway: string, ...argv: string[]) =>
    lab.culvert('vpn-gateway-connection-update', gateway, CONNECTION, ...argv);
  writeFileSync(join(lab.folder, 'psk'), 'a-key-that-only-one-end-has\n', { mode: 0o600 });
  t.match(await update('gateway-2', '--psk-file', join(lab.folder, 'psk')), { code: 0 });
  t.match(await update(GATEWAY, '--admin-state-up', 'false'), { code: 0 });
  t.match(await update(GATEWAY, '--admin-state-up', 'true'), { code: 0 });
  const refused = await agree('the keys differ', ({ cause }) => /psk|authentication/.test(cause ?? ''));
  t.match(refused, { up: false, code: 'cannot_authenticate_connection' });
  // Repeats within ten seconds are one event, which says how many they were.
  await until('the failures are counted alike', async () => {
    const before = all.failures();
    const counted = await all.total('failures_total');
    return before > 0 && counted === before && all.failures() === before;
  });
  t.equal(await all.total('losses_total'), 0, 'an operator took it down: that is no loss');

  writeFileSync(join(lab.folder, 'psk'), `${PSK}\n`, { mode: 0o600 });
  t.match(await update('gateway-2', '--psk-file', join(lab.folder, 'psk')), { code: 0 });
  await agree('up again', ({ up }) => up);

  const gateways: { id: string; name: string }[] = await all.json('vpn-gateways');
  const [peer] = lab.gateways(gateways.find(({ name }) => name === 'gateway-2')!.id);
  process.kill(peer!, 'SIGSTOP');
  t.teardown(() => process.kill(peer!, 'SIGCONT'));
  const lost = await agree('the peer is silent', ({ up, cause }) => !up && cause !== undefined);
  t.match(lost, { code: 'peer_not_responding' });
  t.equal(await all.total('dpd_timeouts_total'), 1);
  t.equal(all.seen('ike-closed', { reason: 'peer-dead' }), 1);
  t.equal(await all.total('losses_total'), 1);

  process.kill(peer!, 'SIGCONT');
  t.same(await agree('up at the end', ({ up }) => up), { up: true });
  t.equal(await all.total('establishments_total'), all.seen('ike-established'));
  await all.stop();
});
