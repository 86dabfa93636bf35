import type { ChildId, ConnectionId, IkeId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { Millis } from '../../util/units.js';
import { CALM, type Load } from '../admission/source-rate.js';
import type { ConnectionConfig } from '../config.js';
import type { Context } from '../context.js';
import type { CloseReason } from '../events.js';
import type { DatagramInput, RenewScope } from '../inputs.js';
import { noteVolume } from '../sa/child.js';
import { Deferred, oldestBegin } from '../sa/deferred.js';
import { failure } from '../sa/failures.js';
import type { SaRecord } from '../sa/record.js';
import type { Volume } from '../sa/volume.js';
import { createShared, type SharedTables, sasOf } from '../sa/world.js';
import type { IkeVersion } from '../version.js';
import { adoptSa } from './adopt.js';
import { activateOutbound, mayCarry, removeChild } from './child.js';
import { endSa } from './close.js';
import { nextPair, recheckCoverage, wantDestination } from './coverage.js';
import { beginNext } from './exchanges.js';
import { isEstablished, isInitiating } from './ike-sa.js';
import { initiate } from './init-initiator.js';
import { followSource } from './peer-path.js';
import { receive } from './receive.js';
import { exportSa, isV2Record } from './record.js';
import { renew, renewWaiting } from './renew.js';
import { reviveChildless } from './revival.js';
import { isRedundant } from './service.js';
import { createChildTask, purposeOf } from './tasks.js';
import { deadlineOf, tick } from './timers.js';
import { createWorld, ownerOf, type World } from './world.js';

/** How long a negotiation that the peer has begun is given before we begin one of our own. */
const PEER_FIRST = 2000;

/** IKEv2 (RFC 7296), both roles. */
export class IkeV2 implements IkeVersion {
  readonly world: World;
  readonly #deferred = new Deferred(PEER_FIRST);

  constructor(ctx: Context, shared: SharedTables = createShared(ctx)) {
    this.world = createWorld(ctx, shared);
  }

  /** `load`: what the rates say, when it is a first message. */
  receive(datagram: DatagramInput, load: Load = CALM): void {
    this.world.load = load;
    receive(this.world, datagram);
    this.#work();
  }

  initiate(connection: ConnectionConfig): void {
    this.#bringUp(connection);
    this.#work();
  }

  terminate(connection: ConnectionId, reason: CloseReason): void {
    this.#deferred.delete(connection);
    this.world.renewals.delete(connection);
    for (const sa of sasOf(this.world, connection)) {
      endSa(this.world, sa, reason, failure('terminated', 'given up by command'));
    }
    this.#work();
  }

  terminateAll(reason: CloseReason): void {
    this.#deferred.clear();
    this.world.renewals.clear();
    for (const sa of this.world.table.all()) {
      endSa(this.world, sa, reason, failure('terminated', 'given up: the gateway is going down'));
    }
    this.#work();
  }

  reconfigured(): void {
    const { ctx, table, perPair, plain, startedOver } = this.world;
    for (const sa of table.all()) {
      if (sa.connection === undefined) continue;
      const connection = ctx.connection(sa.connection.id);
      if (connection === undefined) {
        endSa(this.world, sa, 'configuration-changed', failure('terminated', 'the connection was removed'));
        continue;
      }
      sa.connection = connection;
      recheckCoverage(this.world, sa);
    }
    for (const names of [perPair, plain, startedOver])
      for (const name of [...names.keys()]) if (ctx.connection(name) === undefined) names.delete(name);
    this.#work();
  }

  has(connection: ConnectionId): boolean {
    return sasOf(this.world, connection).some((sa) => sa.state !== 'deleting');
  }

  inboundTraffic(childId: ChildId, at: Millis): boolean {
    const sa = ownerOf(this.world, childId);
    if (sa?.service === undefined) return false;
    sa.lastInbound = Math.max(sa.lastInbound, at);
    sa.service.unconfirmed = false;
    // RFC 7296 §2.8: traffic on the new SA proves that the peer has it.
    const child = sa.service.children.get(childId);
    if (child !== undefined && (child.replaces !== undefined || mayCarry(sa)))
      activateOutbound(this.world, child);
    return true;
  }

  trafficVolume(childId: ChildId, passed: Volume): boolean {
    const child = ownerOf(this.world, childId)?.service?.children.get(childId);
    if (child === undefined) return false;
    noteVolume(child, passed, this.world.ctx.now);
    return true;
  }

  acquire(connection: ConnectionId, destination: Uint8Array): boolean {
    const standing = sasOf(this.world, connection)
      .filter(isEstablished)
      .find((sa) => sa.phase.service.children.size > 0);
    if (standing === undefined) return false;
    wantDestination(this.world, standing, destination);
    return true;
  }

  installFailed(childId: ChildId, reason: string): boolean {
    const sa = ownerOf(this.world, childId);
    const child = sa?.service?.children.get(childId);
    if (sa === undefined || child === undefined) return false;
    removeChild(this.world, sa, child, 'failed');
    this.world.ctx.event({
      kind: 'child-failed',
      connection: child.connection,
      ikeId: sa.id,
      role: sa.role,
      failure: failure('internal_error', `the data plane could not install the child SA: ${reason}`),
    });
    sa.tasks.push({ kind: 'delete-children', spis: [child.spiIn] });
    this.#work();
    return true;
  }

  renew(connection: ConnectionConfig, scope: RenewScope): void {
    renew(this.world, connection, scope);
    this.#work();
  }

  espMoved(childId: ChildId, from: Endpoint): boolean {
    const sa = ownerOf(this.world, childId);
    if (sa === undefined) return false;
    followSource(this.world, sa, from);
    return true;
  }

  export(ikeId?: IkeId): SaRecord[] {
    const records: SaRecord[] = [];
    for (const sa of this.world.table.values()) {
      const record = ikeId === undefined || sa.id === ikeId ? exportSa(this.world, sa) : undefined;
      if (record !== undefined) records.push(record);
    }
    return records;
  }

  exportConnection(connection: ConnectionId): SaRecord[] {
    return this.world.table.viewOf(connection).flatMap((sa) => exportSa(this.world, sa) ?? []);
  }

  touched(): ConnectionId[] {
    return this.world.table.touched().flatMap(({ connection }) => connection?.id ?? []);
  }

  adopt(record: SaRecord): string | undefined {
    const connection = this.world.ctx.connection(record.connection);
    if (!isV2Record(record) || connection === undefined) return 'the record lacks what an IKEv2 SA has';
    return adoptSa(this.world, record, connection);
  }

  tick(): void {
    const { ctx, table } = this.world;
    for (const sa of table.due(ctx.now, deadlineOf)) tick(this.world, sa);
    for (const name of this.#deferred.take(ctx.now)) {
      const connection = ctx.connection(name);
      if (connection !== undefined) this.#bringUp(connection);
    }
    this.#work();
  }

  deadline(): Millis | undefined {
    const at = Math.min(this.world.table.earliest(deadlineOf), this.#deferred.earliest());
    return at === Number.POSITIVE_INFINITY ? undefined : at;
  }

  #bringUp(connection: ConnectionConfig): void {
    const { now } = this.world.ctx;
    const sas = sasOf(this.world, connection.id);
    if (sas.some(isInitiating)) return;
    const standing = sas.filter(isEstablished).find((sa) => !isRedundant(sa.phase.service));
    if (standing !== undefined) {
      const onItsWay = [...standing.tasks, purposeOf(standing.active?.task)].some(
        (task) => task?.kind === 'create-child',
      );
      if (standing.phase.service.children.size > 0) recheckCoverage(this.world, standing);
      else if (this.world.perPair.has(connection.id)) nextPair(this.world, standing);
      else if (!onItsWay && !reviveChildless(this.world, standing)) standing.tasks.push(createChildTask());
      return;
    }
    if (!this.#deferred.yields(connection.id, this.#peerBegan(connection), now))
      initiate(this.world, connection);
  }

  /** When the peer began a negotiation that may become this connection's. */
  #peerBegan({ id }: ConnectionConfig): Millis | undefined {
    return oldestBegin(
      this.world.table,
      ['init-answered'],
      ({ phase }) => phase.at === 'init-answered' && phase.negotiation.candidates.has(id),
    );
  }

  /** Every SA that has something to ask and no request under way asks it now. */
  #work(): void {
    if (this.world.renewals.size > 0) renewWaiting(this.world);
    for (const sa of this.world.table.touched()) if (sa.tasks.length > 0) beginNext(this.world, sa);
  }
}
