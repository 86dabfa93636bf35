import { type ConnectionRecord, type GatewayRecord, KIND } from '../../store/records.js';
import type { Site } from '../../store/site.js';
import type { Snapshot, StoredObject } from '../../store/store.js';
import { type FamilyValue, familyOf, type MetricFamily } from '../../telemetry/metrics/families.js';
import type { LastMinute } from '../../telemetry/metrics/samples.js';
import type { MemberMetrics } from '../serve/process-runner.js';

/** A moment of the whole server: what is stored, what runs, and where. */
export interface ServerMoment {
  readonly objects: Snapshot;
  readonly site: Site;
  readonly members: readonly MemberMetrics[];
}

const FIELDS = ['bytes_in', 'bytes_out', 'packets_in', 'packets_out'] as const;

/** The ten metrics of the API's document under its names: sums of the last minute, over all members of a gateway. */
export function aliasFamilies({ objects, site, members }: ServerMoment): MetricFamily[] {
  const gateways = objects.list<GatewayRecord>(KIND.gateway).map((gateway) => ({
    labels: gatewayLabels(gateway, site),
    ...totalOf(members.filter(({ id }) => id === gateway.id)),
  }));
  const connections = objects.list<ConnectionRecord>(KIND.connection).flatMap((connection) => {
    const gateway = objects.get<GatewayRecord>(KIND.gateway, connection.value.gateway);
    if (gateway === undefined) return [];
    const own = members.filter(({ id }) => id === gateway.id);
    return [{ labels: connectionLabels(connection, gateway, site), ...totalOf(own, connection.id) }];
  });
  const values = (field: (typeof FIELDS)[number], list: readonly Labelled[]): FamilyValue[] =>
    list.map(({ labels, minute }) => ({ labels, value: minute[field] }));
  const status = (list: readonly Labelled[]): FamilyValue[] =>
    list.map(({ labels, up }) => ({ labels, value: up ? 1 : 0 }));
  return [
    ...FIELDS.map((field) => familyOf(`ibm_is_vpn_gateway_${field}`, values(field, gateways))),
    familyOf('ibm_is_vpn_gateway_status', status(gateways)),
    ...FIELDS.map((field) => familyOf(`ibm_is_vpn_connection_${field}`, values(field, connections))),
    familyOf('ibm_is_vpn_connection_status', status(connections)),
  ];
}

interface Total {
  readonly minute: LastMinute;
  readonly up: boolean;
}

interface Labelled extends Total {
  readonly labels: FamilyValue['labels'];
}

/** All members together: of one connection, or of all. */
function totalOf(members: readonly MemberMetrics[], connection?: string): Total {
  const minute = { bytes_in: 0, bytes_out: 0, packets_in: 0, packets_out: 0 };
  let up = false;
  for (const { running, snapshot } of members) {
    if (connection === undefined) up ||= running;
    for (const { id, samples, last_minute: passed } of snapshot.connections) {
      if (connection !== undefined && id !== connection) continue;
      for (const field of FIELDS) minute[field] += passed[field];
      if (connection !== undefined) up ||= samples.culvert_connection_up !== undefined;
    }
  }
  return { minute, up };
}

function gatewayLabels({ id, value }: StoredObject<GatewayRecord>, site: Site): FamilyValue['labels'] {
  return {
    ibm_service_instance: id,
    ibm_service_instance_name: value.name,
    ibm_is_vpn_gateway_name: value.name,
    ...common(id, value, site),
  };
}

function connectionLabels(
  { id, value }: StoredObject<ConnectionRecord>,
  gateway: StoredObject<GatewayRecord>,
  site: Site,
): FamilyValue['labels'] {
  return {
    ibm_service_instance: gateway.id,
    ibm_is_vpn_gateway_name: gateway.value.name,
    ibm_is_vpn_connection_name: value.name,
    ibm_is_vpn_connection_id: id,
    ...common(gateway.id, gateway.value, site),
  };
}

function common(gateway: string, { resourceGroup }: GatewayRecord, site: Site): FamilyValue['labels'] {
  const group = site.resourceGroups.find(({ id }) => id === resourceGroup);
  return {
    ibm_is_generation: '2',
    ibm_ctype: 'public',
    ibm_location: site.region,
    ibm_resource: gateway,
    ibm_resource_type: 'vpn-gateway',
    ibm_resource_group_name: group?.name ?? resourceGroup,
    ibm_scope: `a/${site.account}`,
    ibm_service_name: 'is',
  };
}
