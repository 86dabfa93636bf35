import { PROFILES, type Profile } from '../ike/policy/matrix.js';
import { canonicalCidr, cidrOf, cidrRange, formatIp, parseCidr, parseIp, rangeContains } from '../util/ip.js';
import * as Type from '../util/json-schema.js';
import { nearestWord } from '../util/nearest.js';
import { err, ok, type Result } from '../util/result.js';
import type { ConfigIssue, ConfigPath } from './config-error.js';
import { unicastProblem } from './connection-rules.js';
import { hashedId } from './hashed-id.js';
import { SchemaCheck, shown } from './schema-check.js';

/**
 * What a host offers to the control plane: the surroundings that gateways are made in. It comes from the
 * server's configuration and is read-only for clients.
 */
const closed = { additionalProperties: false } as const;

const Id = Type.String({
  pattern: '^[-0-9a-z_]{1,64}$',
  description: 'an id of 1 to 64 lower-case letters, digits, hyphens and underscores',
});
const Name = Type.String({
  pattern: '^[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?$',
  description: 'a name of 1 to 63 lower-case letters, digits and hyphens that begins with a letter',
});
const Count = Type.Optional(Type.Integer({ minimum: 0, maximum: 100_000, description: 'a count' }));

/** Fields of the server's configuration that describe the site. Ids follow from names when left out. */
export const SITE_FIELDS = {
  region: Type.Optional(Name),
  account: Type.Optional(
    Type.String({ pattern: '^[0-9a-zA-Z]{1,64}$', description: 'letters and digits, 1 to 64 of them' }),
  ),
  endpoint: Type.Optional(
    Type.String({
      pattern: '^https?://[^/?#\\s]+$',
      description: 'the URL under which clients see the server, without a path',
    }),
  ),
  profile: Type.Optional(Type.Enum(PROFILES)),
  encapsulation: Type.Optional(Type.Enum(['always', 'auto'])),
  resource_groups: Type.Optional(
    Type.Array(Type.Object({ id: Type.Optional(Id), name: Name }, closed), { minItems: 1 }),
  ),
  vpcs: Type.Array(
    Type.Object(
      {
        id: Type.Optional(Id),
        name: Name,
        namespace: Type.Optional(
          Type.String({
            pattern: '^(?:[A-Za-z0-9_.-]{1,64}|/[^\\s]{1,200})$',
            description: 'the name of a network namespace as in "ip netns", or the absolute path of one',
          }),
        ),
      },
      closed,
    ),
    { minItems: 1 },
  ),
  subnets: Type.Array(
    Type.Object(
      {
        id: Type.Optional(Id),
        name: Name,
        vpc: Type.String({ description: 'the name or id of a VPC' }),
        zone: Type.Optional(Name),
        cidr: Type.String({ description: 'a network as address/prefix' }),
        public_addresses: Type.Array(Type.String({ description: 'an IP address' })),
      },
      closed,
    ),
    { minItems: 1 },
  ),
  quotas: Type.Optional(
    Type.Object(
      {
        gateways_per_region: Count,
        gateways_per_zone: Count,
        route_gateways_per_zone_and_vpc: Count,
        connections_per_gateway: Count,
        cidrs_per_gateway: Count,
        cidrs_per_connection: Count,
        ike_policies: Count,
        ipsec_policies: Count,
        advertised_cidrs_per_gateway: Count,
        advertised_cidrs_per_vpc: Count,
        routing_tables_per_vpc: Count,
        routes_per_routing_table: Count,
        prefix_lengths_per_routing_table: Count,
      },
      closed,
    ),
  ),
};

const SiteSchema = Type.Object(SITE_FIELDS, closed);
/** The `site` section of the server's file as it is spelled, after its schema was checked. */
export type SiteInput = Type.Static<typeof SiteSchema>;

/** Quotas where the server's file sets none. */
export const DEFAULT_QUOTAS = {
  gateways_per_region: 9,
  gateways_per_zone: 3,
  route_gateways_per_zone_and_vpc: 1,
  connections_per_gateway: 10,
  cidrs_per_gateway: 50,
  cidrs_per_connection: 15,
  ike_policies: 20,
  ipsec_policies: 20,
  advertised_cidrs_per_gateway: 10,
  advertised_cidrs_per_vpc: 15,
  routing_tables_per_vpc: 50,
  routes_per_routing_table: 200,
  prefix_lengths_per_routing_table: 14,
} as const;

/** How many objects there may be, by the name of the quota. */
export type Quotas = { readonly [name in keyof typeof DEFAULT_QUOTAS]: number };

/** A label that objects carry for their owner. It has no effect on packets. */
export interface ResourceGroup {
  readonly id: string;
  readonly name: string;
}

/** A network that gateways connect: on this machine, a network namespace. */
export interface Vpc {
  readonly id: string;
  readonly name: string;
  /** Network namespace its gateways run in, by name or absolute path; absent for the server's own. */
  readonly namespace?: string;
}

/** The part of a VPC that a gateway is created in. It says where the gateway may listen. */
export interface Subnet {
  readonly id: string;
  readonly name: string;
  /** Id of the VPC. */
  readonly vpc: string;
  readonly zone: string;
  readonly cidr: string;
  /** Addresses on which gateways of this subnet may listen, in the order in which they are given out. */
  readonly publicAddresses: readonly string[];
}

/** The surroundings that the operator of the server declares and that clients of the API only read. */
export interface Site {
  readonly region: string;
  readonly account: string;
  readonly endpoint?: string;
  readonly profile: Profile;
  readonly encapsulation: 'always' | 'auto';
  /** The first is the default. */
  readonly resourceGroups: readonly ResourceGroup[];
  readonly vpcs: readonly Vpc[];
  readonly subnets: readonly Subnet[];
  readonly quotas: Quotas;
}

