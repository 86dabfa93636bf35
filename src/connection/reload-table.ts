/**
 * What a change of the configuration does to a running gateway, the smallest thing that makes the change true:
 * - `none`: nothing that runs is touched
 * - `live`: takes effect at once and ends nothing
 * - `next_authentication`: running SAs stay, the next negotiation uses it
 * - `reschedule`: the times of rekeying and expiry move
 * - `add_networks`: a further child SA for the new pairs of networks
 * - `remove_networks`: child SAs of the removed networks end, or are rekeyed without them
 * - `rekey_children`, `rekey_ike`: by rekeying, new SA first, then the old one is deleted
 * - `new_connection_sa`: a new IKE SA is negotiated from the start; when it is established the old one is deleted
 * - `renegotiate`: the SAs are deleted at the peer, then negotiated again
 * - `start`, `stop`: brought up; deleted at the peer
 * - `restart`: not possible while the daemon runs: the whole change is refused
 * - `next_start`: taken over when the daemon is started again, nothing is refused
 */
export type ReloadAction =
  | 'none'
  | 'live'
  | 'next_authentication'
  | 'reschedule'
  | 'add_networks'
  | 'remove_networks'
  | 'rekey_children'
  | 'rekey_ike'
  | 'new_connection_sa'
  | 'renegotiate'
  | 'start'
  | 'stop'
  | 'restart'
  | 'next_start';

/** One kind of change, by the name of the field in the configuration file. */
export interface ReloadRule {
  readonly action: ReloadAction;
  /** What happens, in words. */
  readonly effect: string;
}

const NEW_IKE = 'a new IKE SA is negotiated, then the old one is deleted';
const AT_NEXT_START = 'taken over when the daemon is started again';
const AT_RESTART = 'needs a restart of the daemon: nothing of the new file is applied';

/** The action table of `culvert reload`. docs/operation.md shows the same table. */
export const RELOAD_TABLE = {
  'connection added': { action: 'start', effect: 'it is brought up' },
  'connection removed': { action: 'stop', effect: 'its SAs are deleted at the peer' },
  name: { action: 'none', effect: 'its SAs go on under the new name' },
  psk: { action: 'next_authentication', effect: 'the next negotiation uses it; running SAs stay' },
  dead_peer_detection: { action: 'live', effect: 'running SAs are watched by it at once' },
  establish_mode: { action: 'live', effect: 'counts from the next initiation or rekeying on' },
  'admin_state_up: true': { action: 'start', effect: 'it is brought up' },
  'admin_state_up: false': { action: 'stop', effect: 'its SAs are deleted at the peer and it stays down' },
  'ike_policy key_lifetime': { action: 'reschedule', effect: 'the rekeying of the IKE SA is put elsewhere' },
  'ipsec_policy key_lifetime': {
    action: 'reschedule',
    effect: 'the rekeying of the child SAs is put elsewhere',
  },
  ike_policy: { action: 'rekey_ike', effect: 'the IKE SA is rekeyed by it, then the old one is deleted' },
  'ike_policy ike_version': {
    action: 'renegotiate',
    effect: 'the SAs are deleted, then negotiated in the other version',
  },
  'ike_policy accepted versions': {
    action: 'next_authentication',
    effect: 'counts for the next negotiation',
  },
  ipsec_policy: {
    action: 'rekey_children',
    effect: 'the child SAs are rekeyed by it, then the old ones are deleted',
  },
  'cidrs added': { action: 'add_networks', effect: 'a further child SA is made for the new networks' },
  'cidrs removed': { action: 'remove_networks', effect: 'only the child SAs that carry them are changed' },
  'peer.address': { action: 'new_connection_sa', effect: NEW_IKE },
  'peer.port': { action: 'new_connection_sa', effect: NEW_IKE },
  'peer.ike_identity': { action: 'new_connection_sa', effect: NEW_IKE },
  'local.ike_identities': { action: 'new_connection_sa', effect: NEW_IKE },
  routes: { action: 'live', effect: 'routes are added and removed at once' },
  interface: { action: 'restart', effect: AT_RESTART },
  'gateway.name': { action: 'none', effect: 'shown from now on' },
  'gateway.profile': {
    action: 'none',
    effect: 'changes what auto-negotiation offers: see the connections',
  },
  'gateway.address': { action: 'restart', effect: AT_RESTART },
  'gateway.mode': { action: 'restart', effect: AT_RESTART },
  'gateway.interface': { action: 'restart', effect: AT_RESTART },
  'gateway.control': { action: 'restart', effect: AT_RESTART },
  'gateway.encapsulation': { action: 'restart', effect: AT_RESTART },
  'gateway.offload': { action: 'next_start', effect: AT_NEXT_START },
  'gateway.mss': { action: 'next_start', effect: AT_NEXT_START },
  'gateway.fail_closed': { action: 'live', effect: 'unreachable routes are added or removed at once' },
  'gateway.workers': { action: 'next_start', effect: AT_NEXT_START },
  limits: { action: 'next_start', effect: AT_NEXT_START },
} as const satisfies Readonly<Record<string, ReloadRule>>;

/** A row of the reload table: the path of a field, as the configuration file has it. */
export type ReloadField = keyof typeof RELOAD_TABLE;
