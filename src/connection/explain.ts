import type { Millis } from '../util/units.js';
import type { HistoryEntry } from './projections/history.js';
import { adviceFor } from './reasons.js';
import type { Advisory, ConnectionStatusDocument, StatusReason } from './status.js';

/** One thing that happened, oldest first. Times are RFC 3339 in UTC. */
export interface TimelineEntry {
  readonly first_at: string;
  readonly last_at: string;
  readonly count: number;
  readonly what: HistoryEntry['kind'];
  readonly text: string;
}

/** Why a connection is as it is: the answer of `culvert explain`. */
export interface Explanation {
  readonly name: string;
  readonly status: ConnectionStatusDocument['status'];
  /** One sentence: what is wrong, or that nothing is. */
  readonly verdict: string;
  /** The finer cause of what is wrong, or is going to be, null when nothing is. */
  readonly cause: string | null;
  /** What to do, most important first; empty when there is nothing to do. */
  readonly advice: readonly string[];
  /** What happens next by itself. */
  readonly next: readonly string[];
  /** The whole status, with both offers and other evidence in its reasons. */
  readonly connection: ConnectionStatusDocument;
  readonly timeline: readonly TimelineEntry[];
}

/** An explanation as it can be given without the gateway's process, too: of that there is no status. */
export type Diagnosis = Omit<Explanation, 'connection'> & {
  readonly connection: ConnectionStatusDocument | null;
};

/** The moment an explanation is given at, and how it prints points on the monotonic clock. */
export interface ExplainTime {
  readonly now: Millis;
  /** The RFC 3339 form, in UTC, of a point on the clock. */
  readonly toUtc: (at: Millis) => string;
}

/** Advice that the status's advisories carry in their text already is not said twice. */
const ADVISORY_CAUSES: Readonly<Record<string, string>> = {
  admin_down: 'admin_down',
  stopped_by_operator: 'admin_down',
};

/**
 * What advisories say about a connection that is up and yet not well: the cause of what is going to happen, where it
 * has one.
 */
const THREATS: Readonly<Record<string, string | null>> = {
  pfs_mismatch: 'pfs_mismatch',
  clock_or_lifetime: 'clock_or_lifetime',
  rekey_refused: 'rekey_failed',
  one_way_traffic: null,
  flapping: null,
};

/** Explains one connection from its status and what happened to it lately. Pure. */
export function explain(
  connection: ConnectionStatusDocument,
  history: readonly HistoryEntry[],
  { now, toUtc }: ExplainTime,
): Explanation {
  const [main] = connection.status_reasons;
  const down = connection.advisories.find(({ code }) => code in ADVISORY_CAUSES);
  const threat = threatOf(connection);
  const cause = mainCause(connection, main, down?.code) ?? (threat && THREATS[threat.code]) ?? null;
  return {
    name: connection.name,
    status: connection.status,
    verdict: verdictOf(connection, main, down?.message, threat?.message),
    cause,
    advice: adviceOf(connection, main, threat, cause),
    next: nextOf(connection, toUtc(now)),
    connection,
    timeline: history.map(({ kind, text, firstAt, lastAt, count }) => ({
      first_at: toUtc(firstAt),
      last_at: toUtc(lastAt),
      count,
      what: kind,
      text,
    })),
  };
}

/** The advisory that matters most: one that names a cause. */
function threatOf({ advisories }: ConnectionStatusDocument): Advisory | undefined {
  const threats = advisories.filter(({ code }) => code in THREATS);
  return threats.find(({ code }) => THREATS[code] !== null) ?? threats[0];
}

function mainCause(
  { status, activity }: ConnectionStatusDocument,
  main: StatusReason | undefined,
  wanted: string | undefined,
): string | null {
  if (status === 'up') return null;
  if (wanted !== undefined) return ADVISORY_CAUSES[wanted]!;
  if (main !== undefined) return main.details?.cause ?? main.code;
  return activity === 'passive' ? 'waiting_for_peer' : null;
}

