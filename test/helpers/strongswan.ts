import type { ChildProcess } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { skipWithoutProgram, skipWithoutTun } from './prerequisites.js';
import { parseViciText, type ViciValue } from './vici-text.js';

const SUBFOLDERS = [
  'x509',
  'x509ca',
  'x509ocsp',
  'x509aa',
  'x509ac',
  'x509crl',
  'pubkey',
  'private',
  'rsa',
  'ecdsa',
  'bliss',
  'pkcs8',
  'pkcs12',
  'conf.d',
];

/** Plugins in order: openssl before the C ones for speed, kernel-libipsec before kernel-netlink. */
const PLUGINS =
  'random nonce openssl sha1 md5 sha2 hmac kdf gcm chapoly curve25519 gmp pem pkcs1 vici kernel-libipsec kernel-netlink socket-default updown';

/** For tap's `skip` option: why interop with strongSwan cannot run here, or false. */
export function skipWithoutStrongswan(): string | false {
  for (const program of ['charon-systemd', 'swanctl']) {
    const missing = skipWithoutProgram(program);
    if (missing) return `${missing} (packages charon-systemd, strongswan-swanctl)`;
  }
  if (!existsSync('/usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so')) {
    return 'the kernel-libipsec plugin is not installed (package libcharon-extra-plugins)';
  }
  return skipWithoutTun();
}

/** One connection as swanctl.conf writes it; one child with the same name and networks unless there are `children`. */
export interface SwanConnection {
  readonly name?: string;
  readonly version?: 1 | 2;
  readonly proposals: string;
  readonly espProposals: string;
  readonly local: { readonly address: string; readonly id: string; readonly ts: string };
  readonly remote: { readonly address: string; readonly id: string; readonly ts: string };
  readonly psk: string;
  /** Whether it asks for UDP encapsulation where there is no NAT; so it does when left out. */
  readonly encap?: boolean;
  /** Offers and uses MOBIKE (RFC 4555). False when left out. */
  readonly mobike?: boolean;
  /** Further lines of the connection and of the child. */
  readonly extra?: string;
  readonly childExtra?: string;
  readonly children?: readonly SwanPolicy[];
}

/** The networks of one child. */
export interface SwanPolicy {
  readonly name: string;
  readonly localTs: string;
  readonly remoteTs: string;
}

/** What `list-sas` tells of one IKE SA and its child SAs. */
export interface SwanSa {
  readonly name: string;
  readonly state: string;
  readonly version: string;
  readonly fields: Readonly<Record<string, ViciValue>>;
  readonly children: readonly SwanChild[];
}

export interface SwanChild {
  readonly state: string;
  readonly spiIn: string;
  readonly spiOut: string;
  readonly packetsIn: number;
  readonly packetsOut: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly encap: boolean;
  readonly fields: Readonly<Record<string, ViciValue>>;
}

/** How a charon-systemd differs from the one that is installed. */
export interface SwanStart {
  /** Further lines of the daemon's section in strongswan.conf. */
  readonly settings?: string;
  /** Folder with the system it is taken from; `folder` must lie below it. */
  readonly root?: string;
}

/** A folder with another Debian release, made by debootstrap, or why there is none (for tap's `skip`). */
interface SwanRoot {
  readonly root: string;
  readonly skip: string | false;
}

/** strongSwan 6.0 of Debian 13. */
export function newerStrongswan(): SwanRoot {
  return strongswanIn('CULVERT_TEST_TRIXIE', 'Debian 13 root with strongSwan 6');
}

/** strongSwan 6.1 of Debian 14 with ML-KEM by OpenSSL, which that of Debian 13 is built without. */
export function hybridStrongswan(): SwanRoot {
  return strongswanIn('CULVERT_TEST_FORKY', 'Debian 14 root with strongSwan 6.1');
}

/** `variable`: the environment variable that names the folder. */
function strongswanIn(variable: string, what: string): SwanRoot {
  const root = process.env[variable] ?? '';
  const missing = (why: string) => ({ root, skip: why });
  if (root === '') return missing(`${variable} names no ${what} (see .ci/run)`);
  for (const file of ['usr/sbin/charon-systemd', 'usr/lib/ipsec/plugins/libstrongswan-kernel-libipsec.so']) {
    if (!existsSync(join(root, file))) return missing(`${root}, named by ${variable}, has no ${file}`);
  }
  return { root, skip: skipWithoutTun() };
}

/**
 * Runs a program inside the system in `root`, with the machine's devices and processes. The mounts are in a
 * namespace of the process and end with it.
 */
