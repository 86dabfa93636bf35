import type { IkeEvent } from '../ike/events.js';
import { QUIRKS } from '../ike/quirks.js';
import { formatEndpoint } from '../util/ip.js';
import type { Millis } from '../util/units.js';
import { describeSelector } from '../wire/ike/describe.js';

/** Entries that are kept of one connection: a few attempts with all their messages. */
const MAX_ENTRIES = 100;
/** Characters of one entry. */
const MAX_TEXT = 500;
/** How far back an equal entry is looked for, so that repetitions are counted and not listed. */
const FOLD_DEPTH = 4;

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

export interface HistoryEntry {
  readonly kind: HistoryKind;
  readonly text: string;
  /** First and last time, and how often. */
  readonly firstAt: Millis;
  readonly lastAt: Millis;
  readonly count: number;
}

/** What happened to one connection lately, in a bounded memory. Holds no secrets, since events hold none. */
export class ConnectionHistory {
  readonly #entries: HistoryEntry[] = [];

  add(kind: HistoryKind, text: string, now: Millis): void {
    const short = text.length > MAX_TEXT ? `${text.slice(0, MAX_TEXT)}…` : text;
    const from = Math.max(0, this.#entries.length - FOLD_DEPTH);
    const same = this.#entries.findIndex((one, i) => i >= from && one.kind === kind && one.text === short);
    const firstAt = same < 0 ? now : this.#entries[same]!.firstAt;
    const count = same < 0 ? 1 : this.#entries[same]!.count + 1;
    if (same >= 0) this.#entries.splice(same, 1);
    this.#entries.push({ kind, text: short, firstAt, lastAt: now, count });
    if (this.#entries.length > MAX_ENTRIES) this.#entries.shift();
  }

  /** Takes over what was noted elsewhere before it was known whose it is. */
  take(entries: readonly HistoryEntry[]): void {
    this.#entries.push(...entries);
    this.#entries.splice(0, Math.max(0, this.#entries.length - MAX_ENTRIES));
  }

  /** Oldest first. */
  get entries(): readonly HistoryEntry[] {
    return this.#entries;
  }
}

/** What an event adds to the history of the connection it is about; undefined for one that adds nothing. */
export function historyOf(
  event: IkeEvent,
): { readonly kind: HistoryKind; readonly text: string } | undefined {
  switch (event.kind) {
    case 'ike-initiating':
      return { kind: 'attempt', text: `we begin IKEv${event.version} with ${formatEndpoint(event.peer)}` };
    case 'ike-responding':
      return { kind: 'attempt', text: `${formatEndpoint(event.peer)} begins IKEv${event.version} with us` };
    case 'message': {
      const out = event.direction === 'out';
      const text = `${out ? 'to' : 'from'} ${formatEndpoint(event.peer)}: ${event.summary}`;
      return { kind: out ? 'sent' : 'received', text };
    }
    case 'retransmit':
      return { kind: 'repeated', text: `no answer to ${event.exchange} from ${formatEndpoint(event.peer)}` };
    case 'datagram-dropped':
      return {
        kind: 'dropped',
        text: `from ${formatEndpoint(event.peer)}: ${event.reason}, ${event.detail}`,
      };
    case 'ike-established':
      return {
        kind: 'established',
        text: `IKEv${event.ike.version} SA as ${event.ike.role} with ${event.ike.peerIdentity}${carriedOn(event)}`,
      };
    case 'child-established': {
      const { localTs, peerTs, replaces } = event.child;
      const ends = [localTs, peerTs].map((list) => list.map(describeSelector).join(','));
      const instead = replaces === undefined ? '' : ', in place of an older one';
      return { kind: 'established', text: `child SA ${ends.join(' === ')}${instead}${carriedOn(event)}` };
    }
    case 'ike-failed':
      return { kind: 'failed', text: `as ${event.role}: ${event.failure.message}` };
    case 'child-failed':
      return { kind: 'failed', text: `child SA, as ${event.role}: ${event.failure.message}` };
    case 'ike-closed':
      return { kind: 'closed', text: `IKE SA: ${event.failure?.message ?? event.reason}` };
    case 'child-closed':
      return { kind: 'closed', text: `child SA: ${event.reason}` };
    case 'peer-moved':
      return { kind: 'moved', text: `the peer, to ${formatEndpoint(event.to)}` };
    case 'cookie-answered':
      return { kind: 'changed', text: 'the peer demanded a cookie; sent again with it' };
    case 'cookie-demanded':
      return { kind: 'changed', text: `we demand a cookie: ${event.halfOpen} half-open negotiations` };
    case 'quirk':
      return { kind: 'changed', text: QUIRKS[event.code] };
    case 'ke-group-changed':
      return { kind: 'changed', text: `Diffie-Hellman group ${event.to} instead of ${event.from}` };
    default:
      return undefined;
  }
}

function carriedOn({ adopted }: { readonly adopted?: true }): string {
  return adopted === true ? ', carried on from before' : '';
}