function verdictOf(
  connection: ConnectionStatusDocument,
  main: StatusReason | undefined,
  wanted: string | undefined,
  threat: string | undefined,
): string {
  const { status, peer, coverage, activity } = connection;
  if (status === 'up') {
    const pairs = coverage === undefined ? '' : ` for ${plural(coverage.covered, 'pair')} of networks`;
    const but = threat === undefined ? '' : ` But something is wrong with it. ${threat}`;
    return `The connection with ${peer} is up${pairs}.${but}`;
  }
  if (wanted !== undefined) return `The connection is down because it is meant to be. ${wanted}`;
  if (main !== undefined) return `The connection is ${status}. ${withoutAdvice(main)}`;
  switch (activity) {
    case 'connecting':
      return `The connection is being negotiated with ${peer}; nothing has failed yet.`;
    case 'trapped':
      return `The connection is down and waiting for traffic (dead_peer_detection.action hold).`;
    case 'passive':
      return `The connection is down and waiting for the peer ${peer}.`;
    default:
      return `The connection is ${status}.`;
  }
}

/** A reason's message ends with its advice, which is shown apart here. */
function withoutAdvice({ message, details }: StatusReason): string {
  const advice = details?.advice;
  return typeof advice === 'string' && message.endsWith(advice)
    ? message.slice(0, -advice.length).trim()
    : message;
}

function adviceOf(
  connection: ConnectionStatusDocument,
  main: StatusReason | undefined,
  threat: Advisory | undefined,
  cause: string | null,
): string[] {
  const out: string[] = [];
  const add = (text: unknown): void => {
    if (typeof text === 'string' && text !== '' && !out.includes(text)) out.push(text);
  };
  if (connection.status === 'up' && threat !== undefined) add(adviceFor(cause ?? ''));
  if (connection.status !== 'up') {
    if (cause === 'admin_down')
      add(`Bring it up with admin_state_up: true or \`culvert up ${connection.name}\`.`);
    else
      for (const reason of connection.status_reasons) add(reason.details?.advice ?? adviceFor(cause ?? ''));
    if (main === undefined && cause !== null && cause !== 'admin_down') add(adviceFor(cause));
  }
  for (const { code, message } of connection.advisories) if (!(code in ADVISORY_CAUSES)) add(message);
  return out;
}

/** The two largest units: `42 s`, `3 min 5 s`, `6 h 37 min`. */
function durationText(milliseconds: number): string {
  const total = Math.max(0, Math.round(milliseconds / 1000));
  const [seconds, minutes] = [total % 60, Math.floor(total / 60) % 60];
  const hours = Math.floor(total / 3600);
  if (hours > 0) return minutes === 0 ? `${hours} h` : `${hours} h ${minutes} min`;
  if (minutes > 0) return seconds === 0 ? `${minutes} min` : `${minutes} min ${seconds} s`;
  return `${seconds} s`;
}

function nextOf(connection: ConnectionStatusDocument, now: string): string[] {
  const { activity, failed_attempts: failed = 0, next_attempt_at: at, ike, children, peer } = connection;
  const out: string[] = [];
  const inTime = (when: string): string => `in ${durationText(Date.parse(when) - Date.parse(now))}`;
  if (activity === 'due' && at !== undefined) {
    const after = failed === 0 ? '' : `, after ${plural(failed, 'failed attempt')} in a row`;
    out.push(`The next attempt is made ${inTime(at)}${after}.`);
  }
  if (activity === 'connecting') out.push(`An attempt with ${peer} is under way.`);
  if (activity === 'passive') out.push('Nothing is sent from here: the peer, or `culvert up`, has to begin.');
  if (activity === 'trapped') out.push('The first packet for its networks starts a negotiation.');
  if (ike !== null) out.push(`The IKE SA is rekeyed ${inTime(ike.rekey_at)}.`);
  const current = children.filter(({ state }) => state === 'installed');
  const soonest = current.map((child) => child.rekey_at).sort()[0];
  if (soonest !== undefined) out.push(`The next child SA is rekeyed ${inTime(soonest)}.`);
  return out;
}

function plural(count: number, what: string): string {
  return `${count} ${what}${count === 1 ? '' : 's'}`;
}
