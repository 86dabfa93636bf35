import type { Output } from '../../src/ike/outputs.js';

/** A child SA as the packet path of one end has it. `order`: when it may send, in activations; 0 before. */
interface Installed {
  readonly id: number;
  readonly spiIn: number;
  readonly spiOut: number;
  readonly order: number;
}

/** What one end has, by its outputs alone. */
export interface Book {
  readonly ikes: ReadonlyMap<number, string>;
  readonly children: ReadonlyMap<number, Installed>;
  readonly activations: number;
}

export const EMPTY_BOOK: Book = { ikes: new Map(), children: new Map(), activations: 0 };

/** SAs of one end that only a fault can pile up: crossing rekeys of everything need fewer. */
const MAX_IKES = 4;
const MAX_CHILDREN = 5;

/** The book after these outputs. Throws where the engine contradicts itself. */
export function follow(book: Book, outputs: readonly Output[]): Book {
  const ikes = new Map(book.ikes);
  const children = new Map(book.children);
  let { activations } = book;
  for (const output of outputs) {
    switch (output.kind) {
      case 'install-child': {
        const { id, spiIn, spiOut, outbound } = output.child;
        if (children.has(id)) throw new Error(`child SA ${id} is installed twice`);
        children.set(id, { id, spiIn, spiOut, order: outbound ? ++activations : 0 });
        break;
      }
      case 'activate-outbound': {
        const child = children.get(output.childId);
        if (child === undefined || child.order > 0) throw new Error('an activation that has no place');
        children.set(child.id, { ...child, order: ++activations });
        break;
      }
      case 'remove-child':
        if (!children.delete(output.childId)) throw new Error('a child SA is removed that is not there');
        break;
      case 'event':
        if (output.event.kind === 'ike-established') {
          const { ikeId, initiatorSpi, responderSpi } = output.event.ike;
          ikes.set(ikeId, `${initiatorSpi}-${responderSpi}`);
        } else if (output.event.kind === 'ike-closed') ikes.delete(output.event.ikeId);
        break;
      default:
    }
  }
  return { ikes, children, activations };
}

/** Among equal selectors the child SA that was activated last sends (RFC 7296 §2.8). */
export function outboundOf({ children }: Book): Installed | undefined {
  let best: Installed | undefined;
  for (const child of children.values()) {
    if (child.order > 0 && (best === undefined || child.order > best.order)) best = child;
  }
  return best;
}

/**
 * Make before break: what an end sends on, the other one holds. The only window is that of the set-up: the
 * responder of IKE_AUTH may send before its answer has arrived, while the two ends share no child SA at all.
 * `standing`: the connection stood before, so that there is no such window.
 */
export function blackHole(name: string, own: Book, other: Book, standing: boolean): string | undefined {
  const sending = outboundOf(own);
  if (sending === undefined) return standing ? `${name} has no child SA to send on` : undefined;
  const held = [...other.children.values()].some((child) => child.spiIn === sending.spiOut);
  const spis = new Set([...other.children.values()].map((child) => child.spiIn));
  const shared = [...own.children.values()].some((child) => spis.has(child.spiOut));
  if (!held && (shared || standing)) return `${name} sends on a child SA that the other end does not hold`;
  if (own.ikes.size > MAX_IKES || own.children.size > MAX_CHILDREN) return `${name} piles up SAs`;
  return undefined;
}

/** What must be in the end: one IKE SA and one child SA, nothing, or the same at both ends whatever it is. */
export type Outcome = 'up' | 'down' | 'agree';

/** What is wrong between two ends of version 2 that have come to rest. */
export function restFault(east: Book, west: Book, outcome: Outcome): string | undefined {
  const [mine, theirs] = [pairsOf(east), mirrorsOf(west)];
  if (sorted(east.ikes) !== sorted(west.ikes))
    return `the IKE SAs differ: "${sorted(east.ikes)}" and "${sorted(west.ikes)}"`;
  if (mine.join(' ') !== theirs.join(' ')) return `the child SAs differ: "${mine}" and "${theirs}"`;
  const wanted = { up: [1, 1], down: [0, 0], agree: [east.ikes.size, east.children.size] }[outcome];
  if (east.ikes.size !== wanted[0]) return `${east.ikes.size} IKE SAs in the end`;
  if (east.children.size !== wanted[1]) return `${east.children.size} child SAs in the end`;
  if (east.children.size === 0) return undefined;
  const silent = outboundOf(east) === undefined || outboundOf(west) === undefined;
  return silent ? 'an end has no child SA to send on' : undefined;
}

/**
 * SAs that one end alone may hold in version 1: none, child SAs (a DELETE of them was lost, or came too late to be
 * read), or any (a DELETE was lost and no dead peer detection finds out).
 */
export type Excused = 'nothing' | 'children' | 'all';

/**
 * The same for version 1, where less can be asked for. DELETE is not answered there (RFC 2408 §3.15), so one that
 * is lost leaves an SA at one end until its lifetime is over; and two SAs that were made at once from both ends
 * both live that long, for deleting one would be a guess at what the peer sends on. So what both ends have in the
 * end is compared less `excused`, and an end that shall be up must share an ISAKMP SA with the other one and send
 * on a child SA that the other one has.
 */
export function restFaultV1(east: Book, west: Book, outcome: Outcome, excused: Excused): string | undefined {
  const [mine, theirs] = [pairsOf(east), mirrorsOf(west)];
  if (excused !== 'all' && sorted(east.ikes) !== sorted(west.ikes))
    return `the ISAKMP SAs differ: "${sorted(east.ikes)}" and "${sorted(west.ikes)}"`;
  if (excused === 'nothing' && mine.join(' ') !== theirs.join(' '))
    return `the child SAs differ: "${mine}" and "${theirs}"`;
  if (outcome === 'down' && excused === 'nothing' && east.ikes.size + mine.length > 0)
    return 'SAs are left in the end';
  if (outcome !== 'up') return undefined;
  const common = new Set(east.ikes.values());
  if (![...west.ikes.values()].some((spis) => common.has(spis))) return 'no ISAKMP SA is common to both ends';
  for (const [own, other] of [
    [east, west],
    [west, east],
  ] as const) {
    const sending = outboundOf(own);
    if (sending === undefined) return 'an end has no child SA to send on';
    if (![...other.children.values()].some((child) => child.spiIn === sending.spiOut))
      return 'an end sends on a child SA that the other end does not hold';
  }
  return undefined;
}

function sorted(ikes: ReadonlyMap<number, string>): string {
  return [...ikes.values()].sort().join(' ');
}

function pairsOf({ children }: Book): string[] {
  return [...children.values()].map((child) => `${child.spiIn}/${child.spiOut}`).sort();
}

/** The same pairs as the other end names them. */
function mirrorsOf({ children }: Book): string[] {
  return [...children.values()].map((child) => `${child.spiOut}/${child.spiIn}`).sort();
}
