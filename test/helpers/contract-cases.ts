import { EARLY, IKE, IPSEC, PSK, policyConnection } from './api-lab.js';
import { backupCases, restoreCases } from './backup-cases.js';
import { BAD_BODIES, BAD_PAGES, NONE, no, type OperationCases, ok } from './case-words.js';
import type { ContractCase, World } from './contract-world.js';
import { routingCases } from './routing-cases.js';
import { transactionCases } from './transaction-cases.js';

function policyCases(
  word: 'ike_policy' | 'ipsec_policy',
  path: 'ike_policies' | 'ipsec_policies',
  full: Readonly<Record<string, unknown>>,
): Record<string, OperationCases> {
  const used = word === 'ike_policy' ? '{ike}' : '{ipsec}';
  const free = word === 'ike_policy' ? '{ike2}' : '{ipsec2}';
  const taken = word === 'ike_policy' ? 'ike' : 'ipsec';
  const params = { id: used };
  const unknown = no(404, `${word}_not_found`, { params: NONE });
  const partial = { ...full, authentication_algorithm: undefined };
  const fields: readonly ContractCase[] = [
    no(400, `${word}_invalid_name`, { body: { ...full, name: 'No Name' } }),
    no(409, `${word}_duplicate_name`, { body: { ...full, name: `${taken}2` } }),
    no(400, 'validation_enum', { body: { ...full, encryption_algorithm: 'rot13' } }),
    no(400, 'validation_min_value', { body: { ...full, key_lifetime: 1799 } }),
    no(400, 'validation_max_value', { body: { ...full, key_lifetime: 86_401 } }),
    no(400, 'validation_only_one', { body: { ...full, encryption_algorithms: ['aes128'] } }),
    no(400, 'validation_failure', { body: { ...partial, authentication_algorithms: ['sha256', 'sha256'] } }),
  ];
  return {
    [`list_${path}`]: { cases: [...BAD_PAGES, ok(200)] },
    [`create_${word}`]: {
      cases: [
        ...BAD_BODIES,
        ...fields,
        no(400, 'validation_required_field', { body: partial }),
        no(404, 'not_found', { body: { ...full, resource_group: { id: 'none' } } }),
        no(400, `${path}_quota_exceeded`, { body: full, quotas: { [path]: 2 } }),
        ok(201, { body: full }),
      ],
    },
    [`get_${word}`]: { params, cases: [unknown, ok(200)] },
    [`update_${word}`]: {
      params,
      cases: [unknown, ...BAD_BODIES, ...fields, ok(200, { body: { name: 'renamed', key_lifetime: 7200 } })],
    },
    [`delete_${word}`]: {
      params,
      cases: [unknown, no(409, `${word}_in_use`), ok(204, { params: { id: free } })],
    },
    [`list_${word}_connections`]: {
      params,
      cases: [unknown, ...BAD_PAGES, ok(200)],
    },
  };
}

const gateway = { subnet: { id: '0717-sub' }, mode: 'policy' };
const routed = { subnet: { id: '0717-sub2' }, mode: 'route' };
const noGateway = no(404, 'vpn_gateway_not_found', { params: NONE });
const AT = { id: '{rgw}', cidr: '10.45.0.0%2F16', sid: 'any' };
const noRoute = no(400, 'bad_request', { params: { ...AT, id: '{gw}' } });
const noAdvertiser = no(404, 'vpn_gateway_not_found', { params: { ...AT, id: '{none}' } });
const notAdvertised = no(404, 'not_found', { params: { ...AT, cidr: '10.46.0.0%2F16' } });
const noNetwork = no(400, 'validation_invalid_cidr', { params: { ...AT, cidr: '10.45.0.1%2F16' } });
const advertiserDies = no(409, 'vpn_gateway_invalid_state', { params: { ...AT, id: '{rdying}' } });

