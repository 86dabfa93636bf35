import type { ConnectionId, IkeId } from '../util/ids.js';
import { NO_TERM } from '../util/term.js';
import { TokenBucket } from '../util/token-bucket.js';
import type { Millis } from '../util/units.js';
import { describeWireError, summarize } from '../wire/ike/dissect.js';
import { decodeHeader, encodeMessage } from '../wire/ike/message.js';
import type { IkeHeader } from '../wire/ike/payloads.js';
import { ExchangeType, NotifyType } from '../wire/ike/registry.js';
import { V1Exchange } from '../wire/ike/v1/registry.js';
import { BURST_SECONDS, SourceRate } from './admission/source-rate.js';
import { Context, type EngineDeps } from './context.js';
import type { DatagramDropReason } from './events.js';
import type { DatagramInput, Input, RenewScope } from './inputs.js';
import type { Output } from './outputs.js';
import { firstPath } from './path/first-path.js';
import { type RefusedRecord, type SaRecord, unadoptable } from './sa/record.js';
import { createShared } from './sa/world.js';
import { IkeV1 } from './v1/protocol.js';
import { notify } from './v2/payloads.js';
import { IkeV2 } from './v2/protocol.js';
import type { IkeVersion } from './version.js';

export type { EngineDeps } from './context.js';

/** What became of the records given to `Engine.adopt`. */
export interface Adoption {
  readonly outputs: Output[];
  readonly refused: readonly RefusedRecord[];
}

/**
 * The IKE engine, sans-IO: all that happens comes in by `handle`, all that is to be done goes out as its
 * result. The same inputs at the same times with the same random octets give the same outputs.
 */
export class Engine {
  readonly #ctx: Context;
  readonly #v1: IkeV1;
  readonly #v2: IkeV2;
  readonly #versions: readonly IkeVersion[];
  readonly #touched = new Set<ConnectionId>();
  readonly #sources: SourceRate;
  /** First requests of all sources together, whatever becomes of them. */
  readonly #requests: TokenBucket;
  /** Bounds the answers to datagrams of other versions. */
  readonly #versionAnswers = new TokenBucket({ burst: 10, perSecond: 5 });

