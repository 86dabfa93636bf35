import { type ChildProcess, execFileSync, spawn } from 'node:child_process';
import { chownSync, existsSync, mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import type { Test } from 'tap';
import { EtcdClient } from '../../src/store/etcd/client.js';
import type { EtcdPlace } from '../../src/store/etcd/place.js';
import { skipWithoutProgram } from './prerequisites.js';

/** Election within 0.3 s, so that a test need not wait a second for each. */
const TIMING = ['--heartbeat-interval', '50', '--election-timeout', '300'];
/** Etcd syncs every write: on a disk that others use, too, that is the time a test would take. */
const FAST = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();
/** The first of the users that members run as where they are to be cut off; nothing else runs as these. */
const FIRST_USER = 61_500;

/** How a cluster is to be. */
export interface EtcdLabOptions {
  readonly members?: number;
  /** Each member runs as a user of its own, by which its packets are known: needs root. */
  readonly ownUsers?: boolean;
  /** Further arguments of every member, such as those for TLS of clients. */
  readonly args?: readonly string[];
  readonly scheme?: 'http' | 'https';
}

/** Debian's etcd; else the reason why a test is skipped. */
export function skipWithoutEtcd(): string | false {
  return skipWithoutProgram('etcd');
}

/** A member of an `EtcdLab`. */
export class EtcdMember {
  readonly name: string;
  readonly url: string;
  readonly peerUrl: string;
  readonly ports: readonly number[];
  readonly user: number | undefined;
  readonly #arguments: () => readonly string[];
  #process: ChildProcess | undefined;

  constructor(
    { name, scheme, ports, user }: { name: string; scheme: string; ports: readonly number[]; user?: number },
    args: (member: EtcdMember) => readonly string[],
  ) {
    this.name = name;
    this.ports = ports;
    this.user = user;
    this.url = `${scheme}://127.0.0.1:${ports[0]}`;
    this.peerUrl = `http://127.0.0.1:${ports[1]}`;
    this.#arguments = () => args(this);
  }

  start(): void {
    const as = this.user === undefined ? {} : { uid: this.user, gid: this.user };
    this.#process = spawn('etcd', [...this.#arguments()], { stdio: ['ignore', 'ignore', 'ignore'], ...as });
  }

  signal(signal: 'SIGSTOP' | 'SIGCONT'): void {
    this.#process?.kill(signal);
  }

  /** As a power loss does it. */
  async kill(): Promise<void> {
    const child = this.#process;
    if (child === undefined) return;
    this.#process = undefined;
    const ended = new Promise((resolve) => child.once('exit', resolve));
    child.kill('SIGKILL');
    await ended;
  }
}

/** A cluster of etcd on the loopback address, with its data in memory where the machine has a place for that. */
export class EtcdLab {
  readonly members: readonly EtcdMember[];
  readonly folder: string;
  readonly #scheme: 'http' | 'https';

  private constructor(members: readonly EtcdMember[], folder: string, scheme: 'http' | 'https') {
    this.members = members;
    this.folder = folder;
    this.#scheme = scheme;
  }

  /** Starts it, and ends it with the test. */
  static async open(
    t: Test,
    { members: count = 3, ownUsers = false, args = [], scheme = 'http' }: EtcdLabOptions = {},
  ): Promise<EtcdLab> {
    const folder = mkdtempSync(join(FAST, 'culvert-etcd-'));
    const ports = await freePorts(2 * count);
    const members: EtcdMember[] = [];
    const argumentsOf = (member: EtcdMember): string[] => [
      ...['--name', member.name, '--data-dir', join(folder, member.name), '--log-level', 'error'],
      ...['--listen-client-urls', member.url, '--advertise-client-urls', member.url],
      ...['--listen-peer-urls', member.peerUrl, '--initial-advertise-peer-urls', member.peerUrl],
      ...['--initial-cluster', members.map(({ name, peerUrl }) => `${name}=${peerUrl}`).join(',')],
      ...['--initial-cluster-token', folder, ...TIMING, ...args],
    ];
    for (let n = 0; n < count; n++) {
      const user = ownUsers ? { user: FIRST_USER + n } : {};
      const own = { name: `m${n}`, scheme, ports: ports.slice(2 * n, 2 * n + 2), ...user };
      const member = new EtcdMember(own, argumentsOf);
      mkdirSync(join(folder, member.name), { mode: 0o700 });
      if (member.user !== undefined) {
        chownSync(folder, member.user, member.user);
        chownSync(join(folder, member.name), member.user, member.user);
      }
      members.push(member);
    }
    if (ownUsers) execFileSync('chmod', ['0755', folder]);
    const lab = new EtcdLab(members, folder, scheme);
    t.teardown(() => lab.#end());
    for (const member of members) member.start();
    return lab;
  }

  get scheme(): 'http' | 'https' {
    return this.#scheme;
  }

  /** Where the store is, seen by a host whose own member is number `first`. */
  place(cluster: string, first = 0, more: Partial<EtcdPlace> = {}): EtcdPlace {
    const urls = this.members.map(({ url }) => url);
    return { endpoints: [...urls.slice(first), ...urls.slice(0, first)], cluster, tls: {}, ...more };
  }

  /** Resolves when a majority answers. */
  async ready(more: Partial<EtcdPlace> = {}): Promise<this> {
    const client = new EtcdClient(this.place('none', 0, more));
    try {
      for (let tries = 0; ; tries++) {
        try {
          await client.read({ from: 'culvert/none' });
          return this;
        } catch (error) {
          if (tries === 30) throw error;
          await pause(200);
        }
      }
    } finally {
      await client.close();
    }
  }

  /** Runs etcdctl against the first member, with further arguments in front. */
  ctl(...args: readonly string[]): string {
    const { url } = this.members[0]!;
    const env = { ...process.env, ETCDCTL_API: '3' };
    return execFileSync('etcdctl', ['--endpoints', url, ...args], { env, encoding: 'utf8' });
  }

  async #end(): Promise<void> {
    for (const member of this.members) member.signal('SIGCONT');
    await Promise.all(this.members.map((member) => member.kill()));
    rmSync(this.folder, { recursive: true, force: true });
  }
}

/** Below those that the kernel gives to outgoing connections, which would take the port of a member that is down. */
const PORTS = { first: 12_000, count: 18_000 } as const;

async function freePorts(count: number): Promise<number[]> {
  const found = new Set<number>();
  while (found.size < count) {
    const port = PORTS.first + Math.floor(Math.random() * PORTS.count);
    if (await isFree(port)) found.add(port);
  }
  return [...found];
}

function isFree(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}
