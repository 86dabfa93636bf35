import type { DatagramDropReason, Failure, FailureCause, IkeEvent } from '../ike/events.js';
import { QUIRKS } from '../ike/quirks.js';
import type { ConnectionId } from '../util/ids.js';
import { formatEndpoint } from '../util/ip.js';
import { natWords, selectors } from './event-words.js';
import { CLOSES } from './losses.js';
import { espSuiteNames, hex32, ikeSuiteNames, suiteWord } from './names.js';
import { statusReason } from './reasons.js';

/** How much an event matters to an operator. */
export type EventLevel = 'debug' | 'info' | 'warn';

/** What an entry of a connection's history is about. */
export type HistoryKind =
  | 'attempt'
  | 'sent'
  | 'received'
  | 'repeated'
  | 'dropped'
  | 'established'
  | 'failed'
  | 'closed'
  | 'moved'
  | 'changed';

/** Repeats of an event that count as one line of the log for a while. */
export interface Fold {
  /** Events of one key are folded together. */
  readonly key: string;
  /** Until something else is heard of the peer, which may be switched off for days. */
  readonly silence?: true;
}

/** One line of a connection's history. */
export interface HistoryLine {
  readonly kind: HistoryKind;
  readonly text: string;
}

/** An event of one kind. */
export type EventOf<K extends IkeEvent['kind']> = Extract<IkeEvent, { kind: K }>;

/** Everything that is said of the events of one kind: in the log, in the history of a connection, in docs/events.md. */
export interface CatalogueEntry<E> {
  /** What it means, for the reference: one sentence. */
  readonly meaning: string;
  /** Where the RFCs speak of it. */
  readonly spec?: string;
  /** Its level in the log; where that depends on the event, all that it may be. */
  readonly level: EventLevel | { readonly among: readonly EventLevel[]; of(event: E): EventLevel };
  /** The log line. */
  text(event: E): string;
  /** What failed: its cause, its evidence and what to do become fields of the log line. */
  failure?(event: E): Failure | undefined;
  /** Further fields of the log line; one without a value is left out. */
  readonly fields?: Readonly<Record<string, (event: E) => unknown>>;
  /** Which repeats are one line of the log: for what strangers can cause, and what repeats for days. */
  fold?(event: E): Fold | undefined;
  /** What it adds to the history of its connection. */
  history?(event: E): HistoryLine;
  /** Whether it may change what a status document says, its counters aside. */
  readonly status?: true | ((event: E) => boolean);
  /** It is streamed although it is for debugging in the log: the end of something that is streamed. */
  readonly streamed?: true;
}

/** Causes of a peer from which nothing comes. */
export const SILENT_CAUSES: readonly FailureCause[] = [
  'peer_silent',
  'port_500_blocked',
  'port_4500_blocked',
];

/** Drops that keep a peer out by our own limits. */
export const TURNED_AWAY: readonly DatagramDropReason[] = ['half_open_limit', 'rate_limited'];

