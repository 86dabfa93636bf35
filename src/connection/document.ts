import { connectionName } from '../ike/config.js';
import type { Millis } from '../util/units.js';
import { advisoriesOf } from './advisors.js';
import type { CarriedNetworks } from './carried.js';
import { coverageStatus, narrowedReason, sumOfDrops } from './coverage-status.js';
import type { ConnectionSas } from './ledger.js';
import type { TrackedConnection } from './projection.js';
import type { Projections } from './projections/projections.js';
import { type StatusCause, statusReason } from './reasons.js';
import type { ConnectionView } from './reconcile-types.js';
import { childStatus, ikeStatus, newest, type TrafficSource } from './sa-status.js';
import type {
  Advisory,
  ConnectionStatus,
  ConnectionStatusDocument,
  CoverageStatus,
  StatusReason,
} from './status.js';

/** What this host lacks for a connection's traffic. */
export interface ConnectionProblem {
  readonly cause: StatusCause;
  readonly message: string;
  /** When the host is asked again. */
  readonly retryAt?: Millis;
}

/** What the operator or the reconciler adds to the picture. */
export interface ConnectionNote {
  /** Stopped by an operator's `down` although it is configured up. */
  readonly stopped: boolean;
  /** What the reconciler is doing about it. */
  readonly view?: ConnectionView;
  /** What this host lacks for its traffic: a route, a device. */
  readonly problems?: readonly ConnectionProblem[];
  /** The TUN device its packets go through. */
  readonly interface?: string;
  /** How the networks in its `routes` are carried. */
  readonly routes?: readonly CarriedRoute[];
}

/** A network that the configuration routes into the device of a connection. */
export interface CarriedRoute {
  readonly destination: string;
  /** Whether this connection carries its packets now. */
  readonly carries: boolean;
  /** When other connections began to carry it than before. */
  readonly movedAt?: Millis;
}

/** What is known of a connection from its configuration and its events. */
export interface Documented {
  readonly connection: TrackedConnection;
  readonly sas: ConnectionSas;
  /** How much of it child SAs carry. */
  readonly carried: ConnectionStatus;
  /** What carries each configured pair of networks. */
  readonly networks: Pick<CarriedNetworks, 'matrix'>;
  readonly projections: Projections;
  /** What its settings show by themselves. */
  readonly configured: readonly Advisory[];
  /** What `peerAddressBesideTunnel` says of it. */
  readonly besideTunnel: string | undefined;
}

/** What is known of it at this moment only. */
export interface Circumstances {
  readonly note?: ConnectionNote | undefined;
  /** By child SA. */
  readonly traffic: TrafficSource;
  readonly now: Millis;
  /** The RFC 3339 form, in UTC, of a point on the clock. */
  readonly toUtc: (at: Millis) => string;
}

/** The status document of one connection. */
export function connectionDocument(one: Documented, at: Circumstances): ConnectionStatusDocument {
  const { connection, sas, carried, projections } = one;
  const { config, peer } = connection;
  const { note, now, toUtc } = at;
  const status = effectiveStatus(carried, note);
  const ike = newest(sas.ikes.values());
  const children = [...sas.children.values()].map((child) => ({
    child,
    counts: at.traffic.get(child.childId),
  }));
  const coverage = coverageOf(one, at);
  const { flaps, quirks } = projections;
  return {
    id: config.id,
    name: connectionName(config),
    status,
    admin_state_up: config.adminUp,
    establish_mode: config.establishMode,
    peer,
    ike: ike === undefined ? null : ikeStatus(ike, toUtc),
    children: children.map(({ child, counts }) =>
      childStatus(child, sas.superseded.has(child.childId), counts, toUtc),
    ),
    status_reasons: statusReasons(one, at, () => coverage),
    advisories: advisoriesIn(one, at, coverage),
    quirks: quirks.all,
    ...(note?.interface === undefined ? {} : { interface: note.interface }),
    ...routesOf(note, toUtc),
    coverage,
    ...activityOf(note?.view, toUtc),
    flaps: { total: flaps.total, last_10_minutes: flaps.recent(now) },
    drops: sumOfDrops(children.map(({ counts }) => counts?.drops ?? {})),
  };
}

