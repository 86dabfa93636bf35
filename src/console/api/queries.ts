import { type UseQueryResult, useQueries, useQuery } from '@tanstack/react-query';
import { type ApiFailure, ask, get, list, own, startOf, vpc } from './client.ts';
import { MAX_EVENTS, useLiveness } from './live.ts';
import { keptEvents } from './stream.ts';
import type {
  AuditEntry,
  Connection,
  Credentials,
  CulvertEvent,
  Diagnosis,
  Gateway,
  History,
  IkePolicy,
  IpsecPolicy,
  Route,
  RoutingTable,
  Subnet,
  Vpc,
  Zone,
} from './types.ts';

/** How often what moves without events is read again, in milliseconds. */
const COUNTERS_MS = 5000;
/** How often everything is while events do not come. */
const FALLBACK_MS = 10_000;

/** A query that is asked again by itself while there are no events. */
type Result<T> = UseQueryResult<T, ApiFailure>;

function useFollowed<T>(
  queryKey: readonly unknown[],
  read: (signal: AbortSignal) => Promise<T>,
  everyMs: number | false = false,
): Result<T> {
  const lost = useLiveness().state === 'lost';
  return useQuery<T, ApiFailure>({
    queryKey,
    queryFn: ({ signal }) => read(signal),
    refetchInterval: lost && everyMs === false ? FALLBACK_MS : everyMs,
  });
}

/** All gateways. */
export function useGateways(): Result<readonly Gateway[]> {
  return useFollowed(['gateways'], (signal) => list<Gateway>(vpc('/vpn_gateways'), 'vpn_gateways', signal));
}

/** The connections of a gateway. */
export function useConnections(gateway: string): Result<readonly Connection[]> {
  return useFollowed(['connections', gateway], (signal) => readConnections(gateway, signal));
}

/** The connections of several gateways, in their order; undefined where they are not read yet. */
export function useConnectionsOf(
  gateways: readonly string[],
): readonly (readonly Connection[] | undefined)[] {
  return useQueries({
    queries: gateways.map((gateway) => ({
      queryKey: ['connections', gateway],
      queryFn: ({ signal }: { signal: AbortSignal }) => readConnections(gateway, signal),
    })),
    combine: (results) => results.map(({ data }) => data),
  });
}

function readConnections(gateway: string, signal: AbortSignal): Promise<readonly Connection[]> {
  return list<Connection>(vpc(`/vpn_gateways/${gateway}/connections`), 'connections', signal);
}

/** A connection with its ETag, and its gateway; `error` is why one of them is not known. */
export function useConnectionOfGateway(gatewayId: string, id: string) {
  const gateways = useGateways();
  const connection = useFollowed(['connections', gatewayId, id], (signal) =>
    ask<Connection>('GET', connectionPath(gatewayId, id), { signal }),
  );
  return {
    gateway: gateways.data?.find((one) => one.id === gatewayId),
    connection: connection.data,
    error: connection.error ?? gateways.error,
    retry: () => void connection.refetch(),
  };
}

/** Path of a connection. */
export function connectionPath(gateway: string, id: string): string {
  return vpc(`/vpn_gateways/${gateway}/connections/${id}`);
}

/** Why a connection is as it is; its counters move all the time. */
export function useDiagnosis(gateway: string, id: string): Result<Diagnosis> {
  const path = own(`/vpn_gateways/${gateway}/connections/${id}/diagnosis`);
  return useFollowed(['diagnosis', gateway, id], (signal) => get<Diagnosis>(path, signal), COUNTERS_MS);
}

/** How a connection has fared. `step`: seconds of each point. */
export function useHistory(gateway: string, id: string, step: number): Result<History> {
  const path = own(`/vpn_gateways/${gateway}/connections/${id}/history?step=${step}`);
  const every = Math.max(2000, Math.min(60_000, step * 1000));
  return useFollowed(['history', gateway, id, step], (signal) => get<History>(path, signal), every);
}

/** All IKE policies. */
export function useIkePolicies(): Result<readonly IkePolicy[]> {
  return useFollowed(['ike_policy'], (signal) =>
    list<IkePolicy>(vpc('/ike_policies'), 'ike_policies', signal),
  );
}

/** All IPsec policies. */
export function useIpsecPolicies(): Result<readonly IpsecPolicy[]> {
  return useFollowed(['ipsec_policy'], (signal) =>
    list<IpsecPolicy>(vpc('/ipsec_policies'), 'ipsec_policies', signal),
  );
}

/** All VPCs. */
export function useVpcs(): Result<readonly Vpc[]> {
  return useFollowed(['vpcs'], (signal) => list<Vpc>(vpc('/vpcs'), 'vpcs', signal));
}

/** All subnets. */
export function useSubnets(): Result<readonly Subnet[]> {
  return useFollowed(['subnets'], (signal) => list<Subnet>(vpc('/subnets'), 'subnets', signal));
}

/** The zones of the region. */
export function useZones(): Result<readonly Zone[]> {
  return useFollowed(['zones'], async (signal) => {
    const { regions } = await get<{ regions: readonly { name: string }[] }>(vpc('/regions'), signal);
    const region = regions[0]?.name ?? '';
    return (await get<{ zones: readonly Zone[] }>(vpc(`/regions/${region}/zones`), signal)).zones;
  });
}

/** A routing table and what it leads to. */
export interface TableWithRoutes {
  readonly vpc: Vpc;
  readonly table: RoutingTable;
  readonly routes: readonly Route[];
}

/** The routing tables of all VPCs with their routes. */
export function useRouting(): Result<readonly TableWithRoutes[]> {
  return useFollowed(['routing'], async (signal) => {
    const vpcs = await list<Vpc>(vpc('/vpcs'), 'vpcs', signal);
    const tables = await Promise.all(
      vpcs.map(async (one) => {
        const path = `/vpcs/${one.id}/routing_tables`;
        const found = await list<RoutingTable>(vpc(path), 'routing_tables', signal);
        return Promise.all(
          found.map(async (table) => {
            const routes = await list<Route>(vpc(`${path}/${table.id}/routes`), 'routes', signal);
            return { vpc: one, table, routes };
          }),
        );
      }),
    );
    return tables.flat();
  });
}

/** A page of the audit trail, and the token of the next one. */
export interface AuditPage {
  readonly entries: readonly AuditEntry[];
  readonly total: number;
  readonly next: string | undefined;
}

/** A page of the audit trail, newest first. */
export function useAudit(query: Readonly<Record<string, string>>): Result<AuditPage> {
  return useFollowed(['audit', query], async (signal) => {
    const { body } = await ask<{
      readonly entries: readonly AuditEntry[];
      readonly total_count: number;
      readonly next?: { readonly href: string };
    }>('GET', own('/audit'), { query: { ...query, limit: '50' }, signal });
    return { entries: body.entries, total: body.total_count, next: startOf(body.next) };
  });
}

/** Who may log in. */
export function useCredentials(): Result<Credentials> {
  return useFollowed(['credentials'], (signal) => get<Credentials>(own('/credentials'), signal));
}

/** The newest events of a gateway, newest first; later ones are added as they come. */
export function useEvents(gateway: string): Result<readonly CulvertEvent[]> {
  return useQuery<readonly CulvertEvent[], ApiFailure>({
    queryKey: ['events', { gateway }],
    queryFn: async ({ signal }) => (await keptEvents({ gateway }, signal)).slice(-MAX_EVENTS).reverse(),
    staleTime: Number.POSITIVE_INFINITY,
  });
}