/** The engine's events: the one place that gives them words. */
export const EVENTS: { readonly [K in IkeEvent['kind']]: CatalogueEntry<EventOf<K>> } = {
  'ike-initiating': {
    meaning: 'This end begins to negotiate an IKE SA.',
    spec: 'RFC 7296 §1.2; RFC 2409 §5',
    level: 'info',
    text: ({ version, peer }) => `initiating IKEv${version} to ${formatEndpoint(peer)}`,
    fold: ({ connection }) => ({ key: initiatingKey(connection), silence: true }),
    history: ({ version, peer }) => ({
      kind: 'attempt',
      text: `we start IKEv${version} with ${formatEndpoint(peer)}`,
    }),
    status: true,
  },
  'ike-responding': {
    meaning: 'A peer begins to negotiate an IKE SA. Its connection is not known yet.',
    spec: 'RFC 7296 §1.2; RFC 2409 §5',
    level: 'debug',
    text: ({ version, peer }) => `answering IKEv${version} from ${formatEndpoint(peer)}`,
    fold: ({ kind, peer }) => ({ key: `${kind} ${peer.address}` }),
    history: ({ version, peer }) => ({
      kind: 'attempt',
      text: `${formatEndpoint(peer)} starts IKEv${version} with us`,
    }),
  },
  'ike-established': {
    meaning:
      'An IKE SA is established: both ends are authenticated, here or (`adopted`) in a previous engine. `replaces` names the one it rekeys.',
    spec: 'RFC 7296 §1.2, §2.18; RFC 2409 §5',
    level: 'info',
    text: ({ ike, adopted }) =>
      `IKEv${ike.version} SA ${ike.ikeId} ${establishedWord(adopted)} as ${ike.role} with ${ike.peerIdentity} at ` +
      `${formatEndpoint(ike.peer)}, ${suiteWord(ikeSuiteNames(ike.suite))}${natWords(ike.nat)}`,
    fields: {
      initiator_spi: ({ ike }) => ike.initiatorSpi,
      responder_spi: ({ ike }) => ike.responderSpi,
      prf: ({ ike }) => ikeSuiteNames(ike.suite).prf,
    },
    history: ({ ike, adopted }) => ({
      kind: 'established',
      text: `IKEv${ike.version} SA as ${ike.role} with ${ike.peerIdentity}${carriedOn(adopted)}`,
    }),
    status: true,
  },
  'ike-closed': {
    meaning: 'An established IKE SA is gone. A warning when it was not intended.',
    spec: 'RFC 7296 §1.4.1, §2.4; RFC 2408 §3.15',
    level: {
      among: ['info', 'warn'],
      of: ({ failure, reason }) =>
        failure === undefined && reason !== 'peer-dead' && reason !== 'failed' ? 'info' : 'warn',
    },
    text: ({ ikeId, failure, reason }) =>
      `IKE SA ${ikeId} closed: ${failure === undefined ? CLOSES[reason].words : failure.message}`,
    fields: { reason: ({ reason }) => reason, cause: ({ failure }) => failure?.cause },
    history: ({ failure, reason }) => ({ kind: 'closed', text: `IKE SA: ${failure?.message ?? reason}` }),
    status: true,
  },
  'ike-failed': {
    meaning: 'An IKE SA was not established. A warning unless an operator gave the attempt up.',
    spec: 'RFC 7296 §2.21; RFC 2408 §5',
    level: { among: ['info', 'warn'], of: (event) => (isGivenUp(event) ? 'info' : 'warn') },
    text: failedText,
    failure: (event) => (isGivenUp(event) ? undefined : event.failure),
    fields: { role: (event) => (isGivenUp(event) ? undefined : event.role) },
    fold: failedFold,
    history: ({ role, failure }) => ({ kind: 'failed', text: `as ${role}: ${failure.message}` }),
    status: true,
  },
  'child-established': {
    meaning:
      'A child SA is established, here or (`adopted`) in a previous engine. `replaces` names the one it rekeys.',
    spec: 'RFC 7296 §1.3, §2.8; RFC 2409 §5.5',
    level: 'info',
    text: ({ child, adopted }) =>
      `child SA ${child.childId} ${establishedWord(adopted)}${child.replaces === undefined ? '' : ` in place of ${child.replaces}`}: ` +
      `${selectors(child.localTs)} === ${selectors(child.peerTs)}, ${suiteWord(espSuiteNames(child.suite))}` +
      `${child.encapsulation === 'udp' ? ' in UDP' : ''}${child.narrowed ? ', narrowed by the peer' : ''}`,
    fields: { spi_in: ({ child }) => hex32(child.spiIn), spi_out: ({ child }) => hex32(child.spiOut) },
    history: ({ child: { localTs, peerTs, replaces }, adopted }) => ({
      kind: 'established',
      text:
        `child SA ${selectors(localTs)} === ${selectors(peerTs)}` +
        `${replaces === undefined ? '' : ', in place of an older one'}${carriedOn(adopted)}`,
    }),
    status: true,
  },
  'child-closed': {
    meaning: 'An established child SA is gone.',
    spec: 'RFC 7296 §1.4.1; RFC 2408 §3.15',
    level: 'info',
    text: ({ childId, reason }) => `child SA ${childId} closed: ${CLOSES[reason].words}`,
    fields: { reason: ({ reason }) => reason },
    history: ({ reason }) => ({ kind: 'closed', text: `child SA: ${reason}` }),
    status: true,
  },
  'child-failed': {
    meaning:
      'A child SA was not established, or not rekeyed: `rekeys` names the one that stays in use until it expires.',
    spec: 'RFC 7296 §1.3, §2.8; RFC 2409 §5.5',
    level: 'warn',
    text: ({ failure }) => `no child SA: ${statusReason(failure).message}`,
    failure: ({ failure }) => failure,
    fields: { role: ({ role }) => role },
    history: ({ role, failure }) => ({ kind: 'failed', text: `child SA, as ${role}: ${failure.message}` }),
    status: true,
  },
  'peer-moved': {
    meaning: 'The peer sends from another address or port: a NAT has a new mapping.',
    spec: 'RFC 7296 §2.23',
    level: 'info',
    text: ({ from, to }) => `the peer moved from ${formatEndpoint(from)} to ${formatEndpoint(to)}`,
    history: ({ to }) => ({ kind: 'moved', text: `the peer, to ${formatEndpoint(to)}` }),
    status: true,
  },
  'peer-took-over': {
    meaning:
      'The peer is a cluster, of which another member has taken over: both ends go on with message ids that none of them has used.',
    spec: 'RFC 6311 §5.1, §5.2',
    level: 'info',
    text: ({ nextReceived, nextSent, skipped }) =>
      `another member of the peer has taken over: message ids go on with ${nextReceived} from there and ${nextSent} from here, ${skipped} sequence numbers are left out`,
    history: () => ({ kind: 'changed', text: 'another member of the peer has taken over' }),
  },
  rescheduled: {
    meaning: 'The rekeying of an SA is rescheduled, since its lifetime changed.',
    spec: 'RFC 7296 §2.8; RFC 2407 §4.6.3.1',
    level: 'debug',
    text: ({ ikeId, childId }) =>
      `${childId === undefined ? `IKE SA ${ikeId}` : `child SA ${childId}`}: its lifetime changed, so its rekeying is rescheduled`,
    status: true,
  },
  'liveness-probe': {
    meaning: 'Nothing was heard from the peer for a while: it is asked for a sign of life.',
    spec: 'RFC 7296 §2.4; RFC 3706',
    level: 'debug',
    text: ({ idle }) => `probing the peer after ${Math.round(idle)} ms without a sign of life`,
  },
  'round-trip': {
    meaning:
      'The peer has answered a request that asks for nothing but the answer, and was sent once. The time is that of the way and back, and of both ends until they have seen and opened the messages.',
    spec: 'RFC 7296 §1.4, §2.4; RFC 3706; RFC 6298 §3',
    level: 'debug',
    text: ({ exchange, time }) => `${exchange} answered after ${Math.round(time)} ms`,
    fields: { round_trip_ms: ({ time }) => time },
  },
  retransmit: {
    meaning: 'A request was not answered in time and is sent again.',
    spec: 'RFC 7296 §2.1; RFC 2408 §5.1',
    level: 'debug',
    text: ({ exchange, peer, attempt }) =>
      `no answer to ${exchange} from ${formatEndpoint(peer)}, try ${attempt + 1}`,
    history: ({ exchange, peer }) => ({
      kind: 'repeated',
      text: `no answer to ${exchange} from ${formatEndpoint(peer)}`,
    }),
    status: true,
  },
  'cookie-demanded': {
    meaning: 'Too many negotiations are half-open: an initiator has to return a cookie first.',
    spec: 'RFC 7296 §2.6',
    level: 'warn',
    text: ({ halfOpen, peer }) =>
      `${halfOpen} half-open negotiations: demanding a cookie from ${formatEndpoint(peer)}`,
    fold: ({ kind }) => ({ key: kind }),
    history: ({ halfOpen }) => ({
      kind: 'changed',
      text: `we demand a cookie: ${halfOpen} half-open negotiations`,
    }),
  },
  'cookie-answered': {
    meaning: 'The peer demanded a cookie; the request is sent again with it.',
    spec: 'RFC 7296 §2.6',
    level: 'info',
    text: ({ peer }) => `${formatEndpoint(peer)} demanded a cookie: the request is sent again with it`,
    history: () => ({ kind: 'changed', text: 'the peer demanded a cookie; sent again with it' }),
  },
  'ke-group-changed': {
    meaning: 'A request is sent again with the Diffie-Hellman group that its receiver asked for.',
    spec: 'RFC 7296 §1.2, §1.3',
    level: 'info',
    text: ({ from, to }) => `Diffie-Hellman group ${to} instead of ${from}, as the peer asked`,
    fold: ({ kind, connection }) => (connection === undefined ? { key: kind } : undefined),
    history: ({ from, to }) => ({ kind: 'changed', text: `Diffie-Hellman group ${to} instead of ${from}` }),
  },
  advisory: {
    meaning: 'Something an operator should know while the connection works; the status shows it, too.',
    level: 'warn',
    text: ({ message }) => message,
    fields: { code: ({ code }) => code },
    status: true,
  },
  'advisory-withdrawn': {
    meaning: 'The advisories of this code no longer apply to the connection.',
    level: 'debug',
    text: () => 'the advisory no longer applies',
    fields: { code: ({ code }) => code },
    streamed: true,
    status: true,
  },
  quirk: {
    meaning: 'The peer deviates from the RFCs in a way that is tolerated. Once per IKE SA and code.',
    level: 'info',
    text: ({ code }) => QUIRKS[code],
    fields: { code: ({ code }) => code },
    history: ({ code }) => ({ kind: 'changed', text: QUIRKS[code] }),
    status: true,
  },
  'datagram-dropped': {
    meaning: 'A datagram was dropped and changed nothing.',
    spec: 'RFC 7296 §2.21.4, §2.5',
    level: 'info',
    text: ({ peer, detail }) => `dropped a datagram from ${formatEndpoint(peer)}: ${detail}`,
    fields: { reason: ({ reason }) => reason },
    fold: ({ kind, reason }) => ({ key: `${kind} ${reason}` }),
    status: ({ reason }) => TURNED_AWAY.includes(reason),
    history: ({ peer, reason, detail }) => ({
      kind: 'dropped',
      text: `from ${formatEndpoint(peer)}: ${reason}, ${detail}`,
    }),
  },
  message: {
    meaning: 'One IKE message that was sent or received, in readable form.',
    level: 'debug',
    text: ({ direction, peer, summary }) =>
      `${direction} ${direction === 'in' ? 'from' : 'to'} ${formatEndpoint(peer)}: ${summary}`,
    history: ({ direction, peer, summary }) =>
      direction === 'out'
        ? { kind: 'sent', text: `to ${formatEndpoint(peer)}: ${summary}` }
        : { kind: 'received', text: `from ${formatEndpoint(peer)}: ${summary}` },
  },
};

