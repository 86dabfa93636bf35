import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { stringify } from 'yaml';
import { NetworkLab } from '../../src/linux/namespaces.js';
import { PROGRAM, type ProgramOutcome, programOutcome, UNHOOKED } from './program.js';

/** A VPC of the lab: its router's namespace, a host behind it, and where its gateway is to listen. */
export interface LabVpc {
  readonly node: string;
  readonly host: string;
  readonly gatewayAddress: string;
  readonly hostAddress: string;
  readonly cidr: string;
}

export const VPCS: readonly LabVpc[] = [1, 2].map((n) => ({
  node: `vpc-${n}`,
  host: `vm-${n}`,
  gatewayAddress: `192.0.2.${n}`,
  hostAddress: `10.${n}.0.10`,
  cidr: `10.${n}.0.0/24`,
}));

/** The key of the connections between them. */
export const PSK = 'correct-horse-k7Qv2X-mJ9wRt4zHc8b';

/** A gateway in each VPC, and a connection between them, as `culvert apply` takes it. */
export const TWO_GATEWAYS = {
  vpn_gateways: [0, 1].map((n) => ({
    name: `gateway-${n + 1}`,
    subnet: `subnet-${n + 1}`,
    mode: 'policy',
    connections: [
      {
        name: 'to-the-other',
        psk: PSK,
        local: { cidrs: [VPCS[n]!.cidr] },
        peer: { address: VPCS[1 - n]!.gatewayAddress, cidrs: [VPCS[1 - n]!.cidr] },
      },
    ],
  })),
};

/** The public addresses of a gateway with two members in each VPC, and the subnets that have them. */
export const MEMBER_ADDRESSES = [
  ['192.0.2.1', '192.0.2.11'],
  ['192.0.2.2', '192.0.2.12'],
] as const;
export const SUBNETS_OF_TWO_MEMBERS = VPCS.map(({ node, cidr }, index) => ({
  name: `subnet-${index + 1}`,
  vpc: node,
  cidr,
  public_addresses: MEMBER_ADDRESSES[index],
}));

/**
 * Two VPCs on one link, each a namespace with a host behind it, and `culvert serve` for them. The gateways' addresses
 * are nowhere configured: they are brought by the gateways.
 */
export class ServeLab {
  readonly network: NetworkLab;
  readonly folder = mkdtempSync(join(tmpdir(), 'culvert-serve-'));
  readonly #config: string;
  #fields: object;
  #server: ChildProcess | undefined;
  #log = '';
  url = '';