const gateways: Record<string, OperationCases> = {
  list_vpn_gateways: {
    cases: [
      ...BAD_PAGES,
      no(400, 'validation_enum', { query: 'sort=age' }),
      no(400, 'validation_enum', { query: 'mode=both' }),
      ok(200),
    ],
  },
  create_vpn_gateway: {
    cases: [
      ...BAD_BODIES,
      no(400, 'vpn_gateway_missing_subnet_id', { body: { mode: 'policy' } }),
      no(400, 'validation_required_field', { body: { ...gateway, subnet: {} } }),
      no(400, 'validation_only_one', { body: { ...gateway, subnet: { id: '0717-sub', crn: 'crn:v1:x' } } }),
      no(400, 'vpn_gateway_invalid_name', { body: { ...gateway, name: 'no_name' } }),
      no(400, 'validation_enum', { body: { ...gateway, mode: 'both' } }),
      no(400, 'bad_field', { body: { ...gateway, local_asn: 65_000 } }),
      no(400, 'bad_field', { body: { ...gateway, advertised_cidrs: [] } }),
      no(400, 'validation_failure', { body: { ...routed, local_asn: 64_512 } }),
      no(400, 'validation_invalid_cidr', { body: { ...routed, advertised_cidrs: ['10.0.0.1/8'] } }),
      no(404, 'vpn_gateway_subnet_not_found', { body: { ...gateway, subnet: { id: 'none' } } }),
      no(404, 'not_found', { body: { ...gateway, resource_group: { id: 'none' } } }),
      no(409, 'vpn_gateway_duplicate_name', { body: { ...gateway, name: 'gw' } }),
      no(409, 'vpn_gateway_subnet_status_error', { body: { ...gateway, subnet: { id: '0717-empty' } } }),
      no(400, 'vpn_gateways_quota_exceeded', { body: gateway, quotas: { gateways_per_region: 6 } }),
      no(400, 'vpn_gateways_quota_exceeded', { body: gateway, quotas: { gateways_per_zone: 3 } }),
      no(400, 'vpn_gateway_advertised_cidrs_quota_exceeded', {
        body: { ...routed, advertised_cidrs: ['10.1.0.0/16', '10.2.0.0/16'] },
        quotas: { advertised_cidrs_per_gateway: 1 },
      }),
      ok(201, { body: gateway }),
      ok(201, { body: { subnet: { id: '0717-sub' } }, version: EARLY }),
    ],
  },
  get_vpn_gateway: { params: { id: '{gw}' }, cases: [noGateway, ok(200)] },
  update_vpn_gateway: {
    params: { id: '{gw}' },
    cases: [
      { ...noGateway, body: {} },
      ...BAD_BODIES,
      no(400, 'vpn_gateway_invalid_name', { body: { name: 'no_name' } }),
      no(400, 'bad_field', { body: { mode: 'route' } }),
      no(400, 'bad_field', { body: { local_asn: 65_000 } }),
      no(400, 'validation_failure', { body: { local_asn: 65_500 }, params: { id: '{rgw}' } }),
      no(409, 'vpn_gateway_duplicate_name', { body: { name: 'pending' } }),
      no(409, 'vpn_gateway_invalid_state', { body: { name: 'x' }, params: { id: '{dying}' } }),
      ok(200, { body: { name: 'renamed' } }),
    ],
  },
  delete_vpn_gateway: {
    params: { id: '{gw}' },
    cases: [
      noGateway,
      no(409, 'vpn_gateway_invalid_state', { params: { id: '{pending}' } }),
      no(409, 'vpn_gateway_in_use', { params: { id: '{rtgw}' } }),
      ok(202),
      ok(204, { params: { id: '{rgw}' }, version: EARLY }),
    ],
  },
  list_vpn_gateway_advertised_cidrs: { params: AT, cases: [noAdvertiser, noRoute, ok(200)] },
  check_vpn_gateway_advertised_cidr: {
    params: AT,
    cases: [noAdvertiser, noRoute, noNetwork, notAdvertised, ok(204)],
  },
  add_vpn_gateway_advertised_cidr: {
    params: AT,
    cases: [
      noAdvertiser,
      noRoute,
      noNetwork,
      advertiserDies,
      no(400, 'vpn_gateway_advertised_cidrs_quota_exceeded', {
        params: { ...AT, cidr: '10.46.0.0%2F16' },
        quotas: { advertised_cidrs_per_vpc: 1 },
      }),
      ok(204),
      ok(204, { params: { ...AT, cidr: '10.46.0.0%2F16' } }),
    ],
  },
  remove_vpn_gateway_advertised_cidr: {
    params: AT,
    cases: [noAdvertiser, noRoute, noNetwork, notAdvertised, advertiserDies, ok(204)],
  },
  list_vpn_gateway_service_connections: {
    params: AT,
    cases: [noAdvertiser, ...BAD_PAGES, ok(200)],
  },
  get_vpn_gateway_service_connection: { params: AT, cases: [noAdvertiser, no(404, 'not_found')] },
};

