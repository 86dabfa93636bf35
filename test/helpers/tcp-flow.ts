import type { ChildProcess } from 'node:child_process';
import { createInterface } from 'node:readline';
import type { NetworkLab } from '../../src/linux/namespaces.js';

const SCRIPT = new URL('./tcp-peer.mjs', import.meta.url).pathname;
const PORT = '7007';

/** What one end of a connection saw. */
export interface TcpCount {
  readonly octets: number;
  readonly sha256: string;
}

export interface FlowEnd {
  readonly node: string;
  readonly address: string;
}

/** One TCP connection between two namespaces, full of pseudo-random octets. */
export class TcpFlow {
  readonly #sender: ChildProcess;
  readonly #sent: AsyncIterator<string>;
  readonly #received: AsyncIterator<string>;

  private constructor(sender: ChildProcess, sent: AsyncIterator<string>, received: AsyncIterator<string>) {
    this.#sender = sender;
    this.#sent = sent;
    this.#received = received;
  }

  /** `octets` in all; 0: until `finish`. */
  static async start(lab: NetworkLab, from: FlowEnd, to: FlowEnd, octets = 0): Promise<TcpFlow> {
    const run = (node: string, ...argv: string[]) =>
      lab.spawn(node, [process.execPath, SCRIPT, ...argv], { stdio: ['pipe', 'pipe', 'inherit'] });
    const receiver = run(to.node, 'receive', to.address, PORT);
    const received = lines(receiver);
    if ((await received.next()).value !== 'listening') throw new Error(`no TCP server on ${to.address}`);
    const sender = run(from.node, 'send', from.address, to.address, PORT, String(octets));
    return new TcpFlow(sender, lines(sender), received);
  }

  /** Waits for the end of the connection and tells what went in and what came out. */
  async finish(): Promise<{ readonly sent: TcpCount; readonly received: TcpCount }> {
    this.#sender.stdin!.end();
    const sent = await this.#sent.next();
    const received = await this.#received.next();
    return { sent: JSON.parse(sent.value), received: JSON.parse(received.value) };
  }
}

function lines(process: ChildProcess): AsyncIterator<string> {
  return createInterface({ input: process.stdout! })[Symbol.asyncIterator]();
}