const check = new SchemaCheck(SiteSchema);

/** The site with its defaults, or everything that is wrong with it. */
export function readSite(value: unknown): Result<Site, ConfigIssue[]> {
  const input = check.withoutNulls(value) as SiteInput;
  const issues = check.issues(input);
  if (issues.length > 0) return err(issues);
  const region = input.region ?? 'local';
  const groups = input.resource_groups ?? [{ name: 'default' }];
  const resourceGroups = groups.map((group) => ({
    id: group.id ?? hashId('', 'group', group.name),
    name: group.name,
  }));
  const vpcs = input.vpcs.map((vpc) => ({
    id: vpc.id ?? hashId('r006-', 'vpc', vpc.name),
    name: vpc.name,
    ...(vpc.namespace === undefined ? {} : { namespace: vpc.namespace }),
  }));
  const subnets = input.subnets.map((subnet, index) => readSubnet(subnet, index, region, vpcs, issues));
  unique('resource_groups', resourceGroups, issues);
  unique('vpcs', vpcs, issues);
  unique('subnets', subnets, issues);
  checkAddresses(subnets, issues);
  if (issues.length > 0) return err(issues);
  return ok({
    region,
    account: input.account ?? hashId('', 'account', 'culvert').replaceAll('-', ''),
    ...(input.endpoint === undefined ? {} : { endpoint: input.endpoint }),
    profile: input.profile ?? 'compatible',
    encapsulation: input.encapsulation ?? 'always',
    resourceGroups,
    vpcs,
    subnets,
    quotas: { ...DEFAULT_QUOTAS, ...input.quotas },
  });
}

/** The same id for the same name on every start. */
function hashId(prefix: string, kind: string, name: string): string {
  return `${prefix}${hashedId(`culvert ${kind} ${name}`)}`;
}

function readSubnet(
  input: SiteInput['subnets'][number],
  index: number,
  region: string,
  vpcs: readonly Vpc[],
  issues: ConfigIssue[],
): Subnet {
  const path: ConfigPath = ['subnets', index];
  const vpc = vpcs.find(({ id, name }) => id === input.vpc || name === input.vpc);
  if (vpc === undefined) {
    const near = nearestWord(
      input.vpc,
      vpcs.map(({ name }) => name),
    );
    const hint = near === undefined ? '' : `; did you mean "${near}"?`;
    issues.push({ path: [...path, 'vpc'], message: `${shown(input.vpc, path)} is not in vpcs${hint}` });
  }
  const cidr = parseCidr(input.cidr);
  if (!cidr.ok) {
    const message = `${shown(input.cidr, path)} ${cidr.error}`;
    issues.push({ path: [...path, 'cidr'], rule: 'bad_cidr', message });
  } else if (cidr.value.address.length * 8 - cidr.value.prefix < 4) {
    const message = `"${input.cidr}" is too small: a gateway needs four free addresses, so /28 in IPv4 or more`;
    issues.push({ path: [...path, 'cidr'], message });
  }
  const publicAddresses = input.public_addresses.map((text, at) => {
    const problem = unicastProblem(text);
    const place = [...path, 'public_addresses', at];
    if (problem !== undefined) issues.push({ path: place, message: `${shown(text, place)} ${problem}` });
    const ip = parseIp(text);
    return ip === undefined ? text : formatIp(ip);
  });
  return {
    id: input.id ?? hashId('0717-', 'subnet', input.name),
    name: input.name,
    vpc: vpc?.id ?? '',
    zone: input.zone ?? `${region}-1`,
    cidr: canonicalCidr(input.cidr),
    publicAddresses,
  };
}

function unique(
  list: string,
  items: readonly { readonly id: string; readonly name: string }[],
  issues: ConfigIssue[],
): void {
  for (const [index, item] of items.entries()) {
    const earlier = items.slice(0, index).find(({ id, name }) => id === item.id || name === item.name);
    if (earlier === undefined) continue;
    issues.push({ path: [list, index], message: `has a name or id that ${earlier.name} has already` });
  }
}

/** An address is given out by one subnet only; inside a namespace or not, a client could not distinguish two. */
function checkAddresses(subnets: readonly Subnet[], issues: ConfigIssue[]): void {
  const seen = new Set<string>();
  for (const [index, { publicAddresses }] of subnets.entries()) {
    for (const [at, address] of publicAddresses.entries()) {
      const path = ['subnets', index, 'public_addresses', at];
      if (seen.has(address)) issues.push({ path, message: `"${address}" is listed twice: keep one` });
      seen.add(address);
    }
  }
}

/** Reserved at the beginning of a subnet: network, router and two for the platform, as VPCs have it. */
const RESERVED = 4;
/** Addresses that are looked at before a subnet counts as full. */
const MAX_TRIED = 4096;

/** The lowest `count` addresses of the subnet that are free; fewer when it is full. */
export function freeAddresses(subnet: Subnet, taken: ReadonlySet<string>, count: number): string[] {
  const range = cidrRange(cidrOf(subnet.cidr));
  const last = formatIp(range.end);
  const used = new Set([...taken, ...subnet.publicAddresses]);
  const free: string[] = [];
  const ip = Uint8Array.from(range.start);
  for (let offset = 0; offset < MAX_TRIED && free.length < count && rangeContains(range, ip); offset++) {
    const text = formatIp(ip);
    if (text === last) break;
    if (offset >= RESERVED && !used.has(text)) free.push(text);
    let at = ip.length - 1;
    while (at > 0 && ip[at] === 255) ip[at--] = 0;
    ip[at]!++;
  }
  return free;
}
