/**
 * Every code of an error answer, and the statuses it comes with. Codes and statuses are those of the VPC documents
 * where these have them; the documents leave most statuses open.
 */
export const ERROR_CODES = {
  // Any request.
  bad_request: [400, 408, 415],
  bad_field: [400],
  invalid_version: [400],
  invalid_version_range: [400],
  version_not_supported: [400],
  invalid_generation_parameter: [400],
  validation_required_field: [400],
  validation_invalid_field_type: [400],
  validation_enum: [400],
  validation_min_value: [400],
  validation_max_value: [400],
  validation_only_one: [400],
  validation_invalid_address: [400],
  validation_invalid_cidr: [400],
  validation_failure: [400],
  token_missing: [401],
  // 400 where a token is asked for, 401 where it is shown.
  token_invalid: [400, 401],
  not_authorized: [403],
  invalid_route: [404],
  not_found: [404],
  conflict: [409],
  http_request_size_exceeded: [413],
  too_many_requests: [429],
  too_many_streams: [429],
  internal_error: [500],
  // The store cannot be written for now: reads go on. 507 where its disk is full (RFC 4918 section 11.5).
  store_unavailable: [503],
  store_full: [507],
  // Backups.
  backup_not_valid: [400],
  store_not_empty: [409],
  // Policies.
  ike_policy_not_found: [404],
  ike_policy_invalid_name: [400],
  ike_policy_duplicate_name: [409],
  ike_policy_in_use: [409],
  ike_policies_quota_exceeded: [400],
  ipsec_policy_not_found: [404],
  ipsec_policy_invalid_name: [400],
  ipsec_policy_duplicate_name: [409],
  ipsec_policy_in_use: [409],
  ipsec_policies_quota_exceeded: [400],
  // Gateways, and subnets with one.
  vpn_gateway_not_found: [404],
  vpn_gateway_subnet_not_found: [404],
  vpn_gateway_missing_subnet_id: [400],
  vpn_gateway_invalid_name: [400],
  vpn_gateway_duplicate_name: [409],
  vpn_gateway_invalid_state: [409],
  vpn_gateway_subnet_status_error: [409],
  vpn_gateways_quota_exceeded: [400],
  vpn_gateway_advertised_cidrs_quota_exceeded: [400],
  subnet_not_empty_vpn_gway_exists: [409],
  // Connections and their networks.
  vpn_connection_not_found: [404],
  vpn_connection_invalid_name: [400],
  vpn_connection_duplicate_name: [409],
  vpn_connection_invalid_psk_format: [400],
  vpn_connection_local_cidrs_required: [400],
  vpn_connection_peer_cidrs_required: [400],
  vpn_connection_cidr_not_found: [404],
  vpn_connection_cidr_not_valid: [400],
  vpn_connection_cidr_duplicated: [400],
  vpn_connection_cidr_overlap: [400],
  vpn_connection_pair_cidrs_duplicated: [400],
  vpn_connection_cidr_not_deleted: [400],
  vpn_connection_update_cidrs_not_permitted: [400],
  vpn_connections_quota_exceeded: [400],
  vpn_connection_local_subnets_quota_exceeded: [400],
  vpn_connection_peer_subnets_quota_exceeded: [400],
  vpn_connection_local_subnets_quota_exceeded_for_connection: [400],
  vpn_connection_peer_subnets_quota_exceeded_for_connection: [400],
  precondition_failed: [412],
} as const satisfies Readonly<Record<string, readonly number[]>>;

/** A code of the contract, as `errors[].code` carries it. */
export type ErrorCode = keyof typeof ERROR_CODES;
