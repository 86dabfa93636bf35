import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import { CALM, type Load } from '../admission/source-rate.js';
import type { ConnectionConfig } from '../config.js';
import type { Context } from '../context.js';
import type { CloseReason } from '../events.js';
import type { DatagramInput, RenewScope } from '../inputs.js';
import { noteVolume } from '../sa/child.js';
import type { SaRecord } from '../sa/record.js';
import type { Volume } from '../sa/volume.js';
import { mayRekey, type SharedTables, sasOf } from '../sa/world.js';
import type { IkeVersion } from '../version.js';
import { adoptSa } from './adopt.js';
import { childDeadline, tickChildren } from './child-care.js';
import { announceDelete, removeChild, switchTo } from './children.js';
import { endChildren, endSa, forgetSa, isFarewell } from './close.js';
import { wantDestination } from './demand.js';
import { wantAll } from './established.js';
import { mainFailure, quickFailure } from './failures.js';
import { type IsakmpSa, isHalfOpen, isUp } from './isakmp-sa.js';
import { initiate } from './main-initiator.js';
import { followOrphans, heardEsp } from './orphans.js';
import { initiateUnlessPeerDid, yieldsToPeer } from './peer-first.js';
import { workOffWanted } from './quick-initiator.js';
import { confirm } from './quick-responder.js';
import { receive } from './receive.js';
import { exportAll, exportConnection, isV1Record } from './record.js';
import { followSource, renew } from './renew.js';
import { TIMERS } from './timers.js';
import { attemptOf, childrenOf, createWorld, currentSa, type World } from './world.js';

const nextTimer = (sa: IsakmpSa): Millis => TIMERS.next(sa);

/** IKE version 1: main mode with pre-shared keys and quick mode (RFC 2407, 2408, 2409). */
export class IkeV1 implements IkeVersion {
  readonly world: World;

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
    if (!yieldsToPeer(world, connection)) initiate(world, connection);
  }

  terminate(connection: ConnectionId, reason: CloseReason): void {
    this.world.deferred.delete(connection);
    // The oldest first: the last one takes the ESP SAs with it.
    for (const sa of sasOf(this.world, connection)) {
      if (!isFarewell(sa))
        endSa(this.world, sa, reason, mainFailure('terminated', 'given up by an operator'));
    }
    this.#takeLeave(connection, reason);
  }

  terminateAll(reason: CloseReason): void {
    this.world.deferred.clear();
    for (const sa of this.world.table.all()) {
      if (isHalfOpen(sa)) forgetSa(this.world, sa);
      else if (!isFarewell(sa))
        endSa(this.world, sa, reason, mainFailure('terminated', 'given up: the gateway stops'));
    }
    for (const name of this.world.children.connections()) this.#takeLeave(name, reason);
  }

  /** Whether the peer has still to be informed of ESP SAs that were ended without an ISAKMP SA to do so. */
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
    for (const name of this.world.deferred.names())
      if (ctx.connection(name) === undefined) this.world.deferred.delete(name);
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
      if (!isUp(sa)) continue;
      const { session } = sa.phase;
      if (sa.phase.at === 'established' && at > session.lastInbound) {
        session.lastInbound = at;
        session.dpd.heard();
      }
      if (child.state !== 'pending') continue;
      for (const quick of session.quicks.values())
        if (quick.state === 'answered' && quick.child === child) confirm(this.world, sa, quick);
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
    if (sa !== undefined) followSource(this.world, sa, from);
    else followOrphans(this.world, child.connection, from);
    return true;
  }

  export(ikeId?: IkeId): SaRecord[] {
    return exportAll(this.world, ikeId);
  }

  exportConnection(connection: ConnectionId): SaRecord[] {
    return exportConnection(this.world, connection);
  }

  touched(): ConnectionId[] {
    const { table, children } = this.world;
    return [...table.touched().map(({ connection }) => connection?.id), ...children.touched()].flatMap(
      (id) => id ?? [],
    );
  }

  adopt(record: SaRecord): string | undefined {
    const connection = this.world.ctx.connection(record.connection);
    if (!isV1Record(record) || connection === undefined) return 'the record lacks what an IKEv1 SA has';
    return adoptSa(this.world, record, connection);
  }

  tick(): void {
    const { ctx, table } = this.world;
    for (const sa of table.due(ctx.now, nextTimer)) TIMERS.serve(this.world, sa, ctx.now);
    tickChildren(this.world, (connection, renewing) =>
      initiateUnlessPeerDid(this.world, connection, { renewing }),
    );
    for (const name of this.world.deferred.take(ctx.now)) {
      const connection = ctx.connection(name);
      if (connection?.adminUp === true && connection.initiateVersion === 1) this.initiate(connection);
    }
    this.#work();
  }

  deadline(): Millis | undefined {
    const { table, children } = this.world;
    const at = Math.min(
      table.earliest(nextTimer),
      children.earliest((child) => childDeadline(this.world, child)),
      this.world.deferred.earliest(),
    );
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  #work(): void {
    for (const sa of this.world.table.touched())
      if (isUp(sa) && sa.phase.session.wanted.length > 0) workOffWanted(this.world, sa);
  }
}
