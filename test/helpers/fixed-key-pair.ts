import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { EspSuite } from '../../src/crypto/types.js';
import type { ChildCounters, WorkerState } from '../../src/dataplane/dataplane.js';
import type { DropCounts } from '../../src/esp/drops.js';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { GatewaySetup } from './fixed-key-sa.js';

export interface Answer {
  readonly children: readonly ChildCounters[];
  readonly drops: DropCounts;
  readonly workers: readonly WorkerState[];
}

const OUTER = { a: '192.0.2.1', b: '192.0.2.2' } as const;
const INNER = { a: '10.1.0.0/24', b: '10.2.0.0/24' } as const;

/** A process of fixed-key-gateway.ts in the namespace of its name, 192.0.2.1 with 10.1.0.0/24 or .2 with 10.2. */
export class FixedKeyGateway {
  readonly process: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  constructor(lab: NetworkLab, side: 'a' | 'b', suite: EspSuite, over: Partial<GatewaySetup> = {}) {
    const other = side === 'a' ? 'b' : 'a';
    const setup: GatewaySetup = {
      ...{ side, suite, mtu: 1400, local: OUTER[side], peer: OUTER[other] },
      ...{ localNets: [INNER[side]], peerNets: [INNER[other]] },
      ...over,
    };
    const script = new URL('./fixed-key-gateway.ts', import.meta.url).pathname;
    // Of the test runner's loaders only the one that reads TypeScript: the others double the start-up time.
    const loader = process.execArgv.filter((argument) => argument.includes('typescript'));
    const argv = [process.execPath, ...loader, script, JSON.stringify(setup)];
    this.process = lab.spawn(side, argv, { stdio: ['pipe', 'pipe', 'ignore'] });
    this.#lines = createInterface({ input: this.process.stdout! })[Symbol.asyncIterator]();
  }

  tell(command: string): void {
    this.process.stdin!.write(`${command}\n`);
  }

  async answer(): Promise<unknown> {
    const { value } = await this.#lines.next();
    return JSON.parse(value);
  }

  async counters(): Promise<Answer> {
    this.tell('counters');
    return (await this.answer()) as Answer;
  }
}

/** Joins host and gateway of both sites: `ha - a`, `b - hb`, with the hosts at 10.1.0.10 and 10.2.0.10. */
export async function addSites(lab: NetworkLab): Promise<void> {
  for (const node of ['ha', 'a', 'b', 'hb']) await lab.add(node);
  for (const [host, gateway, net] of [
    ['ha', 'a', '10.1.0'],
    ['hb', 'b', '10.2.0'],
  ] as const) {
    await lab.link(
      { node: host, device: 'lan', addresses: [`${net}.10/24`] },
      { node: gateway, device: 'lan', addresses: [`${net}.1/24`] },
    );
    await lab.forward(gateway);
    await lab.check(host, ['ip', 'route', 'add', 'default', 'via', `${net}.1`]);
  }
}

/** As `addSites`, with one link between the gateways' devices `wan`, 192.0.2.1 and .2 unless told otherwise. */
export async function addJoinedSites(
  lab: NetworkLab,
  { a, b, bits }: { readonly a: string; readonly b: string; readonly bits: number } = { ...OUTER, bits: 24 },
): Promise<void> {
  await addSites(lab);
  await lab.link(
    { node: 'a', device: 'wan', addresses: [`${a}/${bits}`] },
    { node: 'b', device: 'wan', addresses: [`${b}/${bits}`] },
  );
}
