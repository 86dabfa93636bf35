import { espSuiteNames, ikeSuiteNames, suiteWord } from '../connection/names.js';
import { statusReason } from '../connection/reasons.js';
import type { CloseReason, FailureCause, IkeEvent } from '../ike/events.js';
import type { NatReport } from '../ike/path/nat-detection.js';
import { QUIRKS } from '../ike/quirks.js';
import { formatEndpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import { describeSelector } from '../wire/ike/describe.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';
import type { Logger } from './log.js';
import { RepeatFolder } from './repeats.js';

type Level = 'debug' | 'info' | 'warn';

export interface EventLine {
  readonly level: Level;
  readonly text: string;
  readonly fields?: Readonly<Record<string, unknown>>;
  /** Lines of one kind that strangers can cause are folded. */
  readonly fold?: string;
  /** Folded for as long as the peer is silent, with a line an hour. */
  readonly silence?: boolean;
}

/** How long repeats of one kind are held back. */
const FOLD_INTERVAL: Millis = 10_000;
/** The same for a peer that stays silent, which may be switched off for days while every attempt fails alike. */
const SILENCE_INTERVAL: Millis = 3_600_000;
/** Connections whose silence is folded one by one. */
const MAX_SILENT = 4096;
/** Causes of a peer from which nothing comes. */
const SILENT: readonly FailureCause[] = ['peer_silent', 'port_500_blocked', 'port_4500_blocked'];

const CLOSED: Readonly<Record<CloseReason, string>> = {
  terminated: 'deleted by us',
  shutdown: 'deleted, the daemon stops',
  'peer-deleted': 'the peer sent DELETE',
  'peer-dead': 'the peer is dead',
  rekeyed: 'replaced by rekeying',
  expired: 'end of lifetime',
  replaced: 'replaced by a newer one',
  'configuration-changed': 'the configuration changed',
  failed: 'it failed',
};

/** One log line for each change of state that the engine reports; messages and retransmissions for debugging. */
export class EventLog {
  readonly #logger: Logger;
  readonly #folder = new RepeatFolder(FOLD_INTERVAL);
  /** Attempts to reach a silent peer, until something else is heard of the connection. */
  readonly #silence = new RepeatFolder(SILENCE_INTERVAL, MAX_SILENT);

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  handle(event: IkeEvent, now: Millis): void {
    const line = describeEvent(event);
    if (endsSilence(event)) {
      for (const end of [
        `info ${initiating(event)}`,
        ...SILENT.map((cause) => `warn ${silentKind(event, cause)}`),
      ])
        this.#silence.forget(end);
    }
    if (!this.#logger.isLevelEnabled(line.level)) return;
    if (line.fold === undefined) {
      this.#write(line.level, line.text, event, line.fields);
      return;
    }
    const folder = line.silence === true ? this.#silence : this.#folder;
    const { write, repeats } = folder.admit(`${line.level} ${line.fold}`, line.text, now);
    if (!write) return;
    this.#write(line.level, line.text, event, repeats === 0 ? line.fields : { ...line.fields, repeats });
  }

  /** Writes what was held back and is due. Call it every second or so, and before the end with `Infinity`. */
  flush(now: Millis): void {
    for (const { kind, line, repeats } of [...this.#folder.due(now), ...this.#silence.due(now)]) {
      const level = kind.split(' ', 1)[0] as Level;
      const more = repeats === 1 ? '' : ` (and ${repeats - 1} more)`;
      const fields = { event: kind.slice(level.length + 1), repeats: repeats - 1 };
      this.#logger[level](fields, `${line}${more}`);
    }
  }

  #write(level: Level, text: string, event: IkeEvent, fields: Readonly<Record<string, unknown>> = {}): void {
    const connection = 'connection' in event ? event.connection : undefined;
    const named = connection === undefined ? {} : { connection };
    this.#logger[level]({ event: event.kind, ...named, ...fields }, text);
  }
}

function selectors(list: readonly TrafficSelector[]): string {
  return list.map(describeSelector).join(',');
}

function hex32(value: number): string {
  return (value >>> 0).toString(16).padStart(8, '0');
}

/** What an event says to a person, and how much it matters. */
export function describeEvent(event: IkeEvent): EventLine {
  switch (event.kind) {
    case 'ike-initiating':
      return {
        level: 'info',
        text: `initiating IKEv${event.version} to ${formatEndpoint(event.peer)}`,
        fold: initiating(event),
        silence: true,
      };
    case 'ike-responding': {
      const text = `answering IKEv${event.version} of ${formatEndpoint(event.peer)}`;
      return { level: 'debug', text, fold: `ike-responding ${event.peer.address}` };
    }
    case 'ike-established':
      return establishedLine(event);
    case 'ike-closed': {
      const failure = event.failure;
      const calm = failure === undefined && event.reason !== 'peer-dead' && event.reason !== 'failed';
      const why = failure === undefined ? CLOSED[event.reason] : failure.message;
      return {
        level: calm ? 'info' : 'warn',
        text: `IKE SA ${event.ikeId} closed: ${why}`,
        fields: { reason: event.reason, ...(failure === undefined ? {} : { cause: failure.cause }) },
      };
    }
    case 'ike-failed':
      return ikeFailedLine(event);
    case 'child-established':
      return childEstablishedLine(event);
    case 'child-closed': {
      const text = `child SA ${event.childId} closed: ${CLOSED[event.reason]}`;
      return { level: 'info', text, fields: { reason: event.reason } };
    }
    case 'child-failed': {
      const { message, details } = statusReason(event.failure);
      return { level: 'warn', text: `no child SA: ${message}`, fields: { ...details, role: event.role } };
    }
    case 'peer-moved':
      return {
        level: 'info',
        text: `the peer moved from ${formatEndpoint(event.from)} to ${formatEndpoint(event.to)}`,
      };
    case 'rescheduled': {
      const what = event.childId === undefined ? `IKE SA ${event.ikeId}` : `child SA ${event.childId}`;
      return { level: 'debug', text: `${what}: another lifetime, rekeying is put elsewhere` };
    }
    case 'liveness-probe':
      return {
        level: 'debug',
        text: `probing the peer after ${Math.round(event.idle)} ms without a sign of life`,
      };
    case 'retransmit': {
      const text = `no answer to ${event.exchange} from ${formatEndpoint(event.peer)}, try ${event.attempt + 1}`;
      return { level: 'debug', text };
    }
    case 'cookie-demanded': {
      const text = `${event.halfOpen} half-open negotiations: demanding a cookie from ${formatEndpoint(event.peer)}`;
      return { level: 'warn', text, fold: event.kind };
    }
    case 'cookie-answered':
      return { level: 'info', text: `${formatEndpoint(event.peer)} demanded a cookie, sent again with it` };
    case 'ke-group-changed': {
      const text = `Diffie-Hellman group ${event.to} instead of ${event.from}, as the peer asked`;
      return { level: 'info', text, ...(event.connection === undefined ? { fold: event.kind } : {}) };
    }
    case 'advisory':
      return { level: 'warn', text: event.message, fields: { code: event.code } };
    case 'advisory-withdrawn':
      return { level: 'debug', text: 'what was advised holds no more', fields: { code: event.code } };
    case 'quirk':
      return { level: 'info', text: QUIRKS[event.code], fields: { code: event.code } };
    case 'datagram-dropped':
      return {
        level: 'info',
        text: `dropped a datagram of ${formatEndpoint(event.peer)}: ${event.detail}`,
        fields: { reason: event.reason },
        fold: `${event.kind} ${event.reason}`,
      };
    case 'message': {
      const way = event.direction === 'in' ? 'from' : 'to';
      return {
        level: 'debug',
        text: `${event.direction} ${way} ${formatEndpoint(event.peer)}: ${event.summary}`,
      };
    }
  }
}

function establishedLine(event: Extract<IkeEvent, { kind: 'ike-established' }>): EventLine {
  const { ike } = event;
  const suite = ikeSuiteNames(ike.suite);
  const nat = natWords(ike.nat);
  const text =
    `IKEv${ike.version} SA ${ike.ikeId} ${establishedWord(event)} as ${ike.role} with ${ike.peerIdentity} at ` +
    `${formatEndpoint(ike.peer)}, ${suiteWord(suite)}${nat}`;
  return {
    level: 'info',
    text,
    fields: { initiator_spi: ike.initiatorSpi, responder_spi: ike.responderSpi, prf: suite.prf },
  };
}

function establishedWord({ adopted }: { readonly adopted?: true }): string {
  return adopted === true ? 'carried on' : 'established';
}

function natWords({ local, peer, peerMayForce }: NatReport): string {
  const ours = local ? ', this end behind NAT' : '';
  return !peer ? ours : `${ours}, the peer behind NAT${peerMayForce ? ' or forcing UDP encapsulation' : ''}`;
}

function childEstablishedLine(event: Extract<IkeEvent, { kind: 'child-established' }>): EventLine {
  const { child } = event;
  const instead = child.replaces === undefined ? '' : ` instead of ${child.replaces}`;
  const text =
    `child SA ${child.childId} ${establishedWord(event)}${instead}: ${selectors(child.localTs)} === ` +
    `${selectors(child.peerTs)}, ${suiteWord(espSuiteNames(child.suite))}` +
    `${child.encapsulation === 'udp' ? ' in UDP' : ''}${child.narrowed ? ', narrowed by the peer' : ''}`;
  return { level: 'info', text, fields: { spi_in: hex32(child.spiIn), spi_out: hex32(child.spiOut) } };
}

type FailedEvent = Extract<IkeEvent, { kind: 'ike-failed' }>;

function ikeFailedLine(event: FailedEvent): EventLine {
  const { failure, role, peer } = event;
  if (failure.cause === 'terminated') {
    return { level: 'info', text: `negotiation with ${formatEndpoint(peer)} given up` };
  }
  const { message, details } = statusReason(failure);
  const fields = { ...details, role };
  const who =
    role === 'initiator' ? `no IKE SA with ${formatEndpoint(peer)}` : `refused ${formatEndpoint(peer)}`;
  return { level: 'warn', text: `${who}: ${message}`, fields, ...foldOf(event) };
}

/** As responder anybody can cause the line; as initiator the reconciler's pace bounds it, but not for days. */
function foldOf(event: FailedEvent): Pick<EventLine, 'fold' | 'silence'> {
  const { failure, role, peer } = event;
  if (role === 'responder') return { fold: `${event.kind} ${failure.cause} ${peer.address}` };
  return SILENT.includes(failure.cause) ? { fold: silentKind(event, failure.cause), silence: true } : {};
}

const initiating = ({ connection }: { readonly connection: string }): string =>
  `ike-initiating ${connection}`;

function silentKind({ connection }: { readonly connection?: string }, cause: FailureCause): string {
  return `ike-failed ${cause} ${connection}`;
}

/** Whether the next attempt of the connection is news: the peer has answered, or an operator took a hand. */
function endsSilence(event: IkeEvent): event is IkeEvent & { readonly connection: string } {
  switch (event.kind) {
    case 'ike-established':
    case 'ike-closed':
      return true;
    case 'ike-failed':
      return (
        event.connection !== undefined && event.role === 'initiator' && !SILENT.includes(event.failure.cause)
      );
    default:
      return false;
  }
}