const C = { gateway: '{gw}', id: '{c}' };
const noConnection: readonly ContractCase[] = [
  no(404, 'vpn_gateway_not_found', { params: { gateway: '{none}', id: '{c}' } }),
  no(404, 'vpn_connection_not_found', { params: { gateway: '{gw}', id: '{none}' } }),
  no(404, 'vpn_connection_not_found', { params: { gateway: '{rgw}', id: '{c}' } }),
];
const dying = no(409, 'vpn_gateway_invalid_state', { params: { gateway: '{dying}', id: '{dc}' } });
const mismatch = no(412, 'precondition_failed', { headers: () => ({ 'if-match': 'W/"old"' }) });
const matching = { headers: ({ tag }: World) => ({ 'if-match': tag }) };
const full = policyConnection(5);
const peer = { address: '169.21.50.5', cidrs: ['10.5.0.0/16'] };
const identity = { type: 'key_id', value: 'no base64' };
const bgp = { psk: PSK, peer: { address: '169.21.50.5', asn: 65_001 }, routing_protocol: 'bgp' };

/** Faults that a connection can have when it is made and when it is changed. */
const badFields: readonly ContractCase[] = [
  no(400, 'vpn_connection_invalid_name', { body: { ...full, name: 'no_name' } }),
  no(400, 'vpn_connection_invalid_psk_format', { body: { ...full, psk: 'short' } }),
  no(400, 'validation_enum', { body: { ...full, establish_mode: 'never' } }),
  no(400, 'validation_min_value', { body: { ...full, dead_peer_detection: { interval: 0 } } }),
  no(400, 'validation_max_value', { body: { ...full, dead_peer_detection: { timeout: 86_400 } } }),
  no(400, 'validation_failure', { body: { ...full, dead_peer_detection: { interval: 11 } } }),
  no(400, 'validation_required_field', { body: { ...full, ike_policy: {} } }),
  no(400, 'validation_only_one', { body: { ...full, ike_policy: { id: 'a', href: 'http://x/b' } } }),
  no(404, 'ike_policy_not_found', { body: { ...full, ike_policy: { id: 'none' } } }),
  no(404, 'ipsec_policy_not_found', { body: { ...full, ipsec_policy: { id: 'none' } } }),
  no(409, 'vpn_connection_duplicate_name', { body: { ...full, name: 'connection-2' } }),
];
/** The same as changes: networks are not among what may be changed. */
const patchOf = (one: ContractCase): ContractCase => ({
  ...one,
  body: Object.fromEntries(
    Object.entries(one.body as object).filter(([field]) => field !== 'local' && field !== 'peer'),
  ),
});

