import { equalConstantTime } from '../crypto/compare.js';
import type { ConnectionConfig } from '../ike/config.js';
import { sameIdentity } from '../ike/policy/identity.js';
import { covers, sameSelectors } from '../ike/policy/selectors.js';

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

/** A connection as it is planned with: `peer` as the operator wrote it, since resolved addresses come and go. */
export interface PlannedConnection {
  readonly config: ConnectionConfig;
  readonly peer: string;
  /** Networks that the operator routes into it, in route mode. */
  readonly routes?: readonly string[];
  /** Whether others that are up carry them, too. */
  readonly distributeTraffic?: boolean;
  /** The TUN device of its own, in route mode. */
  readonly interface?: string;
}

/** One kind of change, by the name of the field in the configuration file. */
export interface ReloadRule {
  readonly action: ReloadAction;
  /** What happens, in words. */
  readonly effect: string;
  /** Whether two versions of a connection differ so; absent for what is no setting of one connection. */
  differs?(before: PlannedConnection, after: PlannedConnection): boolean;
}

/** A rule about settings that the protocol engine has. */
const configs =
  (differs: (before: ConnectionConfig, after: ConnectionConfig) => boolean) =>
  (before: PlannedConnection, after: PlannedConnection): boolean =>
    differs(before.config, after.config);

/** A rule about a value, as plain data. */
const unequal = (of: (config: ConnectionConfig) => unknown) =>
  configs((before, after) => differ(of(before), of(after)));

const NEW_IKE = 'a new IKE SA is negotiated, then the old one is deleted';
const AT_NEXT_START = 'taken over when the daemon is started again';
const AT_RESTART = 'needs a restart of the daemon: nothing of the new file is applied';

/**
 * The action table of `culvert reload`: how a change shows, and what is done about it. docs/operation.md shows the same
 * table. Changes are reported in its order.
 */
export const RELOAD_TABLE = {
  'connection added': { action: 'start', effect: 'it is brought up' },
  'connection removed': { action: 'stop', effect: 'its SAs are deleted at the peer' },
  name: { action: 'none', effect: 'its SAs go on under the new name' },
  psk: {
    action: 'next_authentication',
    effect: 'the next negotiation uses it; running SAs stay',
    differs: configs((a, b) => !equalConstantTime(a.psk.expose(), b.psk.expose())),
  },
  dead_peer_detection: {
    action: 'live',
    effect: 'running SAs are watched by it at once',
    differs: unequal(({ dpd }) => dpd),
  },
  establish_mode: {
    action: 'live',
    effect: 'counts from the next initiation or rekeying on',
    differs: unequal(({ establishMode }) => establishMode),
  },
  'admin_state_up: true': {
    action: 'start',
    effect: 'it is brought up',
    differs: configs((a, b) => !a.adminUp && b.adminUp),
  },
  'admin_state_up: false': {
    action: 'stop',
    effect: 'its SAs are deleted at the peer and it stays down',
    differs: configs((a, b) => a.adminUp && !b.adminUp),
  },
  'ike_policy key_lifetime': {
    action: 'reschedule',
    effect: 'the rekeying of the IKE SA is put elsewhere',
    differs: unequal(({ ikeLifetime }) => ikeLifetime),
  },
  'ipsec_policy key_lifetime': {
    action: 'reschedule',
    effect: 'the rekeying of the child SAs is put elsewhere',
    differs: unequal(({ childLifetime }) => childLifetime),
  },
  'ike_policy ike_version': {
    action: 'renegotiate',
    effect: 'the SAs are deleted, then negotiated in the other version',
    differs: unequal(({ initiateVersion }) => initiateVersion),
  },
  'ike_policy accepted versions': {
    action: 'next_authentication',
    effect: 'counts for the next negotiation',
    differs: configs(
      (a, b) => a.initiateVersion === b.initiateVersion && differ(a.acceptVersions, b.acceptVersions),
    ),
  },
  ike_policy: {
    action: 'rekey_ike',
    effect: 'the IKE SA is rekeyed by it, then the old one is deleted',
    differs: unequal(({ ikeProposals }) => ikeProposals),
  },
  ipsec_policy: {
    action: 'rekey_children',
    effect: 'the child SAs are rekeyed by it, then the old ones are deleted',
    differs: unequal(({ espProposals }) => espProposals),
  },
  'cidrs added': {
    action: 'add_networks',
    effect: 'a further child SA is made for the new networks',
    differs: configs(gainsNetworks),
  },
  'cidrs removed': {
    action: 'remove_networks',
    effect: 'only the child SAs that carry them are changed',
    differs: configs((a, b) => gainsNetworks(b, a)),
  },
  'peer.address': {
    action: 'new_connection_sa',
    effect: NEW_IKE,
    differs: (before, after) => before.peer !== after.peer,
  },
  'peer.port': {
    action: 'new_connection_sa',
    effect: NEW_IKE,
    differs: unequal(({ peer }) => peer.port),
  },
  'peer.ike_identity': {
    action: 'new_connection_sa',
    effect: NEW_IKE,
    differs: configs((a, b) => !sameIdentity(a.peer.identity, b.peer.identity)),
  },
  'local.ike_identities': {
    action: 'new_connection_sa',
    effect: NEW_IKE,
    differs: configs((a, b) => !sameIdentity(a.local.identity, b.local.identity)),
  },
  routes: {
    action: 'live',
    effect: 'routes are added and removed at once',
    differs: (before, after) => differ(before.routes, after.routes),
  },
  distribute_traffic: {
    action: 'live',
    effect: 'flows take the tunnels that they have by it at once',
    differs: (before, after) => before.distributeTraffic !== after.distributeTraffic,
  },
  interface: {
    action: 'restart',
    effect: AT_RESTART,
    differs: (before, after) => before.interface !== after.interface,
  },
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

/** Whether the networks of one of the sides include some that they did not, on that side. */
function gainsNetworks(before: ConnectionConfig, after: ConnectionConfig): boolean {
  const sides = [
    [before.local.selectors, after.local.selectors],
    [before.peer.selectors, after.peer.selectors],
  ] as const;
  return sides.some(([one, other]) => !sameSelectors(one, other) && !covers(one, other));
}

/** Plain data in a fixed order of fields: the texts are equal when they are. */
function differ(a: unknown, b: unknown): boolean {
  return JSON.stringify(a) !== JSON.stringify(b);
}
