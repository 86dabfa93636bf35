import { stringify } from 'yaml';
import { DPD_DEFAULTS, defaultOf } from '../../store/connection-fields.js';
import type { Current } from './current.js';
import type { ConnectionWish } from './document.js';

/** What there is as the text of a file for `culvert apply`. Fields that have their defaults are left out. */
export function exportText({ ikePolicies, ipsecPolicies, gateways }: Current, withKeys: boolean): string {
  const document = {
    ...list(
      'ike_policies',
      ikePolicies.map(({ wish }) => wish),
    ),
    ...list(
      'ipsec_policies',
      ipsecPolicies.map(({ wish }) => wish),
    ),
    ...list(
      'vpn_gateways',
      gateways.map(({ wish, connections }) => ({
        ...wish,
        ...list(
          'connections',
          connections.map((one) => connectionOf(one.wish, withKeys)),
        ),
      })),
    ),
  };
  // Lists of plain values in one line, as people write them.
  return stringify(document, { lineWidth: 0, collectionStyle: 'any' });
}

function list(name: string, items: readonly unknown[]): object {
  return items.length === 0 ? {} : { [name]: items };
}

function connectionOf(wish: ConnectionWish, withKeys: boolean): object {
  const { local, peer, psk } = wish;
  const { action, interval, timeout } = wish.dead_peer_detection;
  const usual = DPD_DEFAULTS;
  const dpdIsUsual = action === usual.action && interval === usual.interval && timeout === usual.timeout;
  return {
    name: wish.name,
    ...(withKeys && psk !== undefined ? { psk } : {}),
    ...(wish.admin_state_up === defaultOf('admin_state_up') ? {} : { admin_state_up: wish.admin_state_up }),
    ...(wish.establish_mode === defaultOf('establish_mode') ? {} : { establish_mode: wish.establish_mode }),
    ...(dpdIsUsual ? {} : { dead_peer_detection: wish.dead_peer_detection }),
    ...(wish.ike_policy === null ? {} : { ike_policy: wish.ike_policy }),
    ...(wish.ipsec_policy === null ? {} : { ipsec_policy: wish.ipsec_policy }),
    ...(wish.distribute_traffic ? { distribute_traffic: true } : {}),
    ...(local.cidrs.length === 0 && local.ike_identities === null
      ? {}
      : {
          local: {
            ...list('cidrs', local.cidrs),
            ...(local.ike_identities === null ? {} : { ike_identities: local.ike_identities }),
          },
        }),
    peer: {
      [peer.kind]: peer.value,
      ...list('cidrs', peer.cidrs),
      ...(peer.ike_identity === null ? {} : { ike_identity: peer.ike_identity }),
    },
  };
}