const connections: Record<string, OperationCases> = {
  list_vpn_gateway_connections: {
    params: { gateway: '{gw}' },
    cases: [
      no(404, 'vpn_gateway_not_found', { params: { gateway: '{none}' } }),
      ...BAD_PAGES,
      no(400, 'validation_enum', { query: 'status=sideways' }),
      ok(200),
    ],
  },
  create_vpn_gateway_connection: {
    params: { gateway: '{gw}' },
    cases: [
      no(404, 'vpn_gateway_not_found', { params: { gateway: '{none}' }, body: full }),
      ...BAD_BODIES,
      ...badFields,
      no(400, 'validation_required_field', { body: { ...full, psk: null } }),
      no(400, 'vpn_connection_local_cidrs_required', { body: { ...full, local: {} } }),
      no(400, 'vpn_connection_peer_cidrs_required', { body: { ...full, peer: { address: '169.21.50.5' } } }),
      no(400, 'validation_only_one', { body: { ...full, peer: { ...peer, fqdn: 'b.example' } } }),
      no(400, 'validation_invalid_address', { body: { ...full, peer: { ...peer, address: '300.1.1.1' } } }),
      no(400, 'validation_failure', { body: { ...full, peer: { ...peer, ike_identity: identity } } }),
      no(400, 'vpn_connection_cidr_not_valid', {
        body: { ...full, peer: { ...peer, cidrs: ['10.5.0.1/16'] } },
      }),
      no(400, 'vpn_connection_cidr_duplicated', {
        body: { ...full, peer: { ...peer, cidrs: ['10.5.0.0/16', '10.5.0.0/16'] } },
      }),
      no(400, 'vpn_connection_cidr_overlap', {
        body: { ...full, peer: { ...peer, cidrs: ['10.1.7.0/24'] } },
      }),
      no(400, 'vpn_connection_pair_cidrs_duplicated', {
        body: policyConnection(2, { name: 'other' }),
      }),
      no(400, 'bad_field', { body: { ...full, routing_protocol: 'bgp' } }),
      no(400, 'bad_field', { body: bgp, params: { gateway: '{rgw}' } }),
      no(400, 'bad_field', { body: full, params: { gateway: '{rgw}' } }),
      no(409, 'vpn_gateway_invalid_state', { body: full, params: { gateway: '{dying}' } }),
      no(400, 'vpn_connections_quota_exceeded', { body: full, quotas: { connections_per_gateway: 2 } }),
      no(400, 'vpn_connection_peer_subnets_quota_exceeded', { body: full, quotas: { cidrs_per_gateway: 6 } }),
      no(400, 'vpn_connection_peer_subnets_quota_exceeded_for_connection', {
        body: {
          ...full,
          peer: { ...peer, cidrs: ['10.5.0.0/16', '10.6.0.0/16', '10.7.0.0/16', '10.8.0.0/16'] },
        },
        quotas: { cidrs_per_connection: 4 },
      }),
      ok(201, { body: full }),
      ok(201, { body: { psk: PSK, peer: { address: '169.21.50.6' } }, params: { gateway: '{rgw}' } }),
    ],
  },
  get_vpn_gateway_connection: { params: C, cases: [...noConnection, ok(200)] },
  get_vpn_gateway_connection_diagnosis: {
    params: C,
    cases: [...noConnection, ok(200), ok(200, { params: { gateway: '{rgw}', id: '{rc}' } })],
  },
  capture_vpn_gateway_connection: {
    params: C,
    cases: [
      ...noConnection,
      no(400, 'validation_max_value', { body: { seconds: 3601 } }),
      no(400, 'bad_field', { body: { keys: true } }),
      no(409, 'vpn_gateway_invalid_state', { body: { member: 2 } }),
      ok(200),
      ok(200, { body: { seconds: 1, bytes: 100_000, inner: true, dropped: true } }),
    ],
  },
  switch_vpn_gateway: {
    params: { id: '{gw}' },
    cases: [
      noGateway,
      no(409, 'vpn_gateway_invalid_state', { params: { id: '{rgw}' } }),
      no(409, 'vpn_gateway_invalid_state', { params: { id: '{dying}' } }),
      ok(202),
    ],
  },
  get_vpn_gateway_connection_history: {
    params: C,
    cases: [
      ...noConnection,
      no(400, 'validation_enum', { query: 'step=7' }),
      no(400, 'validation_failure', { query: 'from=yesterday' }),
      ok(200, { query: 'step=60&from=2026-11-22T09:00:00Z' }),
      ok(200, { params: { gateway: '{rgw}', id: '{rc}' } }),
    ],
  },
  update_vpn_gateway_connection: {
    params: C,
    cases: [
      ...noConnection.map((one) => ({ ...one, body: {} })),
      ...BAD_BODIES,
      ...badFields.map(patchOf),
      { ...dying, body: {} },
      { ...mismatch, body: { name: 'x' } },
      no(400, 'vpn_connection_update_cidrs_not_permitted', { body: { peer: { cidrs: ['10.5.0.0/16'] } } }),
      no(400, 'validation_invalid_address', { body: { peer: { address: '224.0.0.1' } } }),
      no(400, 'validation_only_one', { body: { peer: { fqdn: 'b.example' } } }),
      no(400, 'bad_field', { body: { routing_protocol: 'bgp' } }),
      no(400, 'bad_request', { body: { tunnels: [{}, {}] } }),
      ok(200, { body: { name: 'renamed' }, ...matching }),
    ],
  },
  delete_vpn_gateway_connection: {
    params: C,
    cases: [
      ...noConnection,
      dying,
      mismatch,
      no(409, 'vpn_connection_in_use', { params: { gateway: '{rtgw}', id: '{rtc}' } }),
      ok(202, matching),
      ok(204, { params: { ...C, id: '{c2}' }, version: EARLY }),
    ],
  },
};