  constructor(deps: EngineDeps) {
    this.#ctx = new Context(deps);
    this.#sources = new SourceRate(deps.limits.requestsPerSecond);
    const inAll = deps.limits.requestsPerSecondInAll;
    this.#requests = new TokenBucket({ burst: BURST_SECONDS * inAll, perSecond: inAll });
    const shared = createShared(this.#ctx);
    this.#v2 = new IkeV2(this.#ctx, shared);
    this.#v1 = new IkeV1(this.#ctx, shared);
    this.#versions = [this.#v2, this.#v1];
  }

  /** Handles one input at the time `now`, which never goes back. */
  handle(input: Input, now: Millis): Output[] {
    const ctx = this.#ctx;
    ctx.now = Math.max(ctx.now, now);
    switch (input.kind) {
      case 'datagram':
        this.#receive(input);
        break;
      case 'timer':
        break;
      case 'configure':
        ctx.configure(input.config);
        for (const version of this.#versions) version.reconfigured();
        break;
      case 'initiate':
        this.#initiate(input.connection);
        break;
      case 'acquire':
        this.#acquire(input.connection, input.destination);
        break;
      case 'terminate':
        for (const version of this.#versions) version.terminate(input.connection, 'terminated');
        break;
      case 'shutdown':
        ctx.shuttingDown = true;
        for (const version of this.#versions) version.terminateAll('shutdown');
        break;
      case 'inbound-traffic':
        this.#versions.some((version) => version.inboundTraffic(input.childId, input.at));
        break;
      case 'traffic-volume':
        this.#versions.some((version) => version.trafficVolume?.(input.childId, input) ?? false);
        break;
      case 'install-failed':
        this.#versions.some((version) => version.installFailed(input.childId, input.reason));
        break;
      case 'renew':
        this.#renew(input.connection, input.scope);
        break;
      case 'esp-moved':
        this.#versions.some((version) => version.espMoved?.(input.childId, input.from) ?? false);
        break;
    }
    for (const version of this.#versions) version.tick();
    return this.#drain();
  }

  /** When `handle` wants a `timer` input next; undefined when nothing waits for time. */
  nextDeadline(): Millis | undefined {
    let next: Millis | undefined;
    for (const version of this.#versions) {
      const at = version.deadline();
      if (at !== undefined && (next === undefined || at < next)) next = at;
    }
    return next;
  }

  /**
   * The established SAs as data that another engine can carry on, those of one IKE SA or all; oldest first. The
   * keys of IKE SAs are copies: the caller wipes them (`wipeRecord`). Those of ESP SAs are with the data plane.
   */
  export(ikeId?: IkeId): SaRecord[] {
    return this.#versions.flatMap((version) => version.export?.(ikeId) ?? []);
  }

  /** The same of one connection. */
  exportConnection(connection: ConnectionId): SaRecord[] {
    return this.#versions.flatMap((version) => version.exportConnection?.(connection) ?? []);
  }

  /**
   * The connections whose SAs may be other than at the last call: what another host must know of, before the outputs
   * since then are carried out. None without a term.
   */
  takeTouched(): ConnectionId[] {
    const touched = [...this.#touched];
    this.#touched.clear();
    return touched;
  }

  /**
   * Carries on the SAs of another engine, which must not go on with them itself. A record is refused, and changes
   * nothing, when its connection is not configured here or an id or SPI of it is in use; the others are adopted.
   *
   * SAs keep their ids and SPIs. There is no `install-child` for a child SA: the engine has no ESP keys, and the data
   * plane that has them keeps its SAs or gets them from the other data plane, under the same ids. An adopted SA is
   * reported by `ike-established` and `child-established` with `adopted`: a consumer that follows which SAs there are
   * needs to know no other event, and one that reports what has happened can distinguish the two.
   *
   * Points in time in the records count on the clock of `now`: a caller with records from another clock shifts them.
   */
  adopt(records: readonly SaRecord[], now: Millis): Adoption {
    const ctx = this.#ctx;
    ctx.now = Math.max(ctx.now, now);
    const refused: RefusedRecord[] = [];
    for (const record of records) {
      const reason = this.#adopt(record);
      if (reason !== undefined) refused.push({ record, reason });
    }
    for (const version of this.#versions) version.tick();
    return { outputs: this.#drain(), refused };
  }

  /** Whether SAs that are given up still wait for their peers: a daemon that stops waits for them a while. */
  get closing(): boolean {
    for (const sa of this.#v2.world.table.values()) if (sa.state === 'deleting') return true;
    return this.#v1.closing;
  }

  /** Sizes of the tables that peers can make grow, to compare them with the limits. */
  get sizes(): {
    readonly ikeSas: number;
    readonly halfOpen: number;
    readonly sources: number;
    readonly offers: number;
  } {
    const { table, halfOpen } = this.#v2.world;
    return {
      ikeSas: table.size + this.#v1.world.table.size,
      halfOpen: halfOpen.total,
      sources: halfOpen.sources,
      offers: this.#v1.world.offers.size,
    };
  }

  #drain(): Output[] {
    const outputs = this.#ctx.drain();
    if (this.#ctx.term === NO_TERM) return outputs;
    for (const version of this.#versions)
      for (const connection of version.touched?.() ?? []) this.#touched.add(connection);
    // What is gone is in no table any more.
    for (const output of outputs) {
      if (output.kind !== 'event' || !('connection' in output.event)) continue;
      if (output.event.connection !== undefined) this.#touched.add(output.event.connection);
    }
    return outputs;
  }

  #adopt(record: SaRecord): string | undefined {
    const { ctx, espSpis } = this.#v2.world;
    const version: IkeVersion = record.ikeVersion === 1 ? this.#v1 : this.#v2;
    if (version.adopt === undefined) return `IKEv${record.ikeVersion} SAs cannot be adopted`;
    return unadoptable({ ctx, espSpis }, record) ?? version.adopt(record);
  }

  #receive(datagram: DatagramInput): void {
    if (datagram.bytes.length > this.#ctx.limits.messageBytes) {
      this.#drop(datagram, 'too_large', `${datagram.bytes.length} octets`);
      return;
    }
    const header = decodeHeader(datagram.bytes);
    if (!header.ok) {
      this.#drop(datagram, 'malformed', describeWireError(header.error));
      return;
    }
    const { majorVersion, responderSpi, exchangeType } = header.value;
    // Only the first request of a new IKE SA has no responder SPI; an answer to us has one.
    const first = responderSpi.every((octet) => octet === 0);
    if (first && datagram.bytes.length > this.#ctx.limits.firstMessageBytes) {
      this.#drop(datagram, 'too_large', `${datagram.bytes.length} octets in a request for a new IKE SA`);
      return;
    }
    const busy = first && !this.#requests.take(this.#ctx.now);
    const crowded = first && !this.#sources.take(datagram.remote.address, this.#ctx.now);
    // An attacker may forge the address of an honest peer, which a cookie can distinguish (RFC 7296 §2.6, and for
    // version 1 RFC 2408 §2.5.3).
    const takesCookie =
      (majorVersion === 2 && exchangeType === ExchangeType.IKE_SA_INIT) ||
      (majorVersion === 1 && exchangeType === V1Exchange.MAIN_MODE);
    if ((busy || crowded) && !takesCookie) {
      this.#drop(datagram, 'rate_limited', 'too many requests for new IKE SAs');
      return;
    }
    if (majorVersion === 2) this.#v2.receive(datagram, { busy, crowded });
    else if (majorVersion > 2) this.#refuseVersion(datagram, header.value);
    else if (majorVersion === 1) this.#v1.receive(datagram, { busy, crowded });
    else this.#drop(datagram, 'bad_version', `major version ${majorVersion}`);
  }

  /** RFC 7296 §2.5: a request of a higher version is answered with the highest we speak, in its own terms. */
  #refuseVersion(datagram: DatagramInput, request: IkeHeader): void {
    this.#drop(datagram, 'bad_version', `major version ${request.majorVersion}`);
    if (request.response || !this.#versionAnswers.take(this.#ctx.now)) return;
    const header: IkeHeader = {
      ...request,
      majorVersion: 2,
      minorVersion: 0,
      exchangeType: request.exchangeType === 0 ? ExchangeType.IKE_SA_INIT : request.exchangeType,
      fromInitiator: false,
      higherVersion: false,
      response: true,
    };
    const payloads = [notify(NotifyType.INVALID_MAJOR_VERSION, Uint8Array.of(2))];
    const { local, remote, natTraversalPort } = datagram;
    this.#ctx.event({
      kind: 'message',
      direction: 'out',
      peer: remote,
      summary: summarize(header, payloads),
    });
    this.#ctx.emit({ kind: 'send', local, remote, natTraversalPort, bytes: encodeMessage(header, payloads) });
  }

  /** An established connection may lack only the child SA of these networks. */
  #acquire(name: string, destination: Uint8Array | undefined): void {
    const standing =
      destination !== undefined &&
      !this.#ctx.shuttingDown &&
      this.#versions.some((version) => version.acquire?.(name, destination) ?? false);
    if (!standing) this.#initiate(name);
  }

  #initiate(name: string): void {
    const connection = this.#ctx.connection(name);
    if (connection === undefined || this.#ctx.shuttingDown) return;
    const peer = firstPath(connection, connection.peer.addresses[0]).remote;
    const fail = (cause: 'admin_down' | 'unsupported', message: string): void =>
      this.#ctx.event({
        kind: 'ike-failed',
        connection: name,
        role: 'initiator',
        peer,
        failure: { cause, message },
      });
    if (!connection.adminUp) {
      fail('admin_down', `connection ${name} is administratively down: set admin_state_up to true`);
      return;
    }
    // What the peer has brought up in the other version need not be brought up again.
    const standing = this.#versions.find((version) => version.has(name));
    (standing ?? (connection.initiateVersion === 1 ? this.#v1 : this.#v2)).initiate(connection);
  }

  #renew(name: string, scope: RenewScope): void {
    const connection = this.#ctx.connection(name);
    if (connection === undefined || !connection.adminUp || this.#ctx.shuttingDown) return;
    for (const version of this.#versions) {
      if (!version.has(name)) continue;
      if (version.renew !== undefined) version.renew(connection, scope);
      else if (scope !== 'lifetimes') version.terminate(name, 'configuration-changed');
    }
  }

  #drop(datagram: DatagramInput, reason: DatagramDropReason, detail: string): void {
    this.#ctx.event({ kind: 'datagram-dropped', reason, peer: datagram.remote, detail });
  }
}
