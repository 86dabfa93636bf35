import { isDeepStrictEqual } from 'node:util';
import { type GatewayRecord, KIND, type RouteRecord, type RoutingTableRecord } from '../../store/records.js';
import type { Subnet, Vpc } from '../../store/site.js';
import type { Snapshot } from '../../store/store.js';
import type { ServeFile } from './serve-file.js';

/** A field of the server's file that differs from what runs. */
export interface ServeChange {
  /** As in the file. */
  readonly field: string;
  /** Why it cannot be taken over while the server runs; absent when it can. */
  readonly refused?: string;
}

/** Fields that are fixed when the server starts, by their name in the file. */
const FIXED: Readonly<Record<string, keyof ServeFile>> = {
  listen: 'listen',
  socket: 'socket',
  auth: 'auth',
  trust_proxy: 'trustProxy',
  signing_key_file: 'signingKeyFile',
  store: 'store',
  sealing_key_file: 'sealingKeyFile',
  run_folder: 'runFolder',
  standby: 'standby',
  metrics: 'metrics',
  console: 'console',
};

/** Fields that a running server takes over. */
const LIVE: Readonly<Record<string, keyof ServeFile>> = {
  tokens: 'tokens',
  api_keys: 'apiKeys',
  orphan_seconds: 'orphanSeconds',
  on_stop: 'onStop',
  log_level: 'logLevel',
  plain_http: 'plainHttp',
  'metrics.tokens': 'metricsTokens',
  webhooks: 'webhooks',
};

const RESTART = 'is fixed while the server runs: restart it, with "on_stop: keep" no tunnel goes down';

/**
 * The difference between two files of a server, and what of it cannot be taken over while it runs. Gateways that
 * exist must find their subnet, VPC and addresses in the new file, too, and routing tables their VPC.
 */
export function serveChanges(now: ServeFile, next: ServeFile, objects: Snapshot): ServeChange[] {
  const changed = (fields: Readonly<Record<string, keyof ServeFile>>): string[] =>
    Object.keys(fields).filter((field) => !isDeepStrictEqual(now[fields[field]!], next[fields[field]!]));
  const site = [...new Set([...Object.keys(now.site), ...Object.keys(next.site)])].filter((field) => {
    const key = field as keyof ServeFile['site'];
    return !isDeepStrictEqual(now.site[key], next.site[key]);
  });
  const tls = (now.tls === undefined) !== (next.tls === undefined);
  const moved = [
    ...objects.list<GatewayRecord>(KIND.gateway).flatMap(({ value }) => lostByGateway(value, now, next)),
    ...lostByRouting(objects, now, next),
  ];
  return [
    ...changed(FIXED).map((field) => ({ field, refused: RESTART })),
    ...(tls
      ? [{ field: 'tls', refused: RESTART }]
      : isDeepStrictEqual(now.tls, next.tls)
        ? []
        : [{ field: 'tls' }]),
    ...changed(LIVE).map((field) => ({ field })),
    ...site.map((field) => {
      const refused = moved.find((one) => one.field === field)?.refused;
      const name = field.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
      return refused === undefined ? { field: name } : { field: name, refused };
    }),
  ];
}

/** Tables and routes of VPCs that the new file does not have: they would be neither shown nor in force. */
function lostByRouting(objects: Snapshot, now: ServeFile, next: ServeFile): Required<ServeChange>[] {
  const gone = now.site.vpcs.filter(({ id }) => !next.site.vpcs.some((vpc) => vpc.id === id));
  return gone.flatMap(({ id, name }) => {
    const tables = objects
      .list<RoutingTableRecord>(KIND.routingTable)
      .filter(({ value }) => value.vpc === id);
    const routes = objects.list<RouteRecord>(KIND.route).filter(({ value }) => value.vpc === id);
    const [first] = [...routes, ...tables];
    if (first === undefined) return [];
    const kind = routes.length > 0 ? 'route' : 'routing table';
    const refused = `${kind} ${first.value.name} is of VPC ${name}, which the new file does not have: delete the routes and routing tables of the VPC first, or leave it as it is`;
    return [{ field: 'vpcs', refused }];
  });
}

/** What the new file takes away from a gateway that exists. */
function lostByGateway(gateway: GatewayRecord, now: ServeFile, next: ServeFile): Required<ServeChange>[] {
  const vpcOf = ({ site }: ServeFile): Vpc | undefined => site.vpcs.find(({ id }) => id === gateway.vpc);
  const subnetOf = ({ site }: ServeFile): Subnet | undefined =>
    site.subnets.find(({ id }) => id === gateway.subnet);
  const [vpc, subnet] = [vpcOf(next), subnetOf(next)];
  const lost = (field: string, what: string): Required<ServeChange>[] => [
    { field, refused: `gateway ${gateway.name} ${what}: delete the gateway first, or leave that as it is` },
  ];
  if (vpc === undefined)
    return lost('vpcs', `is in VPC ${vpcOf(now)?.name ?? gateway.vpc}, which the new file does not have`);
  if (vpc.namespace !== vpcOf(now)?.namespace)
    return lost('vpcs', `runs in the namespace of VPC ${vpc.name}, which the new file changes`);
  if (subnet === undefined)
    return lost(
      'subnets',
      `is in subnet ${subnetOf(now)?.name ?? gateway.subnet}, which the new file does not have`,
    );
  if (subnet.vpc !== gateway.vpc || subnet.zone !== gateway.zone || subnet.cidr !== subnetOf(now)?.cidr) {
    return lost('subnets', `is in subnet ${subnet.name}, whose VPC, zone or network the new file changes`);
  }
  const missing = gateway.members
    .flatMap(({ publicAddress }) => publicAddress ?? [])
    .find((address) => !subnet.publicAddresses.includes(address));
  if (missing === undefined) return [];
  return lost('subnets', `listens on ${missing}, which the new file takes out of subnet ${subnet.name}`);
}
