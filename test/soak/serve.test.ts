import { execFileSync } from 'node:child_process';
import { copyFileSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { request } from 'node:https';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { TLSSocket } from 'node:tls';
import t from 'tap';
import { stringify } from 'yaml';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { makeCertificate } from '../helpers/certificates.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { ServeLab, until, VPCS } from '../helpers/serve-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { overSocket, StoreDiary } from '../helpers/store-diary.js';

const skip = skipWithoutTun() || skipWithoutProgram('openssl');
/** 600 make the soak of ten minutes. */
const SECONDS = Number(process.env.CULVERT_SOAK_SECONDS ?? 60);
const SEED = Number(process.env.CULVERT_SOAK_SEED ?? Date.now() % 100_000);
/** Between the beginnings of two events. */
const PERIOD_MS = 2000;
/**
 * How long a tunnel may be away when its gateway was killed. It is printed how long it was; the bound finds a gateway that
 * is kept waiting, on a slow machine too.
 */
const BACK_MS = Number(process.env.CULVERT_SOAK_BACK_MS ?? 10_000);
/**
 * Whether gateways have standbys, as they have by default. Making one ready can cost a packet, so that not every lost
 * ping is then that of a kill.
 */
const WITH_STANDBYS = process.env.CULVERT_SOAK_STANDBYS === '1';
const PROCESSES = WITH_STANDBYS ? 4 : 2;
const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

/** Two gateways with a tunnel between them, and at one of them a connection that the events change. */
function document(round: number): object {
  const spare = {
    name: 'spare',
    psk: 'correct-horse-battery',
    local: { cidrs: [vpc1.cidr] },
    peer: { address: '192.0.2.77', cidrs: [`10.77.${round % 200}.0/24`, '10.78.0.0/16'].slice(round % 2) },
    dead_peer_detection: { action: 'none', interval: 2 + (round % 50), timeout: 60 },
  };
  return {
    vpn_gateways: [vpc1, vpc2].map((vpc, n) => ({
      name: `gateway-${n + 1}`,
      subnet: `subnet-${n + 1}`,
      mode: 'policy',
      connections: [
        {
          name: 'to-the-other',
          psk: 'correct-horse-battery',
          local: { cidrs: [vpc.cidr] },
          peer: { address: VPCS[1 - n]!.gatewayAddress, cidrs: [VPCS[1 - n]!.cidr] },
        },
        ...(n === 0 ? [spare] : []),
      ],
    })),
  };
}

/** The status and the certificate of a server on TLS, for a token. */
function overTls(url: string, token: string): Promise<{ status: number; fingerprint: string }> {
  const headers = { authorization: `Bearer ${token}` };
  const path = '/v1/ike_policies?version=2026-03-24&generation=2';
  return new Promise((resolve, reject) => {
    // The certificate is looked at afterwards; each request is a connection of its own.
    const options = { headers, rejectUnauthorized: false, agent: false, timeout: 10_000 };
    const call = request(new URL(path, url), options, (response) => {
      const { socket } = response;
      if (!(socket instanceof TLSSocket)) throw new Error('the server speaks without TLS');
      const fingerprint = socket.getPeerCertificate().fingerprint256;
      response.resume().once('end', () => resolve({ status: response.statusCode!, fingerprint }));
    });
    call.once('timeout', () => call.destroy(new Error('no answer for 10 s')));
    call.once('error', reject);
    call.end();
  });
}

/** A file system of its own for the store: small enough to be filled, with room for an audit log of full length. */
class Disk {
  readonly path: string;
  readonly #filler: string;

  constructor(path: string) {
    this.path = path;
    this.#filler = join(path, 'filler');
    mkdirSync(path);
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=16m', 'tmpfs', path]);
  }

  fill(): void {
    for (const size of [65_536, 512]) {
      try {
        for (;;) writeFileSync(this.#filler, Buffer.alloc(size), { flag: 'a' });
      } catch (error) {
        if ((error as NodeJS.ErrnoException).code !== 'ENOSPC') throw error;
      }
    }
  }

  free(): void {
    rmSync(this.#filler, { force: true });
  }

  dispose(): void {
    execFileSync('umount', ['--lazy', this.path]);
  }
}

const EVENTS = ['apply', 'reload', 'token', 'certificate', 'disk', 'server', 'gateway', 'both'] as const;
type EventName = (typeof EVENTS)[number];

class Soak {
  readonly lab: ServeLab;
  readonly disk: Disk;
  readonly faults: string[] = [];
  /** Writes beside the events. */
  diary: StoreDiary | undefined;
  /** When gateways were killed, and when servers began to listen, in milliseconds since the epoch. */
  readonly kills: { readonly at: number; readonly who: 'gateway' | 'both' }[] = [];
  readonly starts: number[] = [];
  readonly #events: Record<EventName, () => Promise<void>>;
  readonly #random: SeededRandom;
  #token = 'the-first-token-of-all';
  #fingerprint = '';
  #round = 0;

  constructor(lab: ServeLab, disk: Disk, random: SeededRandom) {
    this.lab = lab;
    this.disk = disk;
    this.#random = random;
    this.#events = {
      apply: () => this.apply(),
      reload: () => this.#reload({ log_level: ['info', 'debug', 'warn'][this.#round % 3]! }),
      token: () => this.#newToken(),
      certificate: () => this.#newCertificate(),
      disk: () => this.#fullDisk(),
      server: () => this.#killServer(),
      gateway: () => this.#killGateway(),
      both: () => this.#killBoth(),
    };
    this.#certify();
    lab.configure({
      store: join(disk.path, 'store.db'),
      tls: { certificate: 'cert.pem', key: 'key.pem' },
      tokens: this.#tokens(),
    });
  }

  get socket(): string {
    return join(this.lab.folder, 'api.sock');
  }

  async event(name: EventName): Promise<void> {
    this.#round++;
    try {
      await this.#events[name]();
    } catch (error) {
      this.faults.push(`${name}: ${(error as Error).message}`);
    }
  }

  async #start(): Promise<void> {
    await this.lab.start();
    this.starts.push(Date.now());
  }

  async apply(): Promise<void> {
    const file = join(this.lab.folder, 'vpn.yaml');
    writeFileSync(file, stringify(document(this.#round)), { mode: 0o600 });
    const { code, out, err } = await this.lab.culvert('apply', '-f', file);
    if (code !== 0) throw new Error(`${code}: ${out} ${err}`);
  }

  #tokens(): object[] {
    return [{ name: 'soak', role: 'editor', hash: hashSecret(this.#token) }];
  }

  #certify(): void {
    const { folder } = this.lab;
    const made = makeCertificate(folder, `soak-${this.#round}`);
    copyFileSync(made.certificate, join(folder, 'cert.pem'));
    copyFileSync(made.key, join(folder, 'key.pem'));
    const argv = ['x509', '-in', made.certificate, '-noout', '-fingerprint', '-sha256'];
    this.#fingerprint = execFileSync('openssl', argv, { encoding: 'utf8' }).trim().split('=')[1]!;
  }

  async #reload(fields: object): Promise<void> {
    this.lab.configure(fields);
    const { code, err } = await this.lab.culvert('serve-reload');
    if (code !== 0) throw new Error(`${code}: ${err}`);
  }

  async #newToken(): Promise<void> {
    const old = this.#token;
    this.#token = `a-token-of-round-${this.#round}`;
    await this.#reload({ tokens: this.#tokens() });
    const [before, now] = [await overTls(this.lab.url, old), await overTls(this.lab.url, this.#token)];
    if (before.status !== 401 || now.status !== 200) throw new Error(`${before.status}, ${now.status}`);
  }

  async #newCertificate(): Promise<void> {
    this.#certify();
    await this.#reload({});
    const { status, fingerprint } = await overTls(this.lab.url, this.#token);
    if (status !== 200 || fingerprint !== this.#fingerprint) throw new Error(`${status}, ${fingerprint}`);
  }

  async #fullDisk(): Promise<void> {
    const body = { authentication_algorithm: 'sha256', encryption_algorithm: 'aes256', pfs: 'disabled' };
    const write = (name: string) =>
      overSocket(this.socket, 'POST', '/v1/ipsec_policies', { ...body, name: `${name}-${this.#round}` });
    // Beside writes the log keeps room for many more; it gives that back when there are none for two seconds.
    await this.diary!.pausedFor(async () => {
      await sleep(2500);
      this.disk.fill();
    });
    try {
      let full = await write('full-0');
      for (let n = 1; full.status === 201 && n < 15; n++) full = await write(`full-${n}`);
      if (full.status !== 507) throw new Error(`a full disk answers ${full.status}`);
      const read = await overSocket(this.socket, 'GET', '/v1/vpn_gateways');
      if (read.status !== 200) throw new Error(`reading beside a full disk: ${read.status}`);
    } finally {
      this.disk.free();
    }
    await until('writes go on', async () => (await write('free')).status === 201);
    const { body: list } = await overSocket(this.socket, 'GET', '/v1/ipsec_policies');
    for (const { id } of list!.ipsec_policies as { id: string }[])
      await overSocket(this.socket, 'DELETE', `/v1/ipsec_policies/${id}`);
  }

  async #killServer(): Promise<void> {
    const before = await this.#allProcesses();
    await this.lab.end('SIGKILL');
    await this.#start();
    const now = this.lab.gateways();
    if (`${now}` !== `${before}`) throw new Error(`gateways ${before} became ${now}`);
  }

  async #killGateway(): Promise<void> {
    const running = await this.#allProcesses();
    const pid = running[this.#random.u32() % running.length]!;
    this.kills.push({ at: Date.now(), who: 'gateway' });
    process.kill(pid, 'SIGKILL');
  }

  /** Those of both gateways: with standbys each has two. */
  #allProcesses(): Promise<number[]> {
    return until('all processes of the gateways run', () => {
      const pids = this.lab.gateways();
      return pids.length === PROCESSES ? pids : undefined;
    });
  }

  async #killBoth(): Promise<void> {
    const ended = this.lab.end('SIGKILL');
    this.kills.push({ at: Date.now(), who: 'both' });
    for (const pid of this.lab.gateways()) process.kill(pid, 'SIGKILL');
    await ended;
    await this.#start();
  }
}

t.test(
  'an operator, a full disk and kill -9, all the time',
  { skip, timeout: (SECONDS + 120) * 1000 },
  async (t) => {
    t.comment(`seed ${SEED}`);
    const random = new SeededRandom(SEED);
    const lab = await ServeLab.open({ on_stop: 'keep', standby: WITH_STANDBYS });
    t.teardown(() => lab.dispose());
    const disk = new Disk(join(lab.folder, 'disk'));
    t.teardown(() => disk.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-20_000)));
    const soak = new Soak(lab, disk, random);
    await lab.start();
    await soak.apply();
    await until('the first ping', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);

    const diary = new StoreDiary(soak.socket);
    soak.diary = diary;
    const ping = steadyPing(
      lab.network,
      { node: vpc1.host, inside: vpc1.hostAddress },
      { inside: vpc2.hostAddress },
      0.05,
    );
    const counts: Partial<Record<EventName, number>> = {};
    const started = performance.now();
    for (let n = 0; performance.now() - started < SECONDS * 1000; n++) {
      const begun = performance.now();
      // Each once, in an order of its own, then at random.
      const name = EVENTS[(n < EVENTS.length ? n + SEED : random.u32()) % EVENTS.length]!;
      counts[name] = (counts[name] ?? 0) + 1;
      await soak.event(name);
      await sleep(Math.max(0, PERIOD_MS - (performance.now() - begun)));
    }
    await diary.stop();
    const { sent, lost, outages } = await ping.stop();
    await diary.compare();
    t.comment(`events: ${JSON.stringify(counts)}`);
    t.comment(
      `writes: ${diary.acknowledged} acknowledged, ${diary.refused} refused, ${diary.unanswered} unanswered`,
    );
    t.comment(`pings: ${sent} sent, ${lost} lost in ${outages.length} outages of ${soak.kills.length} kills`);
    t.same(soak.faults, [], 'every event went as an operator expects');
    t.same(diary.faults, [], 'every acknowledged write is there, and no other');
    t.ok(diary.acknowledged > SECONDS, 'there were writes all the time');
    const back = outages.map((one) => {
      const kill = soak.kills.find(({ at }) => at > one.from - 100 && at < one.to);
      // Nobody starts a gateway again while there is no server.
      const from = Math.max(kill?.at ?? 0, ...soak.starts.filter((at) => at < one.to));
      return { ...one, kill, ms: kill === undefined ? undefined : one.to - from };
    });
    t.comment(`back after ms: ${back.map(({ kill, ms }) => `${ms ?? '-'} (${kill?.who})`).join(', ')}`);
    t.same(
      back.filter(({ kill }) => kill === undefined),
      [],
      'nothing but the end of a gateway took a ping',
    );
    t.same(
      back.filter(({ ms }) => ms !== undefined && ms > BACK_MS),
      [],
      'and each time the tunnel was back in time',
    );
    await until('all processes are there', () => lab.gateways().length === PROCESSES);
  },
);