/** A line of the log. */
export interface EventLine {
  readonly level: EventLevel;
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
  readonly fold?: Fold;
}

/** The entry of an event's kind. */
export function entryOf(event: IkeEvent): CatalogueEntry<IkeEvent> {
  // An entry is only ever given events of its own kind.
  return EVENTS[event.kind] as CatalogueEntry<IkeEvent>;
}

/** Whether events of a kind are streamed to who asks for events: not what is for debugging only. */
export function isStreamedKind(kind: IkeEvent['kind']): boolean {
  const { level, streamed } = EVENTS[kind];
  return level !== 'debug' || streamed === true;
}

/** How much an event matters. */
export function levelOf(event: IkeEvent): EventLevel {
  const { level } = entryOf(event);
  return typeof level === 'string' ? level : level.of(event);
}

/** What an event says to a person, and how much it matters. */
export function describeEvent(event: IkeEvent): EventLine {
  const entry = entryOf(event);
  const failure = entry.failure?.(event);
  const fields: Record<string, unknown> = failure === undefined ? {} : { ...statusReason(failure).details };
  for (const [name, read] of Object.entries(entry.fields ?? {})) {
    const value = read(event);
    if (value !== undefined) fields[name] = value;
  }
  const fold = entry.fold?.(event);
  return { level: levelOf(event), text: entry.text(event), fields, ...(fold === undefined ? {} : { fold }) };
}

