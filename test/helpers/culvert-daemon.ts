import type { ChildProcess } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import { ControlClient } from '../../src/daemon/control/client.js';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { PROGRAM } from './program.js';

/** Further arguments of every daemon, for example to run all tests on the other packet path. */
const EXTRA = (process.env.CULVERT_TEST_RUN_ARGS ?? '').split(' ').filter((word) => word !== '');

/** For `until`: what a connection's status is. */
export const up = ({ status }: { readonly status: string }): boolean => status === 'up';
export const down = ({ status }: { readonly status: string }): boolean => status === 'down';

/** The built daemon, `culvert run`, in a namespace of a lab, driven through its control socket. */
export class CulvertDaemon {
  readonly control: string;
  readonly client: ControlClient;
  readonly #file: string;
  readonly #process: ChildProcess;
  readonly #log: string[];

  private constructor(
    process: ChildProcess,
    client: ControlClient,
    control: string,
    file: string,
    log: string[],
  ) {
    this.#process = process;
    this.client = client;
    this.control = control;
    this.#file = file;
    this.#log = log;
  }

  /** `config` is the configuration file as an object; its control socket is put into `folder`. `more`: arguments. */
  static async start(
    lab: NetworkLab,
    node: string,
    folder: string,
    config: { readonly gateway: object; readonly [section: string]: unknown },
    more: readonly string[] = [],
  ): Promise<CulvertDaemon> {
    const control = join(folder, `${node}.sock`);
    const file = join(folder, `${node}.yaml`);
    writeFileSync(file, stringify({ ...config, gateway: { ...config.gateway, control } }), { mode: 0o600 });
    const argv = [
      process.execPath,
      PROGRAM,
      'run',
      '--config',
      file,
      '--log-level',
      'debug',
      ...more,
      ...EXTRA,
    ];
    const child = lab.spawn(node, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
    const log: string[] = [];
    child.stdout!.setEncoding('utf8').on('data', (text: string) => log.push(text));
    child.stderr!.setEncoding('utf8').on('data', (text: string) => log.push(text));
    for (let tries = 0; tries < 800; tries++) {
      if (child.exitCode !== null) break;
      try {
        const client = await ControlClient.connect(control);
        await client.status();
        return new CulvertDaemon(child, client, control, file, log);
      } catch {
        await sleep(25);
      }
    }
    child.kill('SIGKILL');
    throw new Error(`the daemon did not start:\n${log.join('')}`);
  }

  /** Writes another configuration into its file; `reload` or a signal makes the daemon read it. */
  rewrite(config: { readonly gateway: object; readonly [section: string]: unknown }): void {
    const gateway = { ...config.gateway, control: this.control };
    writeFileSync(this.#file, stringify({ ...config, gateway }), { mode: 0o600 });
  }

  /** As `rewrite` and `culvert reload`. @throws Error when it was not applied as a whole */
  async reload(config: { readonly gateway: object; readonly [section: string]: unknown }) {
    this.rewrite(config);
    const report = await this.client.reload();
    if (!report.ok || report.problems.length > 0) throw new Error(JSON.stringify(report));
    return report;
  }

  signal(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  get pid(): number {
    return this.#process.pid!;
  }

  get running(): boolean {
    return this.#process.exitCode === null && this.#process.signalCode === null;
  }

  /** Everything the daemon wrote so far. */
  log(): string {
    return this.#log.join('');
  }

  status(): Promise<StatusDocument> {
    return this.client.status();
  }

  async connection(name: string): Promise<ConnectionStatusDocument> {
    const document = await this.status();
    const found = document.connections.find((connection) => connection.name === name);
    if (found === undefined) throw new Error(`no connection "${name}" in ${JSON.stringify(document)}`);
    return found;
  }

  /** Resolves when the connection is up; rejects with the daemon's reason otherwise. */
  async up(name: string): Promise<unknown> {
    return this.client.up({ name, wait: true });
  }

  async down(name: string): Promise<unknown> {
    return this.client.down({ name });
  }

  /** Polls until the connection satisfies `wanted`. @throws Error with its last state after `seconds` */
  async until(
    name: string,
    wanted: (connection: ConnectionStatusDocument) => boolean,
    seconds = 10,
  ): Promise<ConnectionStatusDocument> {
    const tries = Math.ceil((seconds * 1000) / 25);
    let last: ConnectionStatusDocument | undefined;
    for (let n = 0; n < tries; n++) {
      last = await this.connection(name);
      if (wanted(last)) return last;
      await sleep(25);
    }
    throw new Error(`"${name}" did not get there: ${JSON.stringify(last)}\n${this.log().slice(-4000)}`);
  }

  /** A clean stop; the exit code of the process. */
  async stop(): Promise<number | null> {
    this.client.close();
    return this.#end('SIGTERM');
  }

  /** As a crash or the kernel would end it. */
  async kill(): Promise<void> {
    this.client.close();
    await this.#end('SIGKILL');
  }

  async #end(signal: NodeJS.Signals): Promise<number | null> {
    if (!this.running) return this.#process.exitCode;
    const exited = new Promise<number | null>((resolve) => this.#process.once('exit', resolve));
    this.#process.kill(signal);
    const timeout = sleep(10_000, 'timeout' as const, { ref: false });
    const code = await Promise.race([exited, timeout]);
    if (code === 'timeout') {
      this.#process.kill('SIGKILL');
      throw new Error(`the daemon ignored ${signal}:\n${this.log().slice(-4000)}`);
    }
    return code;
  }
}
