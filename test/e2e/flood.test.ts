import type { ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { toHex } from '../../src/util/bytes.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { pair } from '../helpers/engine-pair.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, ping, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { v1Pair } from '../helpers/v1-pair.js';

const skip = skipWithoutTun();

const FORGER = fileURLToPath(new URL('../helpers/forger.mjs', import.meta.url));
const PER_SECOND = 1000;
/** What the process may grow by, far above its tables and far below an SA for every forged message. */
const MOST_GROWTH_KB = 150_000;

/** A third node next to site A that may send from any address, the one of site B among them. */
async function addForger({ lab }: SiteLab): Promise<void> {
  await lab.add('f');
  await lab.link(
    { node: 'a', device: 'side', addresses: ['192.0.3.1/24'] },
    { node: 'f', device: 'side', addresses: ['192.0.3.2/24'] },
  );
  await lab.check('f', ['ip', 'route', 'add', 'local', '10.66.0.0/16', 'dev', 'lo']);
  await lab.check('f', ['ip', 'route', 'add', 'local', `${SITE_B.address}/32`, 'dev', 'lo']);
  await lab.check('f', ['ip', 'route', 'add', `${SITE_A.address}/32`, 'via', '192.0.3.1']);
  await lab.check('a', ['ip', 'route', 'add', '10.66.0.0/16', 'via', '192.0.3.2']);
  for (const device of ['all', 'side']) await lab.sysctl('a', `net.ipv4.conf.${device}.rp_filter`, '0');
}

/** First messages of both versions, as real peers would send them. */
function firstMessages(): string[] {
  return [pair({ seed: 9 }), v1Pair({ seed: 9 })].map((donor) => {
    donor.sim.initiate(donor.east);
    return toHex(donor.sim.net.sent[0]!.bytes);
  });
}

/** A flood under way. */
class Flood {
  readonly #forger: ChildProcess;
  /** Forged messages sent so far, as the forger has told. */
  sent = 0;

  private constructor(forger: ChildProcess) {
    this.#forger = forger;
    forger.stdout!.setEncoding('utf8').on('data', (text: string) => {
      for (const [, count] of text.matchAll(/sent (\d+)/g)) this.sent = Number(count);
    });
  }

  static async start({ lab }: SiteLab): Promise<Flood> {
    const own = Array.from({ length: 200 }, (_, n) => `10.66.${n % 7}.${n + 1}`);
    // Every fifth message comes as if from site B.
    const sources = own.flatMap((address, n) => (n % 4 === 0 ? [address, SITE_B.address] : [address]));
    const setup = { target: SITE_A.address, sources, messages: firstMessages(), perSecond: PER_SECOND };
    const forger = lab.spawn('f', [process.execPath, FORGER, JSON.stringify(setup)], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const [first] = await once(forger.stdout!, 'data');
    if (!/ready/.test(String(first))) throw new Error(`the forger did not start: ${first}`);
    return new Flood(forger);
  }

  /** Waits until `count` messages in all have been sent. */
  async reaches(count: number): Promise<void> {
    while (this.sent < count) {
      if (this.#forger.exitCode !== null) throw new Error(`the forger ended after ${this.sent} messages`);
      await sleep(20);
    }
  }

  async end(): Promise<void> {
    const exit = once(this.#forger, 'exit');
    this.#forger.stdin!.end();
    await exit;
  }
}

const residentKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);

for (const version of [2, 1] as const) {
  t.test(`IKEv${version} under a flood of forged first messages`, { skip, timeout: 180_000 }, async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    await addForger(site);
    const psk = 'correct-horse-battery';
    const policy = {
      ike_version: version,
      encryption_algorithm: 'aes256',
      authentication_algorithm: 'sha256',
    };
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, {
      gateway: { name: 'site-a', address: SITE_A.address },
      connections: [
        {
          name: 'c',
          psk,
          establish_mode: 'peer_only',
          local: { cidrs: [SITE_A.cidr] },
          peer: { address: SITE_B.address, cidrs: [SITE_B.cidr] },
        },
        // Takes its peer from anywhere: forged requests are not refused by their address.
        {
          name: 'anywhere',
          psk,
          establish_mode: 'peer_only',
          local: { cidrs: ['10.3.0.0/24'] },
          peer: {
            address: '203.0.113.9',
            cidrs: ['10.4.0.0/24'],
            ike_identity: { type: 'fqdn', value: 'away.example' },
          },
        },
      ],
    });
    const b = await CulvertDaemon.start(site.lab, 'b', site.folder, {
      gateway: { name: 'site-b', address: SITE_B.address },
      ike_policies: [{ name: 'p', ...policy, dh_group: 14, key_lifetime: 28_800 }],
      connections: [
        {
          name: 'c',
          psk,
          ike_policy: 'p',
          local: { cidrs: [SITE_B.cidr] },
          peer: { address: SITE_A.address, cidrs: [SITE_A.cidr] },
        },
      ],
    });
    await b.until('c', ({ status }) => status === 'up', 30);
    const [before] = [(await b.connection('c')).ike];
    t.equal(before?.version, version);
    const resident = residentKb(a.pid);
    const flood = await Flood.start(site);
    await flood.reaches(PER_SECOND);
    t.match(a.log(), /demanding a cookie/, 'the forged messages have to prove where they are');
    t.equal(await ping(site.lab, SITE_B, SITE_A, 20), 20, 'the tunnel carries traffic meanwhile');
    t.equal((await b.connection('c')).ike?.initiator_spi, before?.initiator_spi, 'over the same IKE SA');
    await b.down('c');
    await b.up('c');
    const after = await b.until('c', ({ status }) => status === 'up', 60);
    t.not(after.ike?.initiator_spi, before?.initiator_spi, 'the peer has connected anew meanwhile');
    await a.until('c', ({ status }) => status === 'up', 60);
    t.equal(await ping(site.lab, SITE_B, SITE_A, 2), 2);
    // The flood lasts on: what the process keeps of it would go on growing.
    await flood.reaches(flood.sent + 2 * PER_SECOND);
    const growth = residentKb(a.pid) - resident;
    t.ok(
      growth < MOST_GROWTH_KB,
      `the process has grown by ${growth} KB after ${flood.sent} forged messages`,
    );
    await flood.end();
    await b.stop();
    await a.stop();
  });
}
