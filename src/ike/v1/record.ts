import type { V1Keys } from '../../crypto/keymat-v1.js';
import { copyOf } from '../../util/bytes.js';
import type { ConnectionId, IkeId } from '../../util/ids.js';
import { copyOfPlain } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { type DhRecord, exportDh } from '../sa/dh-record.js';
import { type ChildSaRecord, type IkeRecord, RECORD_VERSION, type SaRecord } from '../sa/record.js';
import type { RetransmissionRecord } from '../sa/retransmission.js';
import type { Orphans, V1Child } from './child-record.js';
import type { DpdRecord } from './dpd-state.js';
import { type IsakmpSaIn, isIn, isUp } from './isakmp-sa.js';
import type { LastMessage, Session, Terms } from './phases.js';
import type { QuickAbandoned, QuickAnswered, QuickDone, QuickExchange, QuickSent } from './quick.js';
import type { World } from './world.js';

/**
 * An ISAKMP SA that is in use, with ESP SAs of its connection; ESP SAs that have outlived theirs; or an ISAKMP SA that
 * the peer has deleted. Left out: a main mode that is not over (either end begins it again, one that only has ESP SAs
 * to delete not), fragments that do not make a message yet (the sender repeats them), and what speeds up the next main
 * mode of a peer.
 */
export interface V1SaRecord extends SaRecord {
  readonly ikeVersion: 1;
  readonly ike?: V1IkeRecord;
  readonly children: readonly V1ChildSaRecord[];
  /** Deleted by the peer: only DELETEs of ESP SAs, which its own has overtaken, are still read until `forgetAt`. */
  readonly closing?: { readonly ike: V1IkeRecord; readonly forgetAt: Millis };
  /** What is known of the peer of ESP SAs without an ISAKMP SA. */
  readonly orphans?: Orphans;
  /** The wait before such a peer is next asked. */
  readonly askedOrphans?: Millis;
}

/** `rekeyAt` is as it was reported; `nextRekeyAt` is when this end rekeys. */
export interface V1IkeRecord
  extends IkeRecord,
    Pick<Terms, 'lifetimes' | 'dialect' | 'dpd' | 'fragmentation'>,
    Pick<Session, 'rekeyRefused' | 'lastMessage' | 'wanted' | 'completeAt' | 'unsupported'> {
  readonly keys: V1Keys;
  /** The last cipher block of phase 1 (RFC 2409 appendix B). */
  readonly iv: Uint8Array;
  readonly last: LastMessage;
  readonly firstRequestKey: string | undefined;
  /** All that both ends have used: none comes again (RFC 2408 §3.1). */
  readonly messageIds: readonly number[];
  readonly fragmentsSent: number;
  /** A newer SA of the connection is in use. */
  readonly superseded: { readonly deleteAt: Millis | undefined } | undefined;
  readonly nextRekeyAt: Millis;
  readonly liveness: DpdRecord;
  readonly quicks: readonly QuickRecord[];
  readonly demands: readonly Entry<Session['demands']>[];
  readonly pairRetries: readonly Entry<Session['pairRetries']>[];
}

type Entry<M> = M extends Map<infer K, infer V> ? readonly [K, V] : never;

/** A quick mode under way or remembered. Messages and nonces are kept octet by octet. */
export type QuickRecord =
  | (Portable<QuickSent> & { readonly dh: DhRecord | undefined })
  | (Portable<QuickAnswered> & { readonly childId: number })
  | Portable<QuickAbandoned>
  | QuickDone;

/** `iv`: the last cipher block of the exchange. */
type Portable<Q> = Omit<Q, 'chain' | 'dh' | 'child' | 'retransmission'> & {
  readonly iv: Uint8Array;
} & (Q extends { readonly retransmission: unknown }
    ? { readonly retransmission: RetransmissionRecord }
    : unknown);

/** `rekeyAt` is as it was reported; `nextRekeyAt` is when this end rekeys. */
export interface V1ChildSaRecord
  extends ChildSaRecord,
    Omit<V1Child, keyof ChildSaRecord | 'connection' | 'reported'> {
  readonly nextRekeyAt: Millis;
  /** The ISAKMP SA that it was reported with. */
  readonly reportedWith: IkeId;
}

type Exportable = IsakmpSaIn<'established' | 'superseded' | 'closing'>;

/** All that is worth carrying on, oldest first, or the SA of this id alone. The keys are copies. */
export function exportAll(world: World, ikeId?: IkeId): V1SaRecord[] {
  const records: V1SaRecord[] = [];
  const carried = new Set<ConnectionId>();
  for (const sa of world.table.values()) {
    if (!isUp(sa) && !isIn(sa, 'closing')) continue;
    if (isUp(sa)) carried.add(sa.connection.id);
    if (ikeId === undefined || sa.id === ikeId) records.push(exportSa(world, sa));
  }
  if (ikeId !== undefined) return records;
  for (const connection of world.children.connections())
    if (!carried.has(connection)) records.push(exportOrphans(world, connection));
  return records;
}

