import {
  advisoriesIn,
  type ConnectionNote,
  effectiveStatus,
  isTried,
  statusReasons,
} from '../../connection/document.js';
import { espSuiteNames, ikeSuiteNames } from '../../connection/names.js';
import type { EventCounts, SaKind } from '../../connection/projections/counts.js';
import { newest } from '../../connection/sa-status.js';
import type { ConnectionStatus, CoverageStatus } from '../../connection/status.js';
import type { Looked } from '../../connection/tracker.js';
import type { RecentTraffic, TrafficTotal } from '../../connection/traffic-totals.js';
import { DROP_REASONS } from '../../esp/drops.js';
import { connectionName } from '../../ike/config.js';
import type { Role } from '../../ike/events.js';
import type { Millis } from '../../util/units.js';
import type { MetricName } from './catalogue.js';
import { type ConnectionSnapshot, SampleWriter } from './samples.js';

/** Pairs of networks of one connection that have a series of their own. */
export const MAX_PAIRS = 256;

/** What is known of a connection beside its events. */
export interface ConnectionAround {
  readonly mode: 'policy' | 'route';
  readonly note: ConnectionNote;
  readonly traffic: TrafficTotal;
  readonly lastMinute: RecentTraffic;
  readonly now: Millis;
  /** Milliseconds since 1970 at point 0 of the clock. */
  readonly epoch: number;
  /** The RFC 3339 form, in UTC, of a point on the clock. */
  readonly toUtc: (at: Millis) => string;
}

/** The metrics of one connection. */
export function connectionSnapshot(
  one: Looked,
  around: ConnectionAround,
): { readonly snapshot: ConnectionSnapshot; readonly state: ConnectionStatus } {
  const out = new SampleWriter();
  const { config } = one.connection;
  const { bytesIn, bytesOut, packetsIn, packetsOut } = around.lastMinute;
  const state = effectiveStatus(one.carried, around.note);
  addState(out, one, around, state);
  addTimes(out, one, around);
  addNetworks(out, one, around);
  addSas(out, one);
  addCounts(out, one.projections.counts);
  addTraffic(out, around.traffic);
  return {
    state,
    snapshot: {
      id: config.id,
      name: connectionName(config),
      samples: out.samples,
      last_minute: {
        ...{ bytes_in: bytesIn, bytes_out: bytesOut, packets_in: packetsIn, packets_out: packetsOut },
      },
    },
  };
}

/** What a connection is, as its configuration says it. */
export interface ConnectionIdentity {
  readonly id: string;
  /** The peer as the operator wrote it. */
  readonly peer: string;
  readonly mode: 'policy' | 'route';
  /** `auto`: both are accepted. */
  readonly version: 1 | 2 | 'auto';
  readonly establishMode: string;
}

/** The one series that says what a connection is. */
export function connectionInfo(
  out: SampleWriter,
  { id, peer, mode, version, establishMode }: ConnectionIdentity,
): void {
  out.put('culvert_connection_info', 1, id, peer, mode, String(version), establishMode);
}

function addState(out: SampleWriter, one: Looked, around: ConnectionAround, state: ConnectionStatus): void {
  const { config, peer } = one.connection;
  const { note, now, toUtc, mode } = around;
  const version = config.acceptVersions.length > 1 ? 'auto' : config.initiateVersion;
  const { id, establishMode } = config;
  connectionInfo(out, { id, peer, mode, version, establishMode });
  out.add('culvert_connection_up', one.carried === 'down' ? 0 : 1);
  const tried = isTried(one, note);
  out.add('culvert_connection_admin_up', tried ? 1 : 0);
  out.add('culvert_connection_state', 1, state);
  if (note.view !== undefined) out.add('culvert_connection_activity', 1, note.view.state);
  const at = { note, traffic: new Map<number, never>(), now, toUtc };
  // The pairs would be named in the message, which is not shown here: with many of them that takes long.
  const coverage = (): CoverageStatus => ({ ...pairCounts(one, note), matrix: [] });
  const [reason] = tried ? statusReasons(one, at, coverage) : [];
  const cause = tried ? (reason?.details?.cause ?? 'none') : 'admin_down';
  out.put('culvert_connection_cause_info', 1, reason?.code ?? 'none', cause);
  const advisories = new Set(advisoriesIn(one, at, one.networks.counts).map(({ code }) => code));
  for (const code of advisories) out.add('culvert_connection_advisory', 1, code);
  out.add('culvert_connection_flaps', one.projections.flaps.recent(now));
}

function addTimes(out: SampleWriter, one: Looked, { note, traffic, epoch }: ConnectionAround): void {
  const { sas, projections } = one;
  const at = (name: MetricName, moment: Millis | undefined, ...labels: string[]): void =>
    out.add(name, moment === undefined || moment === 0 ? 0 : (epoch + moment) / 1000, ...labels);
  at('culvert_connection_established_timestamp_seconds', newest(sas.ikes.values())?.establishedAt);
  at('culvert_connection_state_changed_timestamp_seconds', projections.counts.changedAt);
  at('culvert_connection_last_inbound_timestamp_seconds', traffic.lastInbound);
  at('culvert_connection_next_attempt_timestamp_seconds', note.view?.nextAttemptAt);
  const soonest = (all: Iterable<{ readonly rekeyAt: Millis }>): Millis | undefined => {
    let first: Millis | undefined;
    for (const { rekeyAt } of all) first = first === undefined ? rekeyAt : Math.min(first, rekeyAt);
    return first;
  };
  at('culvert_connection_next_rekey_timestamp_seconds', soonest(sas.ikes.values()), 'ike');
  const current = [...sas.children.values()].filter(({ childId }) => !sas.superseded.has(childId));
  at('culvert_connection_next_rekey_timestamp_seconds', soonest(current), 'child');
}