function routesOf(
  { routes = [] }: Pick<ConnectionNote, 'routes'> = {},
  toUtc: Circumstances['toUtc'],
): Pick<ConnectionStatusDocument, 'routes'> {
  if (routes.length === 0) return {};
  return {
    routes: routes.map(({ destination, carries, movedAt }) => ({
      ...{ destination, carries },
      ...(movedAt === undefined ? {} : { moved_at: toUtc(movedAt) }),
    })),
  };
}

/** How much a connection carries. A tunnel without its route carries nothing of this host. */
export function effectiveStatus(
  carried: ConnectionStatus,
  note: Pick<ConnectionNote, 'problems'> | undefined,
): ConnectionStatus {
  return carried === 'up' && (note?.problems ?? []).length > 0 ? 'degraded' : carried;
}

/** Whether it is tried to have the connection up. */
export function isTried({ connection }: Documented, note: ConnectionNote | undefined): boolean {
  return connection.config.adminUp && note?.stopped !== true;
}

/** Every configured pair of networks, and why those are not carried that are not. */
function coverageOf(one: Documented, { note, toUtc }: Circumstances): CoverageStatus {
  const refusals = isTried(one, note) ? one.projections.pairRefusals : undefined;
  return coverageStatus(one.networks.matrix(), refusals, toUtc);
}

/** Why a connection is not up, the most telling first; none for one that is. `coverage` is only asked when it matters. */
export function statusReasons(
  one: Documented,
  { note, toUtc }: Circumstances,
  coverage: () => CoverageStatus,
): StatusReason[] {
  if (effectiveStatus(one.carried, note) === 'up') return [];
  const { peer } = one.connection;
  const problems = problemReasons(note?.problems ?? [], peer, toUtc);
  return [...problems, ...reasonsOf(one, coverage, note?.stopped === true, toUtc)];
}

/** What an operator should know about a connection, whether it is up or not. */
export function advisoriesIn(
  { connection: { config }, sas, projections, carried, configured, besideTunnel }: Documented,
  { note, now }: Circumstances,
  coverage: Pick<CoverageStatus, 'covered' | 'pairs'>,
): Advisory[] {
  const stopped = note?.stopped === true;
  const renewing = note?.view?.renewing === true;
  const advised = { config, sas, projections, besideTunnel, carried, coverage, stopped, renewing, now };
  return [...advisoriesOf(advised), ...configured];
}

function activityOf(
  view: ConnectionView | undefined,
  toUtc: (at: Millis) => string,
): Pick<ConnectionStatusDocument, 'activity' | 'failed_attempts' | 'next_attempt_at'> {
  if (view === undefined) return {};
  const { state, failures, nextAttemptAt } = view;
  const next = nextAttemptAt === undefined ? {} : { next_attempt_at: toUtc(nextAttemptAt) };
  return { activity: state, failed_attempts: failures, ...next };
}

function problemReasons(
  problems: readonly ConnectionProblem[],
  peer: string,
  toUtc: (at: Millis) => string,
): StatusReason[] {
  return problems.map(({ cause, message, retryAt }) => {
    const details = retryAt === undefined ? {} : { details: { nextAttemptAt: toUtc(retryAt) } };
    return statusReason({ cause, message, ...details }, { peer });
  });
}

function reasonsOf(
  { connection: { config, peer }, sas, carried, projections }: Documented,
  coverage: () => CoverageStatus,
  stopped: boolean,
  toUtc: (at: Millis) => string,
): StatusReason[] {
  const out = projections.failures.reasons(peer, toUtc);
  const version = newest(sas.ikes.values())?.version ?? 2;
  if (carried === 'degraded') {
    // The refusal of a single pair has the same code and says less: it stays with its pair.
    const reason = narrowedReason(coverage(), version, peer);
    const same = out.findIndex((other) => other.code === reason.code);
    if (same < 0) out.push(reason);
    else out[same] = reason;
  }
  const idle = out.length === 0 && config.adminUp && !stopped;
  if (idle && config.establishMode === 'peer_only') {
    const message = `Waiting for the peer ${peer}: establish_mode is peer_only, so this side never initiates`;
    out.push(statusReason({ cause: 'waiting_for_peer', message }, { peer }));
  }
  const tries = Math.max(0, ...[...sas.attempts.values()].map(({ retransmits }) => retransmits));
  if (idle && tries > 0) {
    const message = `No answer from ${peer} yet, after ${tries + 1} tries`;
    out.push(
      statusReason({ cause: 'peer_silent', message, details: { tries: tries + 1 } }, { version, peer }),
    );
  }
  return out;
}
