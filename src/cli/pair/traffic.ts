import type { ChildProcess } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import type { NetworkLab } from '../../linux/namespaces.js';
import { CliError } from '../errors.js';
import type { PingFigures, TrafficAnswer, TrafficRequest, TransferFigures } from './traffic-protocol.js';

/** Slower than any request that still works; a process that hangs must not hang the demonstration. */
const ANSWER_TIMEOUT_MS = 30_000;

/** The parent's side of a traffic process in one host's namespace. One request at a time. */
export class TrafficHost {
  readonly #node: string;
  readonly #child: ChildProcess;
  #port = 0;

  private constructor(node: string, child: ChildProcess) {
    this.#node = node;
    this.#child = child;
  }

  /** Starts the process and lets it listen. */
  static async start(lab: NetworkLab, node: string): Promise<TrafficHost> {
    const script = fileURLToPath(new URL('./traffic-agent.js', import.meta.url));
    const child = lab.spawn(node, [process.execPath, script], {
      stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
      detached: true,
    });
    const host = new TrafficHost(node, child);
    const answer = await host.#ask({ kind: 'serve' }, ANSWER_TIMEOUT_MS);
    if (answer.kind === 'serving') host.#port = answer.port;
    return host;
  }

  get port(): number {
    return this.#port;
  }

  async ping(to: TrafficHost, address: string, count: number): Promise<PingFigures> {
    const answer = await this.#ask({ kind: 'ping', address, port: to.port, count }, ANSWER_TIMEOUT_MS);
    if (answer.kind !== 'pinged') throw new CliError(`ping from ${this.#node}: unexpected ${answer.kind}`);
    const { method, sent, received, rtt_ms } = answer;
    return { method, sent, received, rtt_ms };
  }

  async send(to: TrafficHost, address: string, seconds: number): Promise<TransferFigures> {
    const request = { kind: 'send', address, port: to.port, seconds } as const;
    const answer = await this.#ask(request, ANSWER_TIMEOUT_MS + seconds * 1000);
    if (answer.kind !== 'sent') throw new CliError(`TCP from ${this.#node}: unexpected ${answer.kind}`);
    const { bytes, mbit_per_s } = answer;
    return { bytes, seconds: answer.seconds, mbit_per_s };
  }

  #ask(request: TrafficRequest, timeoutMs: number): Promise<TrafficAnswer> {
    return new Promise((resolve, reject) => {
      const finish = (outcome: () => void): void => {
        clearTimeout(timer);
        this.#child.off('message', answered).off('exit', ended).off('error', ended);
        outcome();
      };
      const fail = (what: string) => () => reject(new CliError(`${request.kind} in ${this.#node}: ${what}`));
      const answered = (message: unknown): void => {
        const answer = message as TrafficAnswer;
        finish(answer.kind === 'failed' ? fail(answer.message) : () => resolve(answer));
      };
      const ended = (): void => finish(fail('the traffic process ended unexpectedly'));
      const timer = setTimeout(() => finish(fail('no answer from the traffic process')), timeoutMs);
      this.#child.on('message', answered).once('exit', ended).once('error', ended);
      this.#child.send(request, (error) => {
        if (error !== null) ended();
      });
    });
  }
}
