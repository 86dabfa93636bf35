import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { FlowEnd } from './tcp-flow.js';

const SCRIPT = new URL('./udp-flows.mjs', import.meta.url).pathname;
export const FLOW_PORT = 7011;

/** What came of one flow since the last look. */
export interface FlowCount {
  readonly received: number;
  /** Datagrams that did not come although a later one did. */
  readonly missing: number;
  /** The longest time without any, in milliseconds. */
  readonly pause: number;
}

/** Flows of UDP datagrams from one host to another, a hundred a second each, which nobody answers. */
export class UdpFlows {
  readonly #sender: ChildProcess;
  readonly #receiver: ChildProcess;
  readonly #lines: AsyncIterator<string>;

  private constructor(sender: ChildProcess, receiver: ChildProcess, lines: AsyncIterator<string>) {
    this.#sender = sender;
    this.#receiver = receiver;
    this.#lines = lines;
  }

  static async start(
    lab: NetworkLab,
    from: FlowEnd,
    to: FlowEnd,
    sources: readonly number[],
  ): Promise<UdpFlows> {
    const run = (node: string, ...argv: string[]) =>
      lab.spawn(node, [process.execPath, SCRIPT, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    const receiver = run(to.node, 'receive', to.address, String(FLOW_PORT));
    const lines = createInterface({ input: receiver.stdout! })[Symbol.asyncIterator]();
    if ((await lines.next()).value !== 'listening') throw new Error(`no UDP socket on ${to.address}`);
    const ports = [FLOW_PORT, ...sources].map(String);
    return new UdpFlows(run(from.node, 'send', from.address, to.address, ...ports), receiver, lines);
  }

  /** What came since the last look, by source port; a flow of which nothing ever came is not in it. */
  async look(): Promise<Readonly<Record<number, FlowCount>>> {
    this.#receiver.stdin!.write('\n');
    return JSON.parse((await this.#lines.next()).value);
  }

  stop(): void {
    this.#sender.stdin!.end();
    this.#receiver.kill();
  }
}
