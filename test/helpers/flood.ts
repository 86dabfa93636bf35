import type { ChildProcess } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { HelperProgram } from './helper-program.js';
import type { LabSite } from './site-lab.js';

const FORGER = fileURLToPath(new URL('./forger.mjs', import.meta.url));

/** A node `f` next to a gateway that may send from any address, the one that is `forged` among them. */
export async function addForger(
  lab: NetworkLab,
  gateway: LabSite,
  forged: string,
  mtu = 1500,
): Promise<void> {
  const { node, address } = gateway;
  await lab.add('f');
  await lab.link(
    { node, device: 'side', addresses: ['192.0.3.1/24'] },
    { node: 'f', device: 'side', addresses: ['192.0.3.2/24'] },
    mtu,
  );
  await lab.check('f', ['ip', 'route', 'add', 'local', '10.66.0.0/16', 'dev', 'lo']);
  await lab.check('f', ['ip', 'route', 'add', 'local', `${forged}/32`, 'dev', 'lo']);
  await lab.check('f', ['ip', 'route', 'add', `${address}/32`, 'via', '192.0.3.1']);
  await lab.check(node, ['ip', 'route', 'add', '10.66.0.0/16', 'via', '192.0.3.2']);
  for (const device of ['all', 'side']) await lab.sysctl(node, `net.ipv4.conf.${device}.rp_filter`, '0');
}

export interface FloodSetup {
  /** Address of the gateway, and the one of its peer that every fifth message comes from, as it seems. */
  readonly target: string;
  readonly forged: string;
  /** First messages of IKE in hexadecimal. */
  readonly messages: readonly string[];
  readonly perSecond: number;
}

/** A flood of forged first messages under way, from the node that `addForger` made. */
export class Flood {
  readonly #forger: ChildProcess;
  readonly #program: HelperProgram;
  /** Forged messages sent so far, as the forger has told. */
  sent = 0;

  private constructor(forger: ChildProcess, program: HelperProgram) {
    this.#forger = forger;
    this.#program = program;
    forger.stdout!.setEncoding('utf8').on('data', (text: string) => {
      for (const [, count] of text.matchAll(/sent (\d+)/g)) this.sent = Number(count);
    });
  }

  static async start(lab: NetworkLab, { forged, ...setup }: FloodSetup): Promise<Flood> {
    const own = Array.from({ length: 200 }, (_, n) => `10.66.${n % 7}.${n + 1}`);
    const sources = own.flatMap((address, n) => (n % 4 === 0 ? [address, forged] : [address]));
    const forger = lab.spawn('f', [process.execPath, FORGER, JSON.stringify({ ...setup, sources })], {
      stdio: ['pipe', 'pipe', 'inherit'],
    });
    const program = new HelperProgram('the forger', forger);
    const first = await program.firstOutput();
    if (!/ready/.test(first)) throw new Error(`the forger did not start: ${first}`);
    return new Flood(forger, program);
  }

  /** Waits until `count` messages in all have been sent. */
  async reaches(count: number): Promise<void> {
    await this.#program.until(() => this.sent >= count);
  }

  async end(): Promise<void> {
    this.#forger.stdin!.end();
    await this.#program.ended;
  }
}

/** Resident memory of a process in KB. */
export const residentKb = (pid: number): number =>
  Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