/** The networks of one side, under one of the two families of paths. */
function cidrCases(side: 'local' | 'peer', suffix: '' | '_by_prefix'): Record<string, OperationCases> {
  const at = (address: string, length: string, more: Record<string, string> = {}) => ({
    ...C,
    cidr: `${address}%2F${length}`,
    prefix_address: address,
    prefix_length: length,
    ...more,
  });
  const own = side === 'local' ? '192.168.101.0' : '10.101.0.0';
  const length = side === 'local' ? '24' : '16';
  const params = at(own, length);
  const fresh = at('172.16.0.0', '16');
  const only = side === 'local' ? at('192.168.100.0', '24') : at('10.2.0.0', '16');
  const noOwner = noConnection.map((one) => ({ ...one, params: { ...params, ...one.params } }));
  const routeMode = no(400, 'vpn_connection_update_cidrs_not_permitted', {
    params: { ...params, gateway: '{rgw}', id: '{rc}' },
  });
  const bad = no(400, 'vpn_connection_cidr_not_valid', { params: at('172.16.0.1', '16') });
  const notThere = no(404, 'vpn_connection_cidr_not_found', { params: fresh });
  const goes = no(409, 'vpn_gateway_invalid_state', {
    params: { ...params, gateway: '{dying}', id: '{dc}' },
  });
  const full = `vpn_connection_${side}_subnets_quota_exceeded`;
  const inside = side === 'local' ? at('10.1.7.0', '24') : at('192.168.100.128', '25');
  const overlap = no(400, 'vpn_connection_cidr_overlap', { params: inside });
  return {
    [`list_vpn_gateway_connections_${side}_cidrs${suffix}`]: {
      params,
      cases: [...noOwner, routeMode, ok(200)],
    },
    [`check_vpn_gateway_connections_${side}_cidr${suffix}`]: {
      params,
      cases: [...noOwner, routeMode, bad, notThere, ok(204)],
    },
    [`add_vpn_gateway_connections_${side}_cidr${suffix}`]: {
      params: fresh,
      cases: [
        ...noOwner,
        routeMode,
        bad,
        overlap,
        goes,
        no(400, full, { quotas: { cidrs_per_gateway: 6 } }),
        no(400, `${full}_for_connection`, { quotas: { cidrs_per_connection: 4 } }),
        ok(204, { params }),
        ok(suffix === '' ? 201 : 204),
      ],
    },
    [`remove_vpn_gateway_connections_${side}_cidr${suffix}`]: {
      params,
      cases: [
        ...noOwner,
        routeMode,
        bad,
        notThere,
        goes,
        no(400, 'vpn_connection_cidr_not_deleted', { params: { ...only, id: '{c2}' } }),
        ok(204),
      ],
    },
  };
}