  private constructor(network: NetworkLab, more: object) {
    this.network = network;
    this.#config = join(this.folder, 'site.yaml');
    const key = join(this.folder, 'api-key');
    writeFileSync(key, `${this.apiKey}\n`, { mode: 0o600 });
    writeFileSync(join(this.folder, 'sealing-key'), 'a5'.repeat(32), { mode: 0o600 });
    this.#fields = {
      listen: '127.0.0.1:0',
      socket: 'api.sock',
      store: 'store.db',
      sealing_key_file: 'sealing-key',
      run_folder: 'run',
      // Tests of one process; those of the standby ask for it.
      standby: false,
      region: 'us-south',
      account: 'b668aa2600ac21c890aef16a6210b2fd',
      api_keys: [{ name: 'ci', role: 'editor', file: 'api-key' }],
      vpcs: VPCS.map(({ node }) => ({ name: node, namespace: `/proc/${network.pid(node)}/ns/net` })),
      subnets: VPCS.map(({ node, cidr, gatewayAddress }, index) => ({
        name: `subnet-${index + 1}`,
        vpc: node,
        cidr,
        public_addresses: [gatewayAddress],
      })),
      ...more,
    };
    this.configure({});
  }

  /** Writes the file of the server with other values for some fields; a running one is not asked to read it. */
  configure(more: object): void {
    this.#fields = { ...this.#fields, ...more };
    writeFileSync(this.#config, stringify(this.#fields, { aliasDuplicateObjects: false }), { mode: 0o600 });
  }

  readonly apiKey = 'an-api-key-for-tests-only';

  static async open(more: object = {}): Promise<ServeLab> {
    const network = NetworkLab.create();
    try {
      for (const { node, host } of VPCS) {
        await network.add(node);
        await network.add(host);
      }
      await network.link(
        { node: 'vpc-1', device: 'wan', addresses: ['192.0.2.251/24'] },
        { node: 'vpc-2', device: 'wan', addresses: ['192.0.2.252/24'] },
      );
      for (const [index, { node, host, hostAddress }] of VPCS.entries()) {
        const router = `10.${index + 1}.0.1`;
        await network.link(
          { node, device: 'lan', addresses: [`${router}/24`] },
          { node: host, device: 'eth0', addresses: [`${hostAddress}/24`] },
        );
        await network.check(host, ['ip', 'route', 'add', 'default', 'via', router]);
        await network.forward(node);
      }
      return new ServeLab(network, more);
    } catch (error) {
      await network.dispose();
      throw error;
    }
  }

  get pid(): number {
    return this.#server!.pid!;
  }

  get log(): string {
    return this.#log;
  }

  async start(): Promise<void> {
    const argv = [process.execPath, PROGRAM, 'serve', '--config', this.#config, '--output', 'json'];
    const child = spawn('env', [...UNHOOKED, ...argv], { stdio: ['ignore', 'pipe', 'pipe'] });
    this.#server = child;
    child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    this.url = await new Promise<string>((resolve, reject) => {
      child.stdout!.setEncoding('utf8').once('data', (line: string) => resolve(JSON.parse(line).url));
      child.once('error', reject);
      child.once('exit', (code) => reject(new Error(`the server ended with ${code}:\n${this.#log}`)));
    });
  }

  /** Resolves with the exit code. */
  async end(signal: 'SIGTERM' | 'SIGKILL'): Promise<number | null> {
    const child = this.#server!;
    const ended = new Promise<number | null>((resolve) => child.once('exit', resolve));
    if (child.exitCode !== null || child.signalCode !== null) return child.exitCode;
    child.kill(signal);
    return ended;
  }

  async dispose(): Promise<void> {
    if (this.#server !== undefined) await this.end('SIGKILL');
    for (const pid of this.gateways()) process.kill(pid, 'SIGKILL');
    await this.network.dispose();
    rmSync(this.folder, { recursive: true, force: true });
  }

  /** Process ids of all gateways of this lab, or of one by its id. */
  gateways(id = ''): number[] {
    const wanted = join(this.folder, 'run', id);
    return readdirSync('/proc')
      .filter((entry) => /^[0-9]+$/.test(entry))
      .map(Number)
      .filter((pid) => {
        try {
          const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
          return words.includes('gateway-process') && words.some((word) => word.startsWith(wanted));
        } catch {
          return false;
        }
      });
  }

  /** A request to the API that asks for no token, in its newest version. */
  async call(method: string, path: string, body?: object) {
    const answer = await fetch(`${this.url}/v1${path}?version=2026-03-24&generation=2`, {
      method,
      ...(body === undefined ? {} : { body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    return { status: answer.status, body: text === '' ? undefined : JSON.parse(text) };
  }

  /** `culvert …` against the Unix socket. */
  culvert(...argv: string[]): Promise<ProgramOutcome> {
    const environment = [`CULVERT_ENDPOINT=unix:${join(this.folder, 'api.sock')}`];
    return programOutcome(['env', ...UNHOOKED, ...environment, process.execPath, PROGRAM, ...argv]);
  }

  /** A shell script with curl, as the documents print them; `E` is the endpoint. */
  async sh(script: string, environment: Readonly<Record<string, string>> = {}): Promise<string> {
    const variables = Object.entries({ rias_endpoint: this.url, vpc_api_endpoint: this.url, ...environment });
    const { code, out, err } = await programOutcome([
      'env',
      ...variables.map(([name, value]) => `${name}=${value}`),
      ...['sh', '-c', script],
    ]);
    if (code !== 0) throw new Error(`the script ended with ${code}: ${err}`);
    return out;
  }

  /** Answers of `ping -c COUNT` between the hosts of the two VPCs. */
  async ping(from: LabVpc, address: string, count = 2, source?: string): Promise<number> {
    const bind = source === undefined ? [] : ['-I', source];
    const argv = ['ping', '-q', '-n', '-c', String(count), '-i', '0.05', '-W', '2', ...bind, address];
    const { stdout } = await this.network.run(from.host, argv);
    return Number(/(\d+) received/.exec(stdout)?.[1] ?? 0);
  }

  /** What a namespace has of devices, IPv4 addresses and routes: what the kernel adds in its own time is left out. */
  async stateOf(node: string): Promise<string> {
    const links = await this.network.check(node, ['ip', '-brief', 'link']);
    const devices = links.split('\n').map((line) => line.split(' ', 1)[0]);
    const addresses = await this.network.check(node, ['ip', '-4', '-oneline', 'address']);
    const routes = await this.network.check(node, ['ip', 'route']);
    return `${devices.join('\n')}${addresses}${routes.replaceAll(' linkdown', '')}`;
  }
}

export async function until<T>(
  what: string,
  look: () => Promise<T | undefined | false> | T | undefined | false,
): Promise<T> {
  for (let tries = 0; tries < 400; tries++) {
    const found = await look();
    if (found !== undefined && found !== false) return found;
    await sleep(50);
  }
  throw new Error(`it did not come to pass: ${what}`);
}