function inside(root: string, argv: readonly string[]): string[] {
  if (root === '') return [...argv];
  const script =
    'for d in dev proc; do mount --rbind /$d "$0/$d" || exit; done; mount -t tmpfs none "$0/run" && exec chroot "$0" "$@"';
  return ['unshare', '--mount', 'sh', '-c', script, root, ...argv];
}

/** One charon-systemd with kernel-libipsec in a namespace of its own, driven by swanctl. */
export class StrongSwan {
  #process: ChildProcess;
  readonly #lab: NetworkLab;
  readonly #node: string;
  readonly #folder: string;
  readonly #environment: NodeJS.ProcessEnv;
  readonly #root: string;

  private constructor(
    process: ChildProcess,
    lab: NetworkLab,
    node: string,
    folder: string,
    root: string,
    environment: NodeJS.ProcessEnv,
  ) {
    this.#process = process;
    this.#lab = lab;
    this.#node = node;
    this.#folder = folder;
    this.#root = root;
    this.#environment = environment;
  }

  static async start(
    lab: NetworkLab,
    node: string,
    folder: string,
    { settings = '', root = '' }: SwanStart = {},
  ): Promise<StrongSwan> {
    if (!folder.startsWith(root)) throw new RangeError(`${folder} is not below ${root}`);
    const own = folder.slice(root.length);
    for (const name of SUBFOLDERS) mkdirSync(join(folder, 'swanctl', name), { recursive: true });
    writeFileSync(
      join(folder, 'strongswan.conf'),
      `charon-systemd {
  load_modular = no
  load = ${PLUGINS}
  retransmit_timeout = 1.0
  retransmit_tries = 3
  ${settings}
  plugins { vici { socket = unix://${own}/vici } }
  filelog {
    log {
      path = ${own}/log
      default = 1
      ike = 2
      cfg = 2
      flush_line = yes
    }
  }
}
`,
    );
    const { NOTIFY_SOCKET: _, ...inherited } = process.env;
    const environment = {
      ...inherited,
      STRONGSWAN_CONF: join(own, 'strongswan.conf'),
      SWANCTL_DIR: join(own, 'swanctl'),
    };
    const child = spawnCharon(lab, node, folder, root, environment);
    const swan = new StrongSwan(child, lab, node, folder, root, environment);
    await swan.#untilReady();
    return swan;
  }