const surroundings: Record<string, OperationCases> = {
  list_vpcs: { cases: [...BAD_PAGES, ok(200)] },
  get_vpc: { params: { id: 'r006-vpc-one' }, cases: [no(404, 'not_found', { params: NONE }), ok(200)] },
  list_subnets: { cases: [...BAD_PAGES, ok(200)] },
  get_subnet: { params: { id: '0717-sub' }, cases: [no(404, 'not_found', { params: NONE }), ok(200)] },
  delete_subnet: {
    params: { id: '0717-sub' },
    cases: [
      no(404, 'not_found', { params: NONE }),
      no(409, 'subnet_not_empty_vpn_gway_exists'),
      no(403, 'not_authorized', { params: { id: '0717-empty' } }),
    ],
  },
  list_subnet_reserved_ips: {
    params: { subnet: '0717-sub' },
    cases: [no(404, 'not_found', { params: { subnet: '{none}' } }), ...BAD_PAGES, ok(200)],
  },
  get_subnet_reserved_ip: {
    params: { subnet: '0717-sub', id: '{reserved}' },
    cases: [
      no(404, 'not_found', { params: NONE }),
      no(404, 'not_found', { params: { subnet: '{none}' } }),
      no(404, 'not_found', { params: { subnet: '0717-sub2' } }),
      ok(200),
    ],
  },
  list_regions: { cases: [ok(200)] },
  get_region: {
    params: { region: 'us-south' },
    cases: [no(404, 'not_found', { params: { region: 'eu-de' } }), ok(200)],
  },
  list_region_zones: {
    params: { region: 'us-south' },
    cases: [no(404, 'not_found', { params: { region: 'eu-de' } }), ok(200)],
  },
  get_region_zone: {
    params: { region: 'us-south', zone: 'us-south-1' },
    cases: [
      no(404, 'not_found', { params: { region: 'eu-de' } }),
      no(404, 'not_found', { params: { zone: 'us-south-9' } }),
      ok(200),
    ],
  },
  list_resource_groups: { cases: [ok(200)] },
  get_resource_group: { params: { id: 'rg1' }, cases: [no(404, 'not_found', { params: NONE }), ok(200)] },
};

/** For every operation: each of its answers, and each of its refusals. */
export const CONTRACT: Readonly<Record<string, OperationCases>> = {
  ...policyCases('ike_policy', 'ike_policies', IKE),
  ...policyCases('ipsec_policy', 'ipsec_policies', IPSEC),
  ...gateways,
  ...connections,
  ...cidrCases('local', ''),
  ...cidrCases('peer', ''),
  ...cidrCases('local', '_by_prefix'),
  ...cidrCases('peer', '_by_prefix'),
  ...surroundings,
  ...routingCases,
  create_transaction: transactionCases,
  get_backup: backupCases,
  restore_backup: restoreCases,
  list_audit: {
    cases: [
      ...BAD_PAGES,
      no(400, 'validation_enum', { query: 'outcome=maybe' }),
      ok(200, { query: 'who=anonymous' }),
    ],
  },
  list_quotas: {
    cases: [
      ...BAD_PAGES,
      no(400, 'validation_enum', { query: 'name=tunnels' }),
      ok(200, { query: 'name=ike_policies' }),
    ],
  },
};
