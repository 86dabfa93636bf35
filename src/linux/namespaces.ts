import { type ChildProcess, type SpawnOptions, spawn, spawnSync } from 'node:child_process';
import { readdirSync, readlinkSync } from 'node:fs';

/** Exit code and output of a finished command. */
export interface CommandResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** One end of a link: the node, the device's name there, and its addresses as `address/prefix`. */
export interface LinkEnd {
  readonly node: string;
  readonly device: string;
  readonly addresses?: readonly string[];
}

/** Whether network namespaces can be made here, and if only in a user namespace; or why not. */
export type LabSupport =
  | { readonly ok: true; readonly userNamespace: boolean }
  | { readonly ok: false; readonly reason: string };

interface Holder {
  readonly pid: number;
  readonly process: ChildProcess;
}

/**
 * Whether network namespaces can be made here, and whether it takes a user namespace to do so (an ordinary
 * user). The answer is found by trying.
 */
export function networkLabSupport(): LabSupport {
  const reasons: string[] = [];
  for (const userNamespace of process.getuid?.() === 0 ? [false, true] : [true]) {
    const probe = spawnSync('unshare', [...unshareFlags(userNamespace), 'true'], { encoding: 'utf8' });
    if (probe.status === 0) return { ok: true, userNamespace };
    reasons.push(probe.error?.message ?? probe.stderr.trim());
  }
  return {
    ok: false,
    reason: `network namespaces cannot be created here (${reasons.join('; ')}): run as root, or allow user namespaces (sysctl user.max_user_namespaces, kernel.apparmor_restrict_unprivileged_userns=0)`,
  };
}

function unshareFlags(userNamespace: boolean): string[] {
  return userNamespace ? ['--user', '--map-root-user', '--net'] : ['--net'];
}

/**
 * A private network of namespaces joined by veth pairs, for the demonstration and for tests. It needs root
 * or a user namespace of its own, and nothing of it has a name outside: each namespace lives as long as a
 * holder process that ends when its standard input closes. So even when this process is killed, the kernel
 * takes the namespaces, their devices and their routes away.
 */
export class NetworkLab {
  /** Whether the namespaces belong to a user namespace, that is, were made without root. */
  readonly userNamespace: boolean;
  readonly #holders = new Map<string, Holder>();
  readonly #children = new Set<ChildProcess>();
  #first: Holder | undefined;
  #disposed = false;
  readonly #onExit = () => this.#killNow();

