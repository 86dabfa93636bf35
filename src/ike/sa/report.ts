import { weakTransforms } from '../../crypto/strength.js';
import type { EspKeys, IkeSuite } from '../../crypto/types.js';
import { toHex } from '../../util/bytes.js';
import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import type { CloseReason, Failure, IkeEvent, Role } from '../events.js';
import type { Output } from '../outputs.js';
import type { NatReport } from '../path/nat-detection.js';
import { adviseWeak, TS_NARROWED } from './advice.js';
import type { NegotiatedChild } from './child.js';

/** Where reports go. */
interface Sink {
  event(event: IkeEvent): void;
}

/** What is reported of an IKE SA. */
export interface ReportedIke {
  readonly id: IkeId;
  readonly role: Role;
  readonly initiatorSpi: Uint8Array;
  readonly responderSpi: Uint8Array;
  readonly suite: IkeSuite;
  readonly natReport: NatReport;
  readonly local: Endpoint;
  readonly remote: Endpoint;
  readonly peerIdentity: string;
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
  readonly peerVendors: readonly string[];
}

/** What is reported of a child SA. */
interface ReportedChild extends NegotiatedChild {
  readonly id: ChildId;
  readonly connection: ConnectionId;
  readonly establishedAt: Millis;
  readonly rekeyAt: Millis;
}

/** An IKE SA is in service. `replaces`: the one it takes over from; `adopted`: it came from another engine. */
export function reportIke(
  sink: Sink,
  version: 1 | 2,
  connection: ConnectionId,
  ike: ReportedIke,
  how: { readonly replaces?: IkeId | undefined; readonly adopted?: true } = {},
): void {
  const { id: ikeId, role, suite, local, peerIdentity, establishedAt, rekeyAt, peerVendors } = ike;
  sink.event({
    kind: 'ike-established',
    connection,
    ike: {
      ikeId,
      version,
      role,
      initiatorSpi: toHex(ike.initiatorSpi),
      responderSpi: toHex(ike.responderSpi),
      suite,
      nat: ike.natReport,
      local,
      peer: ike.remote,
      peerIdentity,
      establishedAt,
      rekeyAt,
      peerVendors,
      ...(how.replaces === undefined ? {} : { replaces: how.replaces }),
    },
    ...(how.adopted === undefined ? {} : { adopted: how.adopted }),
  });
}

/**
 * Advises on the algorithms of an IKE SA. Version 1 makes its PRF of the hash, which is named as the integrity
 * algorithm.
 */
export function adviseWeakIke(sink: Sink, version: 1 | 2, connection: ConnectionId, suite: IkeSuite): void {
  const weak = weakTransforms(suite);
  adviseWeak(sink, connection, 'IKE', version === 1 ? weak.filter(({ kind }) => kind !== 'prf') : weak);
}

/** A child SA is in service on the IKE SA `ikeId`, with what is to be advised of it. */
export function reportChild(
  sink: Sink,
  ikeId: IkeId,
  child: ReportedChild,
  how: {
    readonly narrowed: boolean;
    readonly replaces?: ChildId | undefined;
    readonly adopted?: true;
  },
): void {
  const { id: childId, connection, spiIn, spiOut, suite, localTs, peerTs, encapsulation } = child;
  const { establishedAt, rekeyAt } = child;
  const { narrowed, replaces, adopted } = how;
  sink.event({
    kind: 'child-established',
    connection,
    child: {
      childId,
      ikeId,
      spiIn,
      spiOut,
      suite,
      localTs,
      peerTs,
      encapsulation,
      establishedAt,
      rekeyAt,
      narrowed,
      ...(replaces === undefined ? {} : { replaces }),
    },
    ...(adopted === undefined ? {} : { adopted }),
  });
  if (narrowed) sink.event({ kind: 'advisory', connection, ...TS_NARROWED });
  adviseWeak(sink, connection, 'ESP', weakTransforms(suite));
}

/** Hands a child SA with its keys to the data plane. `outbound`: whether traffic may use it at once. */
export function emitInstall(
  sink: { emit(output: Output): void },
  child: ReportedChild,
  keys: { readonly keysIn: EspKeys; readonly keysOut: EspKeys },
  ends: { readonly local: Endpoint; readonly peer: Endpoint },
  outbound: boolean,
): void {
  const { id, connection, spiIn, spiOut, suite, localTs, peerTs, encapsulation } = child;
  const { keysIn, keysOut } = keys;
  const { local, peer } = ends;
  sink.emit({
    kind: 'install-child',
    child: {
      id,
      connection,
      spiIn,
      spiOut,
      suite,
      keysIn,
      keysOut,
      localTs,
      peerTs,
      encapsulation,
      local,
      peer,
      outbound,
    },
  });
}

/** The data plane is to forget a child SA and its keys. */
export function emitRemove(
  sink: { emit(output: Output): void },
  { id: childId }: Pick<ReportedChild, 'id'>,
  reason: CloseReason,
): void {
  sink.emit({ kind: 'remove-child', childId, rekeyed: reason === 'rekeyed' });
}

/** A child SA that was reported is gone. */
export function reportChildClosed(
  sink: Sink,
  { id: childId, connection }: Pick<ReportedChild, 'id' | 'connection'>,
  reason: CloseReason,
): void {
  sink.event({ kind: 'child-closed', connection, childId, reason });
}

/** An IKE SA did not come to be. `connection` is undefined when the peer could not be matched to one. */
export function reportIkeFailed(
  sink: Sink,
  sa: { readonly id: IkeId; readonly role: Role; readonly remote: Endpoint },
  connection: ConnectionId | undefined,
  failure: Failure,
): void {
  sink.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection }),
    ikeId: sa.id,
    role: sa.role,
    peer: sa.remote,
    failure,
  });
}

/** An established IKE SA is gone. */
export function reportIkeClosed(
  sink: Sink,
  connection: ConnectionId,
  ikeId: IkeId,
  reason: CloseReason,
  failure?: Failure,
): void {
  sink.event({
    kind: 'ike-closed',
    connection,
    ikeId,
    reason,
    ...(failure === undefined ? {} : { failure }),
  });
}

/** The IKE SA, or a child SA on it, is rekeyed at another time than it was reported with. */
export function reportRescheduled(
  sink: Sink,
  connection: ConnectionId,
  ikeId: IkeId,
  { rekeyAt }: { readonly rekeyAt: Millis },
  childId?: ChildId,
): void {
  sink.event({
    kind: 'rescheduled',
    connection,
    ikeId,
    ...(childId === undefined ? {} : { childId }),
    rekeyAt,
  });
}