/** What an event adds to the history of the connection it is about; undefined for one that adds nothing. */
export function historyOf(event: IkeEvent): HistoryLine | undefined {
  return entryOf(event).history?.(event);
}

/** The key under which our attempts to reach a peer are folded. */
export function initiatingKey(connection: ConnectionId): string {
  return `ike-initiating ${connection}`;
}

/** The key under which attempts that met with silence are folded. */
export function silentKey(cause: FailureCause, connection: ConnectionId | undefined): string {
  return `ike-failed ${cause} ${connection}`;
}

type FailedEvent = EventOf<'ike-failed'>;

function isGivenUp({ failure }: FailedEvent): boolean {
  return failure.cause === 'terminated';
}

function failedText(event: FailedEvent): string {
  const peer = formatEndpoint(event.peer);
  if (isGivenUp(event)) return `negotiation with ${peer} given up`;
  const { message } = statusReason(event.failure);
  return event.role === 'initiator' ? `no IKE SA with ${peer}: ${message}` : `refused ${peer}: ${message}`;
}

/** As responder anybody can cause the line; as initiator the reconciler's pace bounds it, but not for days. */
function failedFold(event: FailedEvent): Fold | undefined {
  const { kind, connection, failure, role, peer } = event;
  if (isGivenUp(event)) return undefined;
  if (role === 'responder') return { key: `${kind} ${failure.cause} ${peer.address}` };
  if (!SILENT_CAUSES.includes(failure.cause)) return undefined;
  return { key: silentKey(failure.cause, connection), silence: true };
}

/** An adopted SA was established by another engine. */
function establishedWord(adopted: true | undefined): string {
  return adopted === true ? 'taken over' : 'established';
}

function carriedOn(adopted: true | undefined): string {
  return adopted === true ? ', taken over from a previous engine' : '';
}
