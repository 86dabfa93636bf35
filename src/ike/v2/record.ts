import type { IkeKeys } from '../../crypto/keymat.js';
import { copyOf } from '../../util/bytes.js';
import type { IkeId } from '../../util/ids.js';
import { copyOfPlain } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { FailureCause } from '../events.js';
import { type DhRecord, exportDh } from '../sa/dh-record.js';
import { type ChildSaRecord, type IkeRecord, RECORD_VERSION, type SaRecord } from '../sa/record.js';
import type { RetransmissionRecord } from '../sa/retransmission.js';
import type { ChildRecord } from './child-record.js';
import type { IkeSa } from './ike-sa.js';
import type { Closing, Established, Rekeyed } from './phases.js';
import type { Gap, Service } from './service.js';
import type {
  CreateChildExchange,
  Exchange,
  FollowupExchange,
  IntermediateExchange,
  RekeyIkeExchange,
  Task,
} from './tasks.js';
import type { SentRequest, WindowRecord } from './window.js';
import type { World } from './world.js';

/**
 * An IKE SA of version 2 that is or was in service, with its child SAs. Left out: a negotiation that has not
 * authenticated the peer (either end begins it again), fragments that do not make a message yet (a request is repeated
 * as a whole, RFC 7383 §2.6.1), what the peer was granted and has not made all key exchanges of (it begins that again
 * when it hears STATE_NOT_FOUND, RFC 9370 §2.2.4), and what an SA that is gone would still answer to repetitions.
 */
export interface V2SaRecord extends SaRecord {
  readonly ikeVersion: 2;
  readonly ike: V2IkeRecord;
  readonly children: readonly V2ChildSaRecord[];
  /** What is known of the peer of the connection, whichever of its IKE SAs showed it. */
  readonly peer: {
    /** It takes only one pair of networks per child SA (RFC 7296 §2.9). */
    readonly perPair: boolean;
    /** It is offered plain proposals only, since it refused others for this cause. */
    readonly plain: FailureCause | undefined;
    /** The connection is re-established when an IKE SA that the peer has just made is confirmed. */
    readonly renewing: boolean;
    /** When it was last negotiated from the start because its IKE SA could not go on. */
    readonly startedOver: Millis | undefined;
  };
}

/** `rekeyAt` is as it was reported; when this end rekeys is in `service`. */
export interface V2IkeRecord extends IkeRecord {
  readonly keys: IkeKeys;
  /** What `Protection.sealed` counts in this term: going on from less would use an IV twice (RFC 5282 §3.1). */
  readonly sealed: number;
  /** Nonces of the exchange that made the SA, initiator's first. */
  readonly nonces: readonly Uint8Array[];
  readonly phase: OwnPart<Established> | OwnPart<Rekeyed> | OwnPart<Closing>;
  /** Both ends take IKE fragments (RFC 7383 §2.3). */
  readonly fragmentation: boolean;
  readonly firstRequestKey: string | undefined;
  readonly inbound: WindowRecord;
  /** Message id of our next request, and the one under way. */
  readonly nextMessageId: number;
  readonly active: SentRecord | undefined;
  readonly tasks: readonly Task[];
  readonly service: Omit<Service, CommonOfService | 'children' | 'gaps' | 'pending'> & {
    readonly gaps: readonly (readonly [string, Gap])[];
  };
}

/** What one phase knows beside what all of these have. */
type OwnPart<P> = Omit<P, 'link' | 'keyed' | 'service'>;

/** What the common part of the record has of a service. */
type CommonOfService =
  | 'peerIdentity'
  | 'natReport'
  | 'establishedAt'
  | 'establishedOrder'
  | 'expiresAt'
  | 'reportedRekeyAt';

/** `rekeyAt` is as it was reported; `nextRekeyAt` is when this end rekeys. */
export interface V2ChildSaRecord
  extends ChildSaRecord,
    Pick<ChildRecord, 'renewAt' | 'verifyPfsAt' | 'nonces' | 'final' | 'state' | 'replaces'> {
  readonly nextRekeyAt: Millis;
  /** The IKE SA that it was last reported with. */
  readonly reportedWith: IkeId;
}

/** A request that waits for its answer. The datagrams are repeated octet by octet (RFC 7296 §2.1). */
export interface SentRecord extends Omit<SentRequest, 'task' | 'retransmission'> {
  readonly exchange: ExchangeRecord;
  readonly retransmission: RetransmissionRecord;
}

