import type { ChildId, ConnectionId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import { V1Exchange } from '../../wire/ike/v1/registry.js';
import { initiatorSilent } from '../admission/silent-initiator.js';
import { CALM, type Load } from '../admission/source-rate.js';
import type { ConnectionConfig } from '../config.js';
import type { Context } from '../context.js';
import type { CloseReason, Failure } from '../events.js';
import type { DatagramInput, RenewScope } from '../inputs.js';
import { noteVolume } from '../sa/child.js';
import { Deferred, oldestBegin } from '../sa/deferred.js';
import type { Volume } from '../sa/volume.js';
import type { IkeVersion } from '../version.js';
import { repeatDue } from './answers.js';
import { childDeadline, tickChildren } from './child-care.js';
import { announceDelete, removeChild, switchTo } from './children.js';
import { deleteSa, dropQuick, endChildren, endSa, failSa, forgetSa, isLost, loseSa } from './close.js';
import { wantDestination } from './demand.js';
import { wantAll } from './established.js';
import { mainFailure, quickFailure, quickSilent, rekeyRefused, rekeySilent } from './failures.js';
import type { IsakmpSa } from './isakmp-sa.js';
import { livenessDeadline, watch } from './liveness.js';
import { initiate, mainOverdue, type Purpose } from './main-initiator.js';
import { goOnTrying } from './main-responder.js';
import { buryOrphans, followOrphans, heardEsp } from './orphans.js';
import { wantDue } from './pair-retries.js';
import type { QuickExchange } from './quick.js';
import { failQuick, RETRY_REKEY, workOffWanted } from './quick-initiator.js';
import { confirm } from './quick-responder.js';
import { receive } from './receive.js';
import { followPeer, renew } from './renew.js';
import { reportRetransmission, transmit } from './send.js';
import {
  attemptOf,
  childrenOf,
  createWorld,
  currentSa,
  mayRekey,
  type SharedTables,
  sasOf,
  type World,
} from './world.js';

/** How long a main mode that the peer began goes before one of ours. */
const PEER_FIRST: Millis = 3_000;

/** IKE version 1: main mode with pre-shared keys and quick mode (RFC 2407, 2408, 2409). */
export class IkeV1 implements IkeVersion {
  readonly world: World;
  readonly #deferred = new Deferred(PEER_FIRST);

  constructor(ctx: Context, shared: SharedTables) {
    this.world = createWorld(ctx, shared);
  }

  /** `load`: what the rates say, when it is a first message. */
  receive(datagram: DatagramInput, load: Load = CALM): void {
    this.world.load = load;
    receive(this.world, datagram);
    this.#work();
  }

  initiate(connection: ConnectionConfig): void {
    const { world } = this;
    const standing = currentSa(world, connection.id);
    if (standing !== undefined) {
      wantAll(world, standing);
      this.#work();
      return;
    }
    if (attemptOf(world, connection.id) !== undefined) return;
    if (!this.#deferred.yields(connection.id, this.#peerBegan(connection), world.ctx.now))
      initiate(world, connection);
  }

  /** A main mode for what stands, unless one that the peer began may do. */
  #begin(connection: ConnectionConfig, purpose: Purpose): void {
    if (this.#deferred.turn(this.#peerBegan(connection)) <= this.world.ctx.now)
      initiate(this.world, connection, purpose);
  }

  terminate(connection: ConnectionId, reason: CloseReason): void {
    this.#deferred.delete(connection);
    // The oldest first: the last one takes the ESP SAs with it.
    for (const sa of sasOf(this.world, connection)) {
      if (!isFarewell(sa))
        endSa(this.world, sa, reason, mainFailure('terminated', 'given up by an operator'));
    }
    this.#takeLeave(connection, reason);
  }

  terminateAll(reason: CloseReason): void {
    this.#deferred.clear();
    for (const sa of this.world.table.all()) {
      if (sa.isHalfOpen) forgetSa(this.world, sa);
      else if (!isFarewell(sa))
        endSa(this.world, sa, reason, mainFailure('terminated', 'given up: the gateway stops'));
    }
    for (const name of this.world.children.connections()) this.#takeLeave(name, reason);
  }

  /** Whether the peer is still to be told of ESP SAs that were ended without an ISAKMP SA to do so. */
  get closing(): boolean {
    for (const sa of this.world.table.values()) if (isFarewell(sa)) return true;
    return false;
  }

  /** Ends ESP SAs that have no ISAKMP SA: a DELETE needs one (RFC 2408 §3.15), which is made for it. */
  #takeLeave(name: string, reason: CloseReason): void {
    const { world } = this;
    const farewell = childrenOf(world, name).map((child) => child.spiIn);
    if (farewell.length === 0) return;
    endChildren(world, name, reason);
    const connection = world.ctx.connection(name);
    if (connection !== undefined && mayRekey(connection)) initiate(world, connection, { farewell });
  }

  reconfigured(): void {
    const { ctx } = this.world;
    for (const sa of this.world.table.all()) {
      if (sa.connection === undefined) continue;
      const next = ctx.connection(sa.connection.id);
      if (next !== undefined) sa.connection = next;
      else
        endSa(
          this.world,
          sa,
          'configuration-changed',
          mainFailure('terminated', 'the connection was removed'),
        );
    }
    // What may be rekeyed depends on the configuration.
    this.world.children.touchAll();
    for (const name of this.world.children.connections())
      if (ctx.connection(name) === undefined) endChildren(this.world, name, 'configuration-changed');
    for (const name of this.#deferred.names())
      if (ctx.connection(name) === undefined) this.#deferred.delete(name);
    this.#work();
  }

  has(connection: ConnectionId): boolean {
    return sasOf(this.world, connection).length > 0 || childrenOf(this.world, connection).length > 0;
  }

  inboundTraffic(childId: ChildId, at: Millis): boolean {
    const child = this.world.children.get(childId);
    if (child === undefined) return false;
    switchTo(this.world, child);
    heardEsp(this.world, child.connection, at);
    for (const sa of sasOf(this.world, child.connection)) {
      if (sa.state === 'established' && at > sa.lastInbound) {
        sa.lastInbound = at;
        sa.dpd.heard();
      }
      if (child.state !== 'pending') continue;
      const quick = [...sa.quicks.values()].find((one) => one.child === child);
      if (quick !== undefined) confirm(this.world, sa, quick);
    }
    return true;
  }

  trafficVolume(childId: ChildId, passed: Volume): boolean {
    const child = this.world.children.get(childId);
    if (child === undefined) return false;
    noteVolume(child, passed, this.world.ctx.now);
    return true;
  }

  acquire(connection: ConnectionId, destination: Uint8Array): boolean {
    const { world } = this;
    const sa = currentSa(world, connection);
    if (childrenOf(world, connection).length === 0) return false;
    // Without an ISAKMP SA one is made first, which then asks for every pair.
    const config = world.ctx.connection(connection);
    if (sa === undefined) return config === undefined || !mayRekey(config);
    wantDestination(world, sa, destination);
    this.#work();
    return true;
  }

  installFailed(childId: ChildId, reason: string): boolean {
    const { world } = this;
    const child = world.children.get(childId);
    if (child === undefined) return false;
    const sa = currentSa(world, child.connection);
    if (sa !== undefined) {
      announceDelete(world, sa, [child.spiIn]);
      world.ctx.event({
        kind: 'child-failed',
        connection: child.connection,
        ikeId: sa.id,
        role: child.initiated ? 'initiator' : 'responder',
        failure: quickFailure('internal_error', `the data plane could not install the ESP SA: ${reason}`),
      });
    }
    removeChild(world, child, 'failed');
    return true;
  }

  renew(connection: ConnectionConfig, scope: RenewScope): void {
    renew(this.world, connection, scope);
    this.#work();
  }

  espMoved(childId: ChildId, from: Endpoint): boolean {
    const child = this.world.children.get(childId);
    if (child === undefined) return false;
    const sa = currentSa(this.world, child.connection);
    if (sa !== undefined) followPeer(this.world, sa, from);
    else followOrphans(this.world, child.connection, from);
    return true;
  }

  tick(): void {
    const { ctx, table } = this.world;
    for (const sa of table.due(ctx.now, saDeadline)) this.#tickSa(sa);
    tickChildren(this.world, (connection, renewing) => this.#begin(connection, { renewing }));
    for (const name of this.#deferred.take(ctx.now)) {
      const connection = ctx.connection(name);
      if (connection?.adminUp === true && connection.initiateVersion === 1) this.initiate(connection);
    }
    this.#work();
  }

  deadline(): Millis | undefined {
    const { table, children } = this.world;
    const at = Math.min(
      table.earliest(saDeadline),
      children.earliest((child) => childDeadline(this.world, child)),
      this.#deferred.earliest(),
    );
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  /** When the peer began a main mode that may become this connection's. */
  #peerBegan({ id }: ConnectionConfig): Millis | undefined {
    // Rubbish in message 5 shows that one will come to nothing.
    return oldestBegin(
      this.world.table,
      ['sa-answered', 'ke-answered'],
      ({ negotiation }) => negotiation?.reported === false && negotiation.candidates.has(id),
    );
  }

  #work(): void {
    for (const sa of this.world.table.touched()) if (sa.wanted.length > 0) workOffWanted(this.world, sa);
  }

  #tickSa(sa: IsakmpSa): void {
    const { world } = this;
    const { now } = world.ctx;
    const due = (at: Millis | undefined): boolean => at !== undefined && at <= now;
    if (due(sa.forgetAt)) {
      this.#halfOpenOver(sa);
      return;
    }
    const refusal = sa.negotiation?.attempt.refusal;
    if (refusal !== undefined && due(refusal.effectiveAt)) {
      this.#attemptOver(sa, () => failSa(world, sa, refusal.failure), refusal.failure);
      return;
    }
    if (due(sa.negotiation?.trial?.nextAt)) {
      goOnTrying(world, sa);
      return;
    }
    if (due(repeatDue(sa))) {
      this.#attemptOver(sa, () => mainOverdue(world, sa));
      return;
    }
    if (due(sa.expiresAt)) {
      if (sa.state === 'superseded') deleteSa(world, sa, 'rekeyed');
      else deleteSa(world, sa, 'expired', sa.rekeyRefused);
      return;
    }
    if (due(sa.deleteAt)) {
      deleteSa(world, sa, 'rekeyed');
      return;
    }
    for (const quick of [...sa.quicks.values()]) this.#tickQuick(sa, quick);
    if (due(sa.completeAt)) {
      sa.completeAt = undefined;
      if (sa.connection!.initiateVersion === 1 && sa.connection!.establishMode === 'bidirectional')
        wantDue(world, sa);
    }
    if (sa.state === 'established' && mayRekey(sa.connection!) && due(sa.rekeyAt)) this.#rekey(sa);
    watch(world, sa);
  }

  /** A half-open SA is forgotten. Where message 5 came and was rubbish, that was told then. */
  #halfOpenOver(sa: IsakmpSa): void {
    const { world } = this;
    const { negotiation } = sa;
    const told = negotiation === undefined || negotiation.reported;
    const proven = sa.state === 'ke-answered' || sa.repeats > 0;
    if (told || !proven || !world.unauthenticated.take(world.ctx.now)) {
      forgetSa(world, sa);
      return;
    }
    const forced = negotiation.candidates.forcesEncapsulation;
    const movesPort =
      sa.state === 'ke-answered' && sa.natTraversal && (forced || sa.nat.local || sa.nat.peer);
    const { repeats, natTraversalPort } = sa;
    failSa(world, sa, initiatorSilent({ exchange: 'MAIN_MODE', movesPort, natTraversalPort, repeats }));
  }

  /** When an attempt to replace an SA fails, the next one follows while the old one lasts. */
  #attemptOver(sa: IsakmpSa, act: () => void, refusal?: Failure): void {
    const why = refusal ?? rekeySilent();
    const replaces = sa.negotiation?.replaces;
    const farewell = isFarewell(sa);
    act();
    if (sa.state !== 'gone') return;
    if (refusal === undefined && !farewell) buryOrphans(this.world, sa.connection!.id);
    if (replaces === undefined) return;
    const { ctx, table } = this.world;
    for (const old of table.select((one) => one.id === replaces && one.state === 'established')) {
      old.rekeyAt = ctx.now + RETRY_REKEY;
      old.rekeyRefused = rekeyRefused(why);
      ctx.event({
        kind: 'advisory',
        connection: old.connection!.id,
        code: 'rekey_refused',
        message: `the ISAKMP SA could not be rekeyed, and will end when its lifetime is over: ${why.message}`,
      });
    }
  }

  #rekey(sa: IsakmpSa): void {
    const { world } = this;
    const connection = sa.connection!;
    sa.rekeyAt = world.ctx.now + RETRY_REKEY;
    const turn = this.#deferred.turn(this.#peerBegan(connection));
    if (attemptOf(world, connection.id) !== undefined || world.ctx.shuttingDown) return;
    if (turn > world.ctx.now) sa.rekeyAt = turn;
    else initiate(world, connection, { replaces: sa });
  }

  #tickQuick(sa: IsakmpSa, quick: QuickExchange): void {
    const { world } = this;
    const { now } = world.ctx;
    if (quick.forgetAt !== undefined && quick.forgetAt <= now) {
      dropQuick(world, sa, quick);
      return;
    }
    const { retransmission } = quick;
    if (retransmission === undefined || retransmission.nextAt > now) return;
    if (retransmission.expire(now) === 'send') {
      reportRetransmission(world, sa, V1Exchange.QUICK_MODE, retransmission.sent);
      transmit(world, sa, quick.lastOut);
      return;
    }
    const failure =
      quick.role === 'initiator'
        ? quickSilent(sa.connection!, retransmission.sent)
        : quickFailure('peer_silent', 'the peer did not finish the quick mode that it began');
    const lost = isLost(world, sa, quick);
    failQuick(world, sa, quick, failure);
    if (lost && loseSa(world, sa, failure)) this.#begin(sa.connection!, { renewing: true });
  }
}

function isFarewell(sa: IsakmpSa): boolean {
  return sa.negotiation?.farewell !== undefined;
}

/** When the SA needs `tick` next. */
function saDeadline(sa: IsakmpSa): Millis {
  const never = Number.POSITIVE_INFINITY;
  let at = Math.min(sa.forgetAt ?? never, sa.deleteAt ?? never, sa.expiresAt, sa.completeAt ?? never);
  at = Math.min(at, repeatDue(sa), livenessDeadline(sa));
  at = Math.min(
    at,
    sa.negotiation?.attempt.refusal?.effectiveAt ?? never,
    sa.negotiation?.trial?.nextAt ?? never,
  );
  if (sa.state === 'established' && mayRekey(sa.connection!)) at = Math.min(at, sa.rekeyAt);
  for (const { retransmission, forgetAt } of sa.quicks.values())
    at = Math.min(at, retransmission?.nextAt ?? never, forgetAt ?? never);
  return at;
}