  private constructor(userNamespace: boolean) {
    this.userNamespace = userNamespace;
    process.once('exit', this.#onExit);
  }

  /** @throws Error with the reason when namespaces cannot be made here */
  static create(): NetworkLab {
    const support = networkLabSupport();
    if (!support.ok) throw new Error(support.reason);
    return new NetworkLab(support.userNamespace);
  }

  /** Makes a namespace; its loopback device is up. Names are known to this lab only. */
  async add(name: string): Promise<void> {
    if (this.#disposed) throw new Error('this network lab was disposed of');
    if (this.#holders.has(name)) throw new Error(`the network lab already has a namespace "${name}"`);
    const hold = ['sh', '-c', 'ip link set lo up && echo ready && exec cat >/dev/null'];
    // The first namespace also makes the user namespace; the others join it, so that all have one owner.
    const argv =
      this.#first !== undefined && this.userNamespace
        ? ['nsenter', ...this.#enter(this.#first.pid, false), 'unshare', '--net', ...hold]
        : ['unshare', ...unshareFlags(this.userNamespace), ...hold];
    const child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'pipe'] });
    await firstLine(child, `making the namespace "${name}"`);
    // The holder must not keep our event loop alive, nor die of a broken pipe.
    child.unref();
    unrefStream(child.stdin);
    unrefStream(child.stdout);
    unrefStream(child.stderr);
    const holder = { pid: child.pid!, process: child };
    this.#first ??= holder;
    this.#holders.set(name, holder);
  }

  /** Joins two namespaces by a veth pair; both ends are up. */
  async link(a: LinkEnd, b: LinkEnd, mtu = 1500): Promise<void> {
    const other = String(this.pid(b.node));
    await this.check(a.node, [
      ...['ip', 'link', 'add', a.device, 'mtu', String(mtu), 'type', 'veth', 'peer'],
      ...['name', b.device, 'mtu', String(mtu), 'netns', other],
    ]);
    for (const end of [a, b]) {
      for (const address of end.addresses ?? []) {
        // nodad: an IPv6 address must be usable at once.
        const nodad = address.includes(':') ? ['nodad'] : [];
        await this.check(end.node, ['ip', 'address', 'add', address, 'dev', end.device, ...nodad]);
      }
      await this.check(end.node, ['ip', 'link', 'set', end.device, 'up']);
    }
  }

  /** Sets one kernel variable, for example `net.ipv4.ip_forward`. */
  async sysctl(node: string, key: string, value: string): Promise<void> {
    const path = `/proc/sys/${key.replaceAll('.', '/')}`;
    await this.check(node, ['sh', '-c', 'echo "$1" > "$0"', path, value]);
  }

  /** Lets the namespace route IPv4 and, where the kernel has it, IPv6. */
  async forward(node: string): Promise<void> {
    await this.sysctl(node, 'net.ipv4.ip_forward', '1');
    await this.run(node, ['sh', '-c', 'echo 1 > /proc/sys/net/ipv6/conf/all/forwarding']);
  }

  /** A process in a namespace. It dies with this process and with the lab. */
  spawn(node: string, argv: readonly string[], options: SpawnOptions = {}): ChildProcess {
    if (this.#disposed) throw new Error('this network lab was disposed of');
    const child = spawn(
      'nsenter',
      [...this.#enter(this.pid(node), true), ...dieWithParent(), ...argv],
      options,
    );
    this.#children.add(child);
    child.once('exit', () => this.#children.delete(child));
    return child;
  }

  /** Runs a command to its end. Never rejects because of its exit code. */
  run(node: string, argv: readonly string[], options: SpawnOptions = {}): Promise<CommandResult> {
    return new Promise((resolve, reject) => {
      const child = this.spawn(node, argv, { ...options, stdio: ['ignore', 'pipe', 'pipe'] });
      let stdout = '';
      let stderr = '';
      child.stdout!.setEncoding('utf8').on('data', (text: string) => {
        stdout += text;
      });
      child.stderr!.setEncoding('utf8').on('data', (text: string) => {
        stderr += text;
      });
      child.once('error', reject);
      child.once('close', (code) => resolve({ code, stdout, stderr }));
    });
  }

  /** Runs a command that must exit 0 and answers with its output. @throws Error with its error text */
  async check(node: string, argv: readonly string[], options: SpawnOptions = {}): Promise<string> {
    const result = await this.run(node, argv, options);
    if (result.code !== 0) {
      throw new Error(`"${argv.join(' ')}" in namespace "${node}": ${result.stderr.trim() || result.code}`);
    }
    return result.stdout;
  }

  /** Process id that holds the namespace, for `ip link … netns PID` and /proc/PID/ns/net. */
  pid(node: string): number {
    const holder = this.#holders.get(node);
    if (holder === undefined) throw new Error(`the network lab has no namespace "${node}"`);
    return holder.pid;
  }

  /** Words before a command line that run it in the namespace, for a person to type. */
  enterWords(node: string): string[] {
    return ['nsenter', ...this.#enter(this.pid(node), true)];
  }

  /** Ends every process in the namespaces and the namespaces themselves. Safe to call twice. */
  async dispose(): Promise<void> {
    if (this.#disposed) return;
    this.#disposed = true;
    process.removeListener('exit', this.#onExit);
    const ended = [...this.#children].map(exited);
    const holders = [...this.#holders.values()].map((holder) => exited(holder.process));
    this.#killNow();
    await Promise.all([...ended, ...holders]);
    this.#holders.clear();
  }

  #killNow(): void {
    for (const child of this.#children) child.kill('SIGKILL');
    for (const pid of this.#inhabitants()) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended by itself in the meantime.
      }
    }
    for (const holder of this.#holders.values()) holder.process.kill('SIGKILL');
  }

  /** Whatever else runs in our namespaces, for example what a killed child had started. */
  #inhabitants(): number[] {
    const namespaces = new Set<string>();
    for (const { pid } of this.#holders.values()) {
      const namespace = networkNamespaceOf(pid);
      if (namespace !== undefined) namespaces.add(namespace);
    }
    const own = networkNamespaceOf(process.pid);
    if (own !== undefined) namespaces.delete(own);
    if (namespaces.size === 0) return [];
    return readdirSync('/proc')
      .filter((entry) => /^[0-9]+$/.test(entry))
      .map(Number)
      .filter((pid) => namespaces.has(networkNamespaceOf(pid) ?? ''));
  }

  #enter(pid: number, net: boolean): string[] {
    const flags = ['--target', String(pid)];
    if (this.userNamespace) flags.push('--user', '--preserve-credentials');
    if (net) flags.push('--net');
    return [...flags, '--'];
  }
}

let setpriv: boolean | undefined;

/** setpriv (util-linux) makes the kernel end the command when its parent dies, however the parent dies. */
function dieWithParent(): string[] {
  setpriv ??= spawnSync('setpriv', ['--pdeathsig', 'KILL', 'true'], { stdio: 'ignore' }).status === 0;
  return setpriv ? ['setpriv', '--pdeathsig', 'KILL', '--'] : [];
}

function networkNamespaceOf(pid: number): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return undefined;
  }
}

function exited(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return Promise.resolve();
  child.ref();
  return new Promise((resolve) => child.once('exit', () => resolve()));
}

function firstLine(child: ChildProcess, doing: string): Promise<void> {
  return new Promise((resolve, reject) => {
    let stderr = '';
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      stderr += text;
    });
    child.stdout!.once('data', () => resolve());
    child.once('error', (error) => reject(new Error(`${doing}: ${error.message}`)));
    child.once('exit', (code) => reject(new Error(`${doing}: ${stderr.trim() || `exit code ${code}`}`)));
  });
}

function unrefStream(stream: unknown): void {
  const handle = stream as { unref?: () => void } | null;
  handle?.unref?.();
}