/** An exchange as a snapshot holds it: its Diffie-Hellman private value as data. */
export type ExchangeRecord =
  | Exclude<Exchange, CreateChildExchange | RekeyIkeExchange | FollowupExchange | IntermediateExchange>
  | (Omit<CreateChildExchange, 'dh'> & { readonly dh: DhRecord | undefined })
  | (Omit<RekeyIkeExchange, 'dh'> & { readonly dh: DhRecord })
  | (Omit<FollowupExchange, 'dh'> & { readonly dh: DhRecord });

/** The SA as data; undefined while, or after, there is none that could be carried on. The keys are copies. */
export function exportSa(world: World, sa: IkeSa): V2SaRecord | undefined {
  const { phase, connection } = sa;
  if (connection === undefined || !('service' in phase) || phase.service === undefined) return undefined;
  const { link, keyed, service, ...own } = phase;
  const { children, gaps, pending: _, peerIdentity, natReport, establishedAt, ...more } = service;
  const { establishedOrder, expiresAt, reportedRekeyAt, ...rest } = more;
  return {
    version: RECORD_VERSION,
    ikeVersion: 2,
    connection: connection.id,
    term: world.ctx.term,
    ike: {
      id: sa.id,
      role: sa.role,
      initiatorSpi: copyOf(sa.initiatorSpi),
      responderSpi: copyOf(link.responderSpi),
      local: link.local,
      remote: link.remote,
      natTraversalPort: link.natTraversalPort,
      natTraversal: link.natTraversal,
      nat: link.nat,
      natReport,
      suite: keyed.suite,
      peerIdentity,
      identities: sa.identities,
      peerVendors: link.peerVendors,
      quirks: [...link.quirks.keys()],
      createdAt: sa.createdAt,
      establishedAt,
      establishedOrder,
      rekeyAt: reportedRekeyAt,
      expiresAt,
      lastInbound: sa.lastInbound,
      keys: copyOfPlain(keyed.keys),
      sealed: keyed.protection.sealed,
      nonces: keyed.nonces.map(copyOf),
      phase: own,
      fragmentation: link.fragmentation,
      firstRequestKey: sa.firstRequestKey,
      inbound: sa.inbound.record,
      nextMessageId: link.nextMessageId,
      active: link.active && exportRequest(link.active),
      tasks: [...sa.tasks],
      service: {
        ...rest,
        busy: rest.busy && { ...rest.busy },
        gaps: Array.from(gaps, ([name, gap]) => [name, { ...gap }] as const),
      },
    },
    children: Array.from(children.values(), exportChild),
    peer: {
      perPair: world.perPair.has(connection.id),
      plain: world.plain.get(connection.id),
      renewing: world.renewals.has(connection.id),
      startedOver: world.startedOver.get(connection.id),
    },
  };
}

function exportRequest({ task, retransmission, datagrams, ...sent }: SentRequest): SentRecord {
  return {
    ...sent,
    datagrams: datagrams.map(copyOf),
    exchange: exportExchange(task),
    retransmission: retransmission.record,
  };
}

function exportExchange(exchange: Exchange): ExchangeRecord {
  if (exchange.kind === 'rekey-ike') return { ...exchange, dh: exportDh(exchange.dh) };
  if (exchange.kind === 'create-child') return { ...exchange, dh: exchange.dh && exportDh(exchange.dh) };
  if (exchange.kind === 'followup-ke') {
    const { dh, ...rest } = exchange;
    return { ...copyOfPlain(rest), dh: exportDh(dh) };
  }
  if (exchange.kind === 'intermediate') throw new Error('an SA that is being negotiated has no record');
  return exchange;
}

function exportChild(child: ChildRecord): V2ChildSaRecord {
  const { connection: _, reported, rekeyAt, ...rest } = child;
  const { ikeId, narrowed } = reported;
  return { ...rest, rekeyAt: reported.rekeyAt, nextRekeyAt: rekeyAt, reportedWith: ikeId, narrowed };
}

/** Whether the record has what this version needs. */
export function isV2Record(record: SaRecord): record is V2SaRecord {
  return record.ikeVersion === 2 && record.ike !== undefined && 'keys' in record.ike;
}