type PairCounts = Omit<CoverageStatus, 'matrix'>;

/** The configured pairs of networks by coverage, as a status document counts them. */
function pairCounts({ networks, projections: { pairRefusals } }: Looked, note: ConnectionNote): PairCounts {
  const { pairs, covered } = networks.counts;
  const open = pairs - covered;
  if (open === 0 || note.stopped || !pairRefusals.any) return { pairs, covered, pending: open, refused: 0 };
  const { pairs: all, carries } = networks;
  const refused = all.filter((pair, i) => carries[i] !== true && pairRefusals.of(pair) !== undefined).length;
  return { pairs, covered, pending: open - refused, refused };
}

function addNetworks(out: SampleWriter, one: Looked, { note }: ConnectionAround): void {
  const { pairs, carries } = one.networks;
  const tried = isTried(one, note);
  const { covered, pending, refused } = pairCounts(one, note);
  out.add('culvert_connection_pairs', covered, 'covered');
  out.add('culvert_connection_pairs', tried ? refused : 0, 'refused');
  out.add('culvert_connection_pairs', tried ? pending : pending + refused, tried ? 'pending' : 'down');
  for (const [i, { local, peer }] of pairs.slice(0, MAX_PAIRS).entries())
    out.put('culvert_connection_pair_covered', carries[i] === true ? 1 : 0, local, peer);
}

function addSas(out: SampleWriter, { sas }: Looked): void {
  const ike = newest(sas.ikes.values());
  let child:
    | { readonly suite: Parameters<typeof espSuiteNames>[0]; readonly establishedAt: Millis }
    | undefined;
  for (const one of sas.children.values())
    if (child === undefined || one.establishedAt >= child.establishedAt) child = one;
  const suite = ike && ikeSuiteNames(ike.suite);
  const esp = child && espSuiteNames(child.suite);
  const names = [
    ...[suite?.encryption, suite?.integrity, suite?.dh_group],
    ...[esp?.encryption, esp?.integrity, esp?.dh_group],
  ];
  out.put('culvert_connection_crypto_info', 1, ...names.map((name) => name ?? 'none'));
  out.add('culvert_connection_ike_sas', sas.ikes.size);
  out.add('culvert_connection_child_sas', sas.children.size);
  out.add('culvert_connection_nat', ike?.nat.local === true ? 1 : 0, 'local');
  out.add('culvert_connection_nat', ike?.nat.peer === true ? 1 : 0, 'peer');
}

const ROLES: readonly Role[] = ['initiator', 'responder'];
const SA_KINDS: readonly SaKind[] = ['ike', 'child'];

function addCounts(out: SampleWriter, counts: EventCounts): void {
  for (const role of ROLES) {
    out.add('culvert_connection_attempts_total', counts.attempts[role], role);
    out.add('culvert_connection_establishments_total', counts.establishments[role], role);
    const handshakes = counts.handshakes[role].counts;
    if (handshakes.counts.some((count) => count > 0))
      out.put('culvert_connection_handshake_duration_seconds', handshakes, role);
  }
  for (const sa of SA_KINDS) {
    out.add('culvert_connection_rekeys_total', counts.rekeyed[sa], sa, 'done');
    out.add('culvert_connection_rekeys_total', counts.unrekeyed[sa], sa, 'failed');
  }
  for (const [cause, count] of counts.failures) out.add('culvert_connection_failures_total', count, cause);
  for (const [cause, count] of counts.losses) out.add('culvert_connection_losses_total', count, cause);
  out.add('culvert_connection_ike_messages_total', counts.messages.in, 'in');
  out.add('culvert_connection_ike_messages_total', counts.messages.out, 'out');
  out.add('culvert_connection_ike_retransmissions_total', counts.retransmissions);
  out.add('culvert_connection_dpd_probes_total', counts.probes);
  out.add('culvert_connection_dpd_timeouts_total', counts.timeouts);
  out.add('culvert_connection_endpoint_changes_total', counts.moves);
}

function addTraffic(out: SampleWriter, traffic: TrafficTotal): void {
  out.add('culvert_connection_bytes_total', traffic.bytesIn, 'in');
  out.add('culvert_connection_bytes_total', traffic.bytesOut, 'out');
  out.add('culvert_connection_packets_total', traffic.packetsIn, 'in');
  out.add('culvert_connection_packets_total', traffic.packetsOut, 'out');
  for (const [i, reason] of DROP_REASONS.entries())
    out.add('culvert_connection_dropped_packets_total', traffic.drops[i]!, reason);
  out.add('culvert_connection_inner_mtu_bytes', traffic.innerMtu);
}