/** The same of one connection. */
export function exportConnection(world: World, connection: ConnectionId): V1SaRecord[] {
  const sas = world.table.viewOf(connection).filter((sa) => isUp(sa) || isIn(sa, 'closing'));
  const records = sas.map((sa) => exportSa(world, sa));
  if (!sas.some(isUp) && world.children.viewOf(connection).length > 0)
    records.push(exportOrphans(world, connection));
  return records;
}

function exportSa(world: World, sa: Exportable): V1SaRecord {
  const connection = sa.connection.id;
  const ike = exportIke(sa);
  const { term } = world.ctx;
  const common = { version: RECORD_VERSION, ikeVersion: 1, connection, term } as const;
  const { phase } = sa;
  if (phase.at === 'closing') return { ...common, children: [], closing: { ike, forgetAt: phase.forgetAt } };
  // Those that wait for message 3 belong to the SA of their quick mode, all others to the newest.
  const awaited = new Set<V1Child>();
  for (const quick of phase.session.quicks.values()) if (quick.state === 'answered') awaited.add(quick.child);
  const children = world.children
    .viewOf(connection)
    .filter((child) => (child.state === 'pending' ? awaited.has(child) : phase.at === 'established'));
  return { ...common, ike, children: children.map(exportChild) };
}

function exportOrphans(world: World, connection: ConnectionId): V1SaRecord {
  const orphans = world.orphans.get(connection);
  const askedOrphans = world.askedOrphans.get(connection);
  return {
    version: RECORD_VERSION,
    ikeVersion: 1,
    connection,
    term: world.ctx.term,
    children: world.children.viewOf(connection).map(exportChild),
    ...(orphans === undefined ? {} : { orphans: { ...orphans, path: { ...orphans.path } } }),
    ...(askedOrphans === undefined ? {} : { askedOrphans }),
  };
}

function exportIke(sa: Exportable): V1IkeRecord {
  const { link, terms, natTraversal, nat, last, protection, session } = sa.phase;
  const { suite, vendors: peerVendors, lifetimes, dialect, dpd, fragmentation } = terms;
  const { peerIdentity, natReport, establishedAt, establishedOrder, expiresAt, lastInbound } = session;
  const { rekeyRefused, lastMessage, wanted, completeAt, unsupported } = session;
  return {
    id: sa.id,
    role: sa.role,
    initiatorSpi: copyOf(sa.initiatorCookie),
    responderSpi: copyOf(link.responderCookie),
    local: link.local,
    remote: link.remote,
    natTraversalPort: link.natTraversalPort,
    ...{ natTraversal, nat, natReport, suite, peerIdentity, peerVendors },
    identities: sa.identities,
    quirks: [...sa.quirks.keys()],
    createdAt: sa.createdAt,
    ...{ establishedAt, establishedOrder, expiresAt, lastInbound },
    rekeyAt: session.reportedRekeyAt,
    ...{ lifetimes, dialect, dpd, fragmentation },
    ...{ rekeyRefused, lastMessage, completeAt, unsupported },
    wanted: [...wanted],
    keys: copyOfPlain(protection.keys),
    iv: copyOf(protection.phase1.iv),
    last: copyLast(last),
    firstRequestKey: sa.firstRequestKey,
    messageIds: [...sa.messageIds],
    fragmentsSent: sa.fragmentsSent,
    superseded: sa.phase.at === 'superseded' ? { deleteAt: sa.phase.deleteAt } : undefined,
    nextRekeyAt: session.rekeyAt,
    liveness: session.dpd.record,
    quicks: Array.from(session.quicks.values(), exportQuick),
    demands: [...session.demands],
    pairRetries: [...session.pairRetries],
  };
}

/** Copies the last message and its answer out of the datagrams they are views of. */
export function copyLast({ message, answer }: LastMessage): LastMessage {
  return { message: copyOf(message), answer: answer && copyOf(answer) };
}

function exportQuick(quick: QuickExchange): QuickRecord {
  switch (quick.state) {
    case 'sent': {
      const { chain, dh, retransmission, ...rest } = quick;
      return { ...rest, iv: copyOf(chain.iv), dh: dh && exportDh(dh), retransmission: retransmission.record };
    }
    case 'answered': {
      const { chain, child, retransmission, ...rest } = quick;
      return { ...rest, iv: copyOf(chain.iv), childId: child.id, retransmission: retransmission.record };
    }
    case 'abandoned': {
      const { chain, ...rest } = quick;
      return { ...rest, iv: copyOf(chain.iv) };
    }
    case 'done':
      return quick;
  }
}

function exportChild({ connection: _, reported, rekeyAt, ...rest }: V1Child): V1ChildSaRecord {
  const { ikeId, narrowed } = reported;
  return { ...rest, rekeyAt: reported.rekeyAt, nextRekeyAt: rekeyAt, reportedWith: ikeId, narrowed };
}

/** Whether the record has what this version needs. */
export function isV1Record(record: SaRecord): record is V1SaRecord {
  const { ikeVersion, ike, children } = record;
  return (
    ikeVersion === 1 &&
    (ike === undefined || ('keys' in ike && 'messageIds' in ike)) &&
    children.every((child) => 'nextRekeyAt' in child && 'order' in child)
  );
}
