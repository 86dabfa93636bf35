import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import { MEMBER_ADDRESSES, PSK, ServeLab, SUBNETS_OF_TWO_MEMBERS, until, VPCS } from './serve-lab.js';
import { FLOW_PORT, type FlowCount, UdpFlows } from './udp-flows.js';

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];
const CANDIDATES = Array.from({ length: 64 }, (_, n) => 41_000 + n);
export const DPD = { action: 'restart', interval: 1, timeout: 3 };

/**
 * Datagrams, of a hundred per second, that a flow may lose when it moves: half a second for faults of process and host,
 * dead peer detection and a margin for those of the path.
 */
export const LOST = { host: 50, path: 600 };

export type ApiObject = Record<string, unknown> & { id: string };

interface RouteStateBody {
  readonly name: string;
  readonly tunnels: readonly { member: number; interface?: string; status: string; carries: boolean }[];
  readonly moved_at: string | null;
  readonly moves: number;
  readonly notes: readonly string[];
}

/** Something that moves flows from a tunnel, and its end. */
export interface Break {
  readonly what: string;
  /** Source ports of the flows that move, and of those that do not notice. */
  readonly moving: readonly number[];
  readonly staying?: readonly number[];
  /** As many datagrams a flow may lose by it. */
  readonly most: number;
  act(): unknown;
  /** Resolves when the packets go another way. */
  moved(): Promise<unknown>;
  mend?(): unknown;
  /** Resolves when they go as before. */
  back(): Promise<unknown>;
}

/** Gateways with two members under a server, routes to their connections, and four flows from the first VPC to the second. */
export class DistributionLab {
  readonly lab: ServeLab;
  readonly #t: Test;
  #flows: UdpFlows | undefined;

  private constructor(t: Test, lab: ServeLab) {
    this.#t = t;
    this.lab = lab;
  }

