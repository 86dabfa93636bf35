import type { ConfigIssue, ConfigPath } from '../../store/config-error.js';
import { ROUTE_ACTIONS, ROUTE_LEARNERS, ROUTE_MAKERS, ROUTE_PRIORITY } from '../../store/records.js';
import { IkePolicySchema } from '../../store/schema.js';
import { canonicalCidr, canonicalIp, parseCidr } from '../../util/ip.js';
import * as Type from '../../util/json-schema.js';

/** Where a route leads, by address or by names; null for nowhere. */
export type NextHopWish =
  | { readonly address: string }
  | { readonly gateway: string; readonly connection: string }
  | null;

/** A route that the file declares, with all defaults filled in. */
export interface RouteWish {
  readonly name: string;
  readonly zone: string;
  readonly destination: string;
  readonly action: string;
  readonly next_hop: NextHopWish;
  readonly priority: number;
  readonly advertise: boolean;
}

/** Whether packets from somewhere else than subnets are routed by a table. */
export interface IngressWish {
  readonly route_direct_link_ingress: boolean;
  readonly route_internet_ingress: boolean;
  readonly route_transit_gateway_ingress: boolean;
  readonly route_vpc_zone_ingress: boolean;
}

/** A routing table that the file declares, with all defaults filled in. */
export interface TableWish extends IngressWish {
  /** Name or id. */
  readonly vpc: string;
  readonly isDefault: boolean;
  /** Absent for a default table whose name stays. */
  readonly name?: string;
  readonly accept_routes_from: readonly string[];
  readonly advertise_routes_to: readonly string[];
  /** Names or ids, in order; empty for the default table. */
  readonly subnets: readonly string[];
  readonly routes: readonly RouteWish[];
}

const closed = { additionalProperties: false } as const;
const { Optional } = Type;
const text = (description: string) => Type.String({ minLength: 1, description });
const { name } = IkePolicySchema.properties;

const RouteSchema = Type.Object(
  {
    name,
    zone: text('the name of a zone'),
    destination: text('a network as address/prefix'),
    action: Optional(Type.Enum([...ROUTE_ACTIONS])),
    next_hop: Optional(
      Type.Object(
        {
          address: Optional(text('an IP address')),
          gateway: Optional(text('the name of a VPN gateway in the VPC')),
          connection: Optional(text('the name of one of its connections')),
        },
        closed,
      ),
    ),
    priority: Optional(Type.Integer({ minimum: ROUTE_PRIORITY.min, maximum: ROUTE_PRIORITY.max })),
    advertise: Optional(Type.Boolean()),
  },
  closed,
);

const list = <T extends string>(values: readonly T[]) =>
  Optional(Type.Array(Type.Enum([...values]), { maxItems: values.length, uniqueItems: true }));
const Flag = Optional(Type.Boolean());

/** A routing table in a file for `culvert apply`. */
export const TableSchema = Type.Object(
  {
    vpc: text('a VPC by name or id'),
    default: Flag,
    name: Optional(name),
    accept_routes_from: list(ROUTE_MAKERS),
    advertise_routes_to: list(ROUTE_LEARNERS),
    route_direct_link_ingress: Flag,
    route_internet_ingress: Flag,
    route_transit_gateway_ingress: Flag,
    route_vpc_zone_ingress: Flag,
    subnets: Optional(Type.Array(text('a subnet by name or id'))),
    routes: Optional(Type.Array(RouteSchema)),
  },
  closed,
);
type TableInput = Type.Static<typeof TableSchema>;
type RouteInput = NonNullable<TableInput['routes']>[number];

/** What the schema cannot say of tables. */
export function tableIssues(tables: readonly TableInput[]): ConfigIssue[] {
  const issues: ConfigIssue[] = [];
  const seen = new Map<string, string>();
  const once = (path: ConfigPath, key: string, what: string): void => {
    if (seen.has(key)) issues.push({ path, message: `${what} stands in the file twice: keep one` });
    seen.set(key, what);
  };
  for (const [index, table] of tables.entries()) {
    const path = ['routing_tables', index];
    if (table.default === true) {
      once(path, `default ${table.vpc}`, `the default table of VPC "${table.vpc}"`);
      if ((table.subnets ?? []).length > 0) {
        const message = 'is not for the default table: it has the subnets that no other table has';
        issues.push({ path: [...path, 'subnets'], message });
      }
    } else if (table.name === undefined) {
      issues.push({ path: [...path, 'name'], message: 'is missing: only a default table may have none' });
    }
    if (table.name !== undefined) once([...path, 'name'], `${table.vpc} ${table.name}`, `"${table.name}"`);
    for (const [at, subnet] of (table.subnets ?? []).entries()) {
      once([...path, 'subnets', at], `subnet ${subnet}`, `subnet "${subnet}"`);
    }
    for (const [at, route] of (table.routes ?? []).entries()) {
      const place = [...path, 'routes', at];
      once([...place, 'name'], `${index} ${route.name}`, `"${route.name}"`);
      issues.push(...routeIssues(route, place));
    }
  }
  return issues;
}

function routeIssues({ destination, next_hop: hop }: RouteInput, place: ConfigPath): ConfigIssue[] {
  const cidr = parseCidr(destination);
  const { address, gateway, connection } = hop ?? {};
  const isWhole =
    hop === undefined ||
    (address === undefined
      ? gateway !== undefined && connection !== undefined
      : gateway === undefined && connection === undefined);
  return [
    ...(cidr.ok ? [] : [{ path: [...place, 'destination'], message: cidr.error }]),
    ...(isWhole
      ? []
      : [{ path: [...place, 'next_hop'], message: 'needs either "address", or "gateway" and "connection"' }]),
  ];
}

/** What a default table accepts that was never changed, and what any other does. */
export function usualMakers(isDefault: boolean): readonly string[] {
  return isDefault ? ROUTE_MAKERS : [];
}

/** A table of the file with its defaults. */
export function tableWish(input: TableInput): TableWish {
  const isDefault = input.default === true;
  return {
    vpc: input.vpc,
    isDefault,
    ...(input.name === undefined ? {} : { name: input.name }),
    accept_routes_from: sorted(input.accept_routes_from ?? usualMakers(isDefault)),
    advertise_routes_to: sorted(input.advertise_routes_to ?? []),
    route_direct_link_ingress: input.route_direct_link_ingress ?? false,
    route_internet_ingress: input.route_internet_ingress ?? false,
    route_transit_gateway_ingress: input.route_transit_gateway_ingress ?? false,
    route_vpc_zone_ingress: input.route_vpc_zone_ingress ?? false,
    subnets: input.subnets ?? [],
    routes: (input.routes ?? []).map(routeWish),
  };
}

/** In one order, so that two lists compare by what is in them. */
export function sorted(list: readonly string[]): readonly string[] {
  return [...list].sort();
}

function routeWish(input: RouteInput): RouteWish {
  const { address, gateway, connection } = input.next_hop ?? {};
  return {
    name: input.name,
    zone: input.zone,
    destination: canonicalCidr(input.destination),
    action: input.action ?? 'deliver',
    next_hop:
      address !== undefined
        ? { address: canonicalIp(address) }
        : gateway !== undefined && connection !== undefined
          ? { gateway, connection }
          : null,
    priority: input.priority ?? ROUTE_PRIORITY.usual,
    advertise: input.advertise ?? false,
  };
}