  async #untilReady(): Promise<void> {
    for (let tries = 0; tries < 200; tries++) {
      if (existsSync(join(this.#folder, 'vici'))) return;
      if (this.#process.exitCode !== null) break;
      await sleep(50);
    }
    throw new Error(`strongSwan did not start: ${this.log().slice(-2000)}`);
  }

  /** Replaces all connections and secrets. */
  async load(...connections: readonly SwanConnection[]): Promise<void> {
    const file = `connections {\n${connections.map(connectionSection).join('')}}\nsecrets {\n${connections
      .map((c, n) => `  ike-${n} { id-1 = ${c.remote.id}\n secret = "${c.psk}" }\n`)
      .join('')}}\n`;
    await this.loadText(file);
  }

  /** Replaces all connections and secrets by those of a whole swanctl.conf. */
  async loadText(file: string): Promise<void> {
    writeFileSync(join(this.#folder, 'swanctl', 'swanctl.conf'), file, { mode: 0o600 });
    await this.#loadAll();
  }

  async #loadAll(): Promise<void> {
    const result = await this.#swanctl('--load-all', '--clear');
    if (result.code !== 0) throw new Error(`swanctl --load-all: ${result.stderr}${result.stdout}`);
  }

  /** Brings the child up; the log of the attempt is in `output`. */
  async initiate(child = 'c', seconds = 10): Promise<{ readonly ok: boolean; readonly output: string }> {
    const result = await this.#swanctl('--initiate', '--child', child, '--timeout', String(seconds));
    return { ok: result.code === 0, output: result.stdout + result.stderr };
  }

  /** Deletes the IKE SA and waits for the peer's answer. */
  async terminate(ike = 'c'): Promise<void> {
    await this.#swanctl('--terminate', '--ike', ike, '--timeout', '5');
  }

  /** Deletes the child SAs of a name and keeps the IKE SA. */
  async terminateChild(child = 'c'): Promise<void> {
    await this.#swanctl('--terminate', '--child', child, '--timeout', '5');
  }

  /**
   * Rekeys the newest child SA or IKE SA of a name, as initiator of the exchange. Version 1 keeps replaced ones
   * until they expire, and by their name alone all of them would be rekeyed.
   */
  async rekey(what: 'child' | 'ike', name = 'c'): Promise<void> {
    const sas = (await this.sas()).filter((sa) => sa.name === name && sa.state === 'ESTABLISHED');
    const children = sas.flatMap((sa) => sa.children).filter((child) => child.state === 'INSTALLED');
    const ids = (what === 'ike' ? sas : children).map(({ fields }) => Number(fields.uniqueid));
    const result = await this.#swanctl('--rekey', `--${what}-id`, String(Math.max(...ids)));
    if (result.code !== 0) throw new Error(`swanctl --rekey: ${result.stderr}${result.stdout}`);
  }

  async sas(): Promise<SwanSa[]> {
    const result = await this.#swanctl('--list-sas', '--raw');
    if (result.code !== 0) throw new Error(`swanctl --list-sas: ${result.stderr}`);
    const found: SwanSa[] = [];
    for (const { title, body } of parseViciText(result.stdout)) {
      if (!title.startsWith('list-sa event')) continue;
      for (const [name, sa] of Object.entries(body)) found.push(swanSa(name, sa));
    }
    return found;
  }

  /** Everything charon wrote so far. */
  log(): string {
    try {
      return readFileSync(join(this.#folder, 'log'), 'utf8');
    } catch {
      return '';
    }
  }

  /** As a crash would end it. */
  async kill(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGKILL');
    await exited;
  }

  /** Starts it again after `kill`, with the connections it had. */
  async revive(): Promise<void> {
    this.#process = spawnCharon(this.#lab, this.#node, this.#folder, this.#root, this.#environment);
    await this.#untilReady();
    await this.#loadAll();
  }

  async stop(): Promise<void> {
    if (this.#process.exitCode !== null || this.#process.signalCode !== null) return;
    const exited = new Promise((resolve) => this.#process.once('exit', resolve));
    this.#process.kill('SIGTERM');
    await Promise.race([exited, sleep(5000)]);
    if (this.#process.exitCode === null) this.#process.kill('SIGKILL');
  }

  #swanctl(...args: readonly string[]) {
    const uri = `unix://${this.#folder.slice(this.#root.length)}/vici`;
    const argv = inside(this.#root, ['swanctl', ...args, '--uri', uri]);
    return this.#lab.run(this.#node, argv, { env: this.#environment });
  }
}

function spawnCharon(
  lab: NetworkLab,
  node: string,
  folder: string,
  root: string,
  env: NodeJS.ProcessEnv,
): ChildProcess {
  // A daemon that was killed leaves its socket behind.
  rmSync(join(folder, 'vici'), { force: true });
  return lab.spawn(node, inside(root, ['charon-systemd']), { env, stdio: 'ignore' });
}

function connectionSection(c: SwanConnection): string {
  const name = c.name ?? 'c';
  const children = c.children ?? [{ name, localTs: c.local.ts, remoteTs: c.remote.ts }];
  return `  ${name} {
    version = ${c.version ?? 2}
    mobike = ${c.mobike === true ? 'yes' : 'no'}
    encap = ${c.encap === false ? 'no' : 'yes'}
    local_addrs = ${c.local.address}
    remote_addrs = ${c.remote.address}
    proposals = ${c.proposals}
    ${c.extra ?? ''}
    local { auth = psk
      id = ${c.local.id} }
    remote { auth = psk
      id = ${c.remote.id} }
    children {
${children.map((child) => childSection(c, child)).join('')}    }
  }
`;
}

function childSection(
  { espProposals, childExtra = '' }: SwanConnection,
  { name, localTs, remoteTs }: SwanPolicy,
): string {
  return `      ${name} {
        local_ts = ${localTs}
        remote_ts = ${remoteTs}
        esp_proposals = ${espProposals}
        ${childExtra}
      }
`;
}

function swanSa(name: string, value: ViciValue): SwanSa {
  const fields = value as Record<string, ViciValue>;
  const children = Object.values((fields['child-sas'] ?? {}) as Record<string, ViciValue>).map((child) => {
    const c = child as Record<string, ViciValue>;
    return {
      state: String(c.state),
      spiIn: String(c['spi-in']).padStart(8, '0'),
      spiOut: String(c['spi-out']).padStart(8, '0'),
      packetsIn: Number(c['packets-in']),
      packetsOut: Number(c['packets-out']),
      bytesIn: Number(c['bytes-in']),
      bytesOut: Number(c['bytes-out']),
      encap: c.encap === 'yes',
      fields: c,
    };
  });
  return { name, state: String(fields.state), version: String(fields.version), fields, children };
}