  static async open(t: Test): Promise<DistributionLab> {
    const lab = await ServeLab.open({ auth: 'none', api_keys: [], subnets: SUBNETS_OF_TWO_MEMBERS });
    t.teardown(() => lab.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-8000)));
    const settings = ['fib_multipath_hash_policy=1', 'conf.all.rp_filter=0', 'conf.default.rp_filter=0'];
    for (const { node } of VPCS) {
      await lab.network.check(node, ['sysctl', '-w', ...settings.map((one) => `net.ipv4.${one}`)]);
    }
    await lab.start();
    return new DistributionLab(t, lab);
  }

  async get(path: string) {
    return (await this.lab.call('GET', path)).body;
  }

  async make(path: string, body: object): Promise<ApiObject> {
    const { status, body: made } = await this.lab.call('POST', path, body);
    if (status !== 201) throw new Error(`POST ${path}: ${JSON.stringify(made)}`);
    return made;
  }

  async patch(path: string, body: object): Promise<void> {
    this.#t.equal((await this.lab.call('PATCH', path, body)).status, 200);
  }

  /** A gateway with two members in a VPC, both running. */
  async gateway(index: number): Promise<string> {
    const { id: subnet } = await this.#subnet(index);
    const { id } = await this.make('/vpn_gateways', { name: `gateway-${index + 1}`, subnet: { id: subnet } });
    await until(
      'both members run',
      async () => (await this.get(`/vpn_gateways/${id}`)).health_state === 'ok',
    );
    return id;
  }

  connect(gateway: string, address: string, more: object = {}): Promise<ApiObject> {
    return this.make(`/vpn_gateways/${gateway}/connections`, {
      name: `to-${address.replaceAll('.', '-')}`,
      ...{ psk: PSK, peer: { address }, dead_peer_detection: DPD },
      ...more,
    });
  }

  /** A route from a VPC to the network of the other one. */
  async route(index: number, name: string, connection: ApiObject, priority: number): Promise<void> {
    await this.make(`/vpcs/${(await this.#subnet(index)).vpc.id}/routes`, {
      ...{ name, priority, destination: VPCS[1 - index]!.cidr, zone: { name: 'us-south-1' } },
      next_hop: { id: connection.id },
    });
  }

  /** Of a route of the first VPC. */
  async state(name: string): Promise<RouteStateBody> {
    const { vpc } = await this.#subnet(0);
    const { route_states } = await this.get(`/vpcs/${vpc.id}/route_states`);
    return (route_states as RouteStateBody[]).find((one) => one.name === name)!;
  }

  /** Resolves when the tunnels of these members, and no others, carry what goes by a route. */
  async carriedBy(name: string, ...members: number[]): Promise<void> {
    await until(`${name} is carried by ${members}`, async () => {
      const { tunnels } = await this.state(name);
      return String(tunnels.filter(({ carries }) => carries).map((one) => one.member)) === String(members);
    });
  }

  pidOf(gateway: string, member: number): number {
    return this.lab.gateways(`${gateway}-${member - 1}`)[0]!;
  }

  /** Four flows, two by each member of a distributed route: the source ports of these. */
  async startFlows(name: string): Promise<readonly [readonly number[], readonly number[]]> {
    const members = await this.membersOf(name, CANDIDATES);
    const two = (member: number) => CANDIDATES.filter((_, n) => members[n] === member).slice(0, 2);
    const [first, second] = [two(1), two(2)];
    this.#t.same([first.length, second.length], [2, 2], 'both tunnels carry flows');
    const from = { node: vpc1.host, address: vpc1.hostAddress };
    const to = { node: vpc2.host, address: vpc2.hostAddress };
    const flows = await UdpFlows.start(this.lab.network, from, to, [...first, ...second]);
    this.#flows = flows;
    this.#t.teardown(() => flows.stop());
    await until('all flows arrive', async () => Object.keys(await flows.look()).length === 4);
    return [first, second];
  }

  /** Which member flows from these source ports leave by; 0 for none. */
  async membersOf(name: string, ports: readonly number[]): Promise<number[]> {
    const { tunnels } = await this.state(name);
    const where = `${vpc2.hostAddress} from ${vpc1.hostAddress} iif lan ipproto udp`;
    const lines = ports.map((port) => `route get ${where} sport ${port} dport ${FLOW_PORT}\\n`);
    const script = `printf '${lines.join('')}' | ip -force -batch - | grep -o ' dev [^ ]*'`;
    const { stdout } = await this.lab.network.run(vpc1.node, ['sh', '-c', script]);
    const devices = stdout.trim().split('\n');
    return ports.map((_, n) => {
      const device = devices[n]?.trim().slice('dev '.length);
      return tunnels.find((one) => one.interface === device)?.member ?? 0;
    });
  }

  /** The path of one member: nothing comes to its address, or goes from there. */
  async cutPath(member: 1 | 2): Promise<void> {
    const address = MEMBER_ADDRESSES[0][member - 1];
    const rule = (hook: string, field: string): string =>
      `add chain inet cut ${hook} { type filter hook ${hook} priority -300; }; add rule inet cut ${hook} ip ${field} ${address} drop;`;
    const rules = `add table inet cut; ${rule('input', 'daddr')} ${rule('output', 'saddr')}`;
    await this.lab.network.check(vpc1.node, ['nft', rules]);
  }

  async mendPath(): Promise<void> {
    await this.lab.network.check(vpc1.node, ['nft', 'delete table inet cut']);
  }

  /** The flows go on within the bound, others do not notice, and they come back to where they were. */
  async breaks({ what, moving, staying = [], most, act, moved, mend, back }: Break): Promise<void> {
    const t = this.#t;
    const flows = this.#flows!;
    await sleep(300);
    await flows.look();
    await act();
    await moved();
    await sleep(300);
    const seen = await flows.look();
    const lost = worst(seen, moving);
    t.comment(`${what}: ${lost} datagrams lost at most, of a hundred per second`);
    t.ok(
      moving.every((port) => (seen[port]?.received ?? 0) > 0),
      `${what}: the flows go on`,
    );
    t.ok(lost <= most, `${what}: ${lost} lost at most`);
    await mend?.();
    await back();
    await sleep(300);
    const after = await flows.look();
    t.ok(
      moving.every((port) => (after[port]?.received ?? 0) > 0),
      `${what}: and afterwards`,
    );
    if (staying.length === 0) return;
    t.equal(worst(seen, staying), 0, `${what}: the others lose nothing`);
    t.equal(worst(after, staying), 0, `${what}: nor when they come back`);
  }

  /** The most that one of the flows has lost since the last look. */
  async lost(ports: readonly number[]): Promise<number> {
    return worst(await this.#flows!.look(), ports);
  }

  async #subnet(index: number): Promise<{ readonly id: string; readonly vpc: { readonly id: string } }> {
    const { subnets } = await this.get('/subnets');
    return (subnets as { id: string; name: string; vpc: { id: string } }[]).find(
      ({ name }) => name === SUBNETS_OF_TWO_MEMBERS[index]!.name,
    )!;
  }
}

function worst(counts: Readonly<Record<number, FlowCount>>, ports: readonly number[]): number {
  return Math.max(0, ...ports.map((port) => counts[port]?.missing ?? Number.POSITIVE_INFINITY));
}
