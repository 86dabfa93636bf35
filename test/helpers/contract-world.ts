import type { Test } from 'tap';
import { OPERATIONS } from '../../src/api/routes.js';
import {
  ApiLab,
  IKE,
  IPSEC,
  type LabAnswer,
  type LabOptions,
  PSK,
  policyConnection,
  SITE,
} from './api-lab.js';
import { FakeRunner } from './fake-runner.js';
import { addRouting } from './routing-cases.js';

/** What the requests of a case find: one object of every kind, in every state that an operation treats apart. */
export interface World {
  readonly lab: ApiLab;
  /** Ids of objects by what they are here. */
  readonly ids: Readonly<Record<string, string>>;
  /** Entity tag of connection `c`. */
  readonly tag: string;
}

export interface ContractCase {
  readonly status: number;
  /** Of the first error; none for a success. */
  readonly code?: string;
  /** Parameters of the path; values in braces are ids of the world. Those of the operation when left out. */
  readonly params?: Readonly<Record<string, string>>;
  readonly query?: string;
  readonly body?: unknown;
  readonly raw?: string | Buffer;
  readonly headers?: (world: World) => Readonly<Record<string, string>>;
  readonly version?: string;
  /** Quotas other than those of the world: the case then has a world of its own. */
  readonly quotas?: Readonly<Record<string, number>>;
}

/** No gateway is on it, and none can be: it has no public addresses. */
const EMPTY = {
  id: '0717-empty',
  name: 'subnet-3',
  vpc: 'vpc-two',
  zone: 'us-south-3',
  cidr: '192.168.7.0/24',
  public_addresses: [],
};

const ROOM = {
  gateways_per_region: 100,
  gateways_per_zone: 100,
  route_gateways_per_zone_and_vpc: 10,
};

/** Builds the world. `release` lets the gateways go that are being deleted. */
export async function makeWorld(
  t: Test,
  quotas: Readonly<Record<string, number>> = {},
  options: LabOptions = {},
): Promise<{ readonly world: World; release(): void }> {
  const runner = new FakeRunner();
  const site = { quotas: { ...ROOM, ...quotas }, subnets: [...SITE.subnets, EMPTY] };
  const lab = await ApiLab.open(t, { ...options, runner, site });
  const ids: Record<string, string> = { none: '0717-none' };
  const make = async (name: string, target: string, body: object): Promise<LabAnswer> => {
    const made = await lab.post(target, body);
    if (made.status !== 201) throw new Error(`${name}: ${JSON.stringify(made.body)}`);
    ids[name] = made.body.id;
    return made;
  };
  await make('ike', '/ike_policies', { ...IKE, name: 'ike' });
  await make('ike2', '/ike_policies', { ...IKE, name: 'ike2' });
  await make('ipsec', '/ipsec_policies', { ...IPSEC, name: 'ipsec' });
  await make('ipsec2', '/ipsec_policies', { ...IPSEC, name: 'ipsec2' });
  for (const [name, mode, subnet] of [
    ['gw', 'policy', '0717-sub'],
    ['dying', 'policy', '0717-sub'],
    ['rgw', 'route', '0717-sub2'],
    ['rdying', 'route', '0717-sub2'],
    ['rtgw', 'route', '0717-sub2'],
  ] as const) {
    ids[name] = await lab.gateway(name, mode, subnet);
  }
  runner.standbys.set(ids.gw!, { active: 0, isReady: true });
  ids.reserved = (await lab.get(`/vpn_gateways/${ids.gw}`)).body.members[0].private_ip.id;
  runner.startsAs = 'starting';
  await make('pending', '/vpn_gateways', { name: 'pending', mode: 'policy', subnet: { id: '0717-sub' } });
  const policies = { ike_policy: { id: ids.ike }, ipsec_policy: { id: ids.ipsec } };
  const two = { local: { cidrs: ['192.168.100.0/24', '192.168.101.0/24'] } };
  const first = policyConnection(1, { ...policies, ...two });
  const c = await make('c', `/vpn_gateways/${ids.gw}/connections`, {
    ...first,
    peer: { address: '169.21.50.1', cidrs: ['10.1.0.0/16', '10.101.0.0/16'] },
  });
  await make('c2', `/vpn_gateways/${ids.gw}/connections`, policyConnection(2));
  await make('dc', `/vpn_gateways/${ids.dying}/connections`, policyConnection(3));
  const routed = { psk: PSK, peer: { address: '169.21.50.9' } };
  await make('rc', `/vpn_gateways/${ids.rgw}/connections`, routed);
  await lab.put(`/vpn_gateways/${ids.rgw}/advertised_cidrs/10.45.0.0%2F16`);
  await make('rdc', `/vpn_gateways/${ids.rdying}/connections`, routed);
  await addRouting(lab, ids, make);
  let release = (): void => undefined;
  runner.stopping = new Promise((resolve) => {
    release = resolve;
  });
  for (const name of ['dying', 'rdying']) await lab.delete(`/vpn_gateways/${ids[name]}`);
  return { world: { lab, ids, tag: String(c.headers.etag) }, release };
}

/** Sends the request of a case to an operation. */
export function sendCase(world: World, operation: string, one: ContractCase): Promise<LabAnswer> {
  const { lab, ids } = world;
  const found = OPERATIONS.find(({ id }) => id === operation);
  if (found === undefined) throw new Error(`there is no operation ${operation}`);
  const { method, path, prefixes = ['/v1'] } = found;
  const target = path.replace(/:([a-z_]+)/g, (_, name: string) => {
    const value = one.params?.[name];
    if (value === undefined) throw new Error(`${operation} needs a value for ${name}`);
    return value.replace(/\{([a-z0-9]+)\}/g, (_, key: string) => ids[key]!);
  });
  const query = one.query === undefined ? '' : `?${one.query}`;
  return lab.send(method, `${target}${query}`, {
    prefix: prefixes[0]!,
    ...(one.version === undefined ? {} : { version: one.version }),
    ...(one.body === undefined ? {} : { body: withIds(one.body, ids) }),
    ...(one.raw === undefined ? {} : { raw: one.raw }),
    ...(one.headers === undefined ? {} : { headers: one.headers(world) }),
  });
}

/** A body with the ids of the world where it has `{name}`. */
function withIds(body: unknown, ids: World['ids']): unknown {
  return JSON.parse(
    JSON.stringify(body).replace(/"\{([a-z0-9]+)\}"/g, (whole, key: string) =>
      ids[key] === undefined ? whole : `"${ids[key]}"`,
    ),
  );
}
