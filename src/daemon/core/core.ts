import { type Explanation, explain } from '../../connection/explain.js';
import { STANDSTILL } from '../../connection/lifetimes.js';
import { espSuiteNames, suiteWord } from '../../connection/names.js';
import type { ConnectionPlan } from '../../connection/plan.js';
import { type Command, type ReconcileInput, Reconciler, type State } from '../../connection/reconcile.js';
import type { ChildTraffic } from '../../connection/sa-status.js';
import type { ConnectionStatusDocument } from '../../connection/status.js';
import { type ConnectionNote, type ConnectionProblem, ConnectionTracker } from '../../connection/tracker.js';
import type { ChildCounters, DataPlane } from '../../dataplane/dataplane.js';
import type { EspPair } from '../../esp/params.js';
import type { EngineConfig } from '../../ike/config.js';
import type { IkeEvent, IkeSaInfo } from '../../ike/events.js';
import type { Input } from '../../ike/inputs.js';
import type { ChildSa, Output, SendOutput } from '../../ike/outputs.js';
import { toEngineConfig } from '../../store/engine-config.js';
import type { GatewayFile } from '../../store/model.js';
import { DEFAULTS } from '../../store/schema.js';
import { EventLog } from '../../telemetry/event-log.js';
import type { Logger } from '../../telemetry/log.js';
import type { Endpoint, IpBytes } from '../../util/ip.js';
import type { Random } from '../../util/random.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { ConnectionDevices } from '../host/devices.js';
import { connectionTo } from '../host/network.js';
import { type Clock, sinceBoot, utcText } from '../system/clock.js';
import type { Resolve } from '../system/names-service.js';
import { ConnectionKeys } from './connection-keys.js';
import { Keepalives } from './keepalives.js';
import { LeavingChildren } from './leaving-children.js';
import { PeerNames } from './peer-names.js';

/** The sans-IO engine, as far as the daemon sees it. */
export interface EngineLike {
  handle(input: Input, now: Millis): Output[];
  nextDeadline(): Millis | undefined;
  /** Whether SAs that were given up still wait for their peers. */
  readonly closing?: boolean;
}

/** What the gateway is to do: a configuration that was read, and its keys by connection name. */
export interface CoreConfig {
  readonly file: GatewayFile;
  readonly psks: ReadonlyMap<string, SecretKey>;
}

export interface CoreDeps extends CoreConfig {
  readonly engine: EngineLike;
  readonly plane: DataPlane;
  readonly devices: ConnectionDevices;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly resolve: Resolve;
  /** Sends one IKE message. */
  send(output: SendOutput): void;
  sendKeepalive(remote: Endpoint): void;
  /** A peer's host name was resolved: its routes may have to change before it is spoken to. */
  peerResolved(addresses: readonly string[]): void;
}

/** Between two looks at counters, keepalives and folded log lines. */
const TICK: Millis = 1000;
/** The engine learns the volume of a child SA after about this much more of it. */
const VOLUME_STEP_BYTES = 2 ** 20;
const VOLUME_STEP_PACKETS = 2 ** 16;
/** One packet's time may be told a little differently twice: two clocks are compared. */
const CLOCK_NOISE: Millis = 5;
/** setTimeout takes no more. */
const MAX_TIMER = 2 ** 31 - 1;
/** After the engine failed on a timer: no busy loop around a bug. */
const AFTER_BUG: Millis = 1000;

/**
 * The heart of the daemon: feeds the engine, carries out what it asks for in its order, and keeps tracker, log
 * and reconciler informed. Everything happens on one thread, one input after the other.
 */
export class GatewayCore {
  readonly #deps: CoreDeps;
  readonly #tracker: ConnectionTracker;
  readonly #reconciler: Reconciler;
  readonly #log: EventLog;
  readonly #queue: Input[] = [];
  readonly #keys = new ConnectionKeys();
  readonly #names: PeerNames;
  readonly #keepalives = new Keepalives();
  #config: CoreConfig;
  #problems: ReadonlyMap<string, readonly ConnectionProblem[]> = new Map();
  /** Connections an operator holds down. */
  readonly #stopped = new Set<string>();
  readonly #ikes = new Map<number, { readonly connection: string; readonly ike: IkeSaInfo }>();
  /** IKE SA of each child SA, the last inbound traffic reported, and the steps of volume. */
  readonly #children = new Map<number, { ikeId: number; reported: Millis; volumeTold: number }>();
  readonly #leaving: LeavingChildren;
  readonly #listeners = new Set<(events: readonly IkeEvent[]) => void>();
  /** Events that listeners have not heard of. */
  readonly #untold: IkeEvent[] = [];
  #draining = false;
  #timer: NodeJS.Timeout | undefined;
  #tick: NodeJS.Timeout | undefined;
  #revision = -1;
  /** When the counters were looked at last, on a clock that counts suspended time. */
  #lastSecond: Millis | undefined;
  #notBefore: Millis = 0;
  #closing = false;
  /** No input is taken any more: a late datagram must not arm a timer that keeps the process alive. */
  #ended = false;

  constructor(deps: CoreDeps) {
    this.#deps = deps;
    this.#leaving = new LeavingChildren(deps.plane);
    this.#tracker = new ConnectionTracker((at) => utcText(deps.clock, at));
    this.#reconciler = new Reconciler(deps.random);
    this.#log = new EventLog(deps.logger);
    this.#config = { file: deps.file, psks: deps.psks };
    this.#names = new PeerNames({
      resolve: deps.resolve,
      family: deps.file.gateway.address.includes(':') ? 6 : 4,
      now: () => this.#now(),
      changed: (connection, fqdn, addresses) => this.#peerResolved(connection, fqdn, addresses),
    });
  }

  /** Configures the engine and begins with what the configuration wants. */
  start(): void {
    this.#takeOver(this.#config);
    this.#lastSecond = sinceBoot(this.#deps.clock);
    this.#tick = setInterval(() => this.#everySecond(), TICK);
    this.#tick.unref();
  }

  /**
   * Goes over to another configuration by the steps of its plan. Connections that are not in the plan are not
   * touched.
   */
  reload(config: CoreConfig, plans: readonly ConnectionPlan[]): void {
    for (const { change, from, name } of plans) if (change === 'rename') this.#rename(from!, name);
    this.#takeOver(config);
    for (const { name, steps } of plans) {
      if (this.#stopped.has(name)) continue;
      for (const step of steps) {
        if (step.kind === 'cover') this.input({ kind: 'initiate', connection: name });
        else if (step.kind !== 'renew') this.#reconcile({ kind: step.kind, connection: name });
        else if (step.scope === 'connection') this.#reconcile({ kind: 'renew', connection: name });
        else this.input({ kind: 'renew', connection: name, scope: step.scope });
      }
    }
  }

  /** The configuration as the engine's terms have it, with the addresses that are known now. */
  engineConfig({ file, psks }: CoreConfig): EngineConfig {
    return toEngineConfig(file, psks, this.#names.addresses());
  }

  /** The name that people know of a connection that the engine speaks of. */
  nameOf(connection: string): string {
    return this.#keys.name(connection);
  }

  /** One input of the engine, with all that follows from it. Connections go by the names people know. */
  input(input: Input): void {
    if (this.#ended) return;
    this.#queue.push(input);
    this.#drain();
  }

  /** A packet for this address found no SA that may send; `device` is the number of the device it came from. */
  acquire(destination: IpBytes, device: number): void {
    const { connections } = this.#config.file;
    const owner = this.#deps.devices.connectionOf(device);
    const found =
      owner === undefined
        ? connectionTo(destination, connections)
        : connections.find((one) => one.name === owner);
    if (found?.adminStateUp !== true) return;
    // A connection that stands may lack the child SA of these networks only.
    if (this.#reconciler.view(found.name)?.state === 'up')
      this.input({ kind: 'acquire', connection: found.name, destination });
    else this.#reconcile({ kind: 'acquire', connection: found.name });
  }

  /** An authentic ESP packet came from elsewhere (RFC 7296 §2.23). */
  peerMoved(childId: number, from: Endpoint): void {
    this.input({ kind: 'esp-moved', childId, from });
  }

  up(name: string): void {
    this.#reconcile({ kind: 'up', connection: name });
  }

  down(name: string): void {
    this.#reconcile({ kind: 'down', connection: name });
  }

  /** Failed attempts in a row, to tell a waiting operator that one more failed. */
  failures(name: string): number {
    return this.#reconciler.view(name)?.failures ?? 0;
  }

  status(): ConnectionStatusDocument[] {
    const notes = new Map(this.#config.file.connections.map(({ name }) => [name, this.#note(name)]));
    return this.#tracker.status(this.#traffic(), notes, this.#now());
  }

  /** What this host lacks for the traffic of connections, by name; replaces what was said before. */
  setProblems(problems: ReadonlyMap<string, readonly ConnectionProblem[]>): void {
    for (const name of this.#problems.keys()) {
      if (!problems.has(name))
        this.#deps.logger.info({ connection: name }, 'nothing on this host is in its way any more');
    }
    this.#problems = problems;
  }

  /** Why a connection is as it is, with evidence. Undefined when there is none of this name. */
  explain(name: string): Explanation | undefined {
    const status = this.status().find((one) => one.name === name);
    if (status === undefined) return undefined;
    const { clock } = this.#deps;
    return explain(status, this.#tracker.history(name), {
      now: this.#now(),
      toUtc: (at) => utcText(clock, at),
    });
  }

  #note(name: string): ConnectionNote {
    const view = this.#reconciler.view(name);
    const problems = this.#problems.get(name);
    const device = this.#deps.devices.nameOf(name);
    return {
      stopped: this.#stopped.has(name),
      ...(view === undefined ? {} : { view }),
      ...(problems === undefined ? {} : { problems }),
      ...(device === undefined ? {} : { interface: device }),
    };
  }

  #traffic(): ReadonlyMap<number, ChildTraffic> {
    return new Map(this.#deps.plane.counters().map((one) => [one.id, one]));
  }

  /** `changed` is called after every step that changed a status, with the events of the step. */
  subscribe(changed: (events: readonly IkeEvent[]) => void): () => void {
    this.#listeners.add(changed);
    return () => this.#listeners.delete(changed);
  }

  /** Deletes all SAs at their peers; resolves when they have answered, or after `patience`. */
  async shutdown(patience: Millis): Promise<void> {
    this.#closing = true;
    this.input({ kind: 'shutdown' });
    const deadline = this.#now() + patience;
    while (this.#now() < deadline && (this.#ikes.size > 0 || this.#deps.engine.closing === true)) {
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
    this.stop();
  }

  /** No more timers, and what the log held back is written. */
  stop(): void {
    this.#closing = true;
    this.#ended = true;
    this.#names.close();
    this.#leaving.end();
    clearTimeout(this.#timer);
    clearInterval(this.#tick);
    this.#timer = undefined;
    this.#log.flush(Number.POSITIVE_INFINITY);
  }

  #now(): Millis {
    return this.#deps.clock.now();
  }

  #takeOver(config: CoreConfig): void {
    this.#config = config;
    const { connections } = config.file;
    this.#keys.configure(connections.map(({ name }) => name));
    for (const name of this.#stopped) {
      if (!connections.some((one) => one.name === name)) this.#stopped.delete(name);
    }
    const byName = connections.filter((one) => one.adminStateUp && one.peer.fqdn !== undefined);
    this.#names.configure(new Map(byName.map(({ name, peer }) => [name, peer.fqdn!])));
    const full = this.#configure();
    this.#reconcile({ kind: 'configure', connections: full.connections });
    // As responder, too, a peer is found by its address.
    this.#names.refreshDue();
  }

  #rename(from: string, to: string): void {
    this.#keys.rename(from, to);
    this.#names.rename(from, to);
    this.#tracker.rename(from, to);
    this.#reconciler.handle({ kind: 'rename', from, to }, this.#now());
    if (this.#stopped.delete(from)) this.#stopped.add(to);
    for (const [id, { connection, ike }] of this.#ikes) {
      if (connection === from) this.#ikes.set(id, { connection: to, ike });
    }
  }

  /** The configuration as it is now: resolved addresses filled in, what an operator holds down is down. */
  #configure(): EngineConfig {
    const { file } = this.#config;
    const full = this.engineConfig(this.#config);
    const config = {
      connections: full.connections.map((one) =>
        this.#stopped.has(one.id) ? { ...one, adminUp: false } : one,
      ),
    };
    this.#tracker.configure(
      full.connections.map((one, i) => {
        const { peer } = file.connections[i]!;
        return { config: one, peer: peer.address ?? peer.fqdn ?? '' };
      }),
    );
    this.input({ kind: 'configure', config });
    return full;
  }

  #drain(): void {
    if (this.#draining) return;
    this.#draining = true;
    try {
      for (let input = this.#queue.shift(); input !== undefined; input = this.#queue.shift())
        this.#step(input);
    } finally {
      this.#draining = false;
    }
    this.#arm();
  }

  #step(input: Input): void {
    const { engine, logger } = this.#deps;
    let outputs: Output[];
    try {
      outputs = engine.handle(this.#keyed(input), this.#now());
    } catch (error) {
      logger.error(
        { err: error, input: input.kind },
        'the engine failed on an input, which is dropped: this is a bug',
      );
      if (input.kind === 'timer') this.#notBefore = this.#now() + AFTER_BUG;
      return;
    }
    const events: IkeEvent[] = [];
    for (const output of outputs) {
      try {
        this.#perform(output, events);
      } catch (error) {
        logger.error({ err: error, output: output.kind }, 'an output of the engine could not be carried out');
      }
    }
    this.#report(events);
  }

  #keyed(input: Input): Input {
    if (input.kind === 'configure') return { ...input, config: this.#keys.keyed(input.config) };
    return 'connection' in input ? { ...input, connection: this.#keys.key(input.connection) } : input;
  }

  #perform(output: Output, events: IkeEvent[]): void {
    const { plane } = this.#deps;
    switch (output.kind) {
      case 'send':
        this.#deps.send(output);
        return;
      case 'install-child':
        this.#install(output.child);
        return;
      case 'expect-esp':
        plane.expect(output.spi);
        return;
      case 'forget-esp':
        plane.forget(output.spi);
        return;
      case 'activate-outbound':
        plane.activateOutbound(output.childId);
        return;
      case 'remove-child':
        if (output.rekeyed) this.#leaving.add(output.childId);
        else plane.remove(output.childId);
        this.#children.delete(output.childId);
        return;
      case 'update-peer':
        plane.updatePeer(output.childId, output.peer);
        return;
      case 'event':
        events.push(this.#keys.named(output.event));
    }
  }

  #install(child: ChildSa): void {
    const { connection, ...pair } = child;
    try {
      const device = this.#deps.devices.numberOf(this.#keys.name(connection));
      if (device === undefined) throw new RangeError('the connection has no TUN device');
      this.#deps.plane.install({ ...pair, device } satisfies EspPair);
    } catch (error) {
      const reason = (error as Error).message;
      const suite = suiteWord(espSuiteNames(child.suite));
      this.#deps.plane.forget(child.spiIn);
      this.#deps.logger.error(
        { connection: child.connection, suite },
        `a child SA was not installed: ${reason}`,
      );
      this.#queue.push({ kind: 'install-failed', childId: child.id, reason });
    }
  }

  /** Fans events out to their consumers, in the order in which they happened. */
  #report(events: readonly IkeEvent[]): void {
    const now = this.#now();
    for (const event of events) {
      this.#follow(event, now);
      this.#tracker.handle(event, now);
      this.#log.handle(event, now);
    }
    this.#untold.push(...events);
    if (events.length > 0 && !this.#closing) this.#reconcile({ kind: 'events', events });
    this.#notify();
  }

  #notify(): void {
    const events = this.#untold.splice(0);
    if (this.#tracker.revision === this.#revision) return;
    this.#revision = this.#tracker.revision;
    for (const listener of this.#listeners) listener(events);
  }

  #follow(event: IkeEvent, now: Millis): void {
    switch (event.kind) {
      case 'ike-established':
        this.#ikes.set(event.ike.ikeId, { connection: event.connection, ike: event.ike });
        this.#keepalives.established(event.ike, now);
        // A rekeyed IKE SA hands its child SAs over (RFC 7296 §2.18).
        for (const child of this.#children.values()) {
          if (child.ikeId === event.ike.replaces) child.ikeId = event.ike.ikeId;
        }
        return;
      case 'ike-closed':
        this.#ikes.delete(event.ikeId);
        this.#keepalives.closed(event.ikeId);
        return;
      case 'peer-moved': {
        const known = this.#ikes.get(event.ikeId);
        if (known !== undefined)
          this.#ikes.set(event.ikeId, { ...known, ike: { ...known.ike, peer: event.to } });
        this.#keepalives.moved(event.ikeId, event.to);
        return;
      }
      case 'child-established':
        this.#children.set(event.child.childId, { ikeId: event.child.ikeId, reported: 0, volumeTold: 0 });
        return;
      case 'child-closed':
        this.#children.delete(event.childId);
        return;
      default:
    }
  }

  #reconcile(input: ReconcileInput): void {
    if (this.#closing) return;
    for (const command of this.#reconciler.handle(input, this.#now())) this.#command(command);
    this.#drain();
    this.#notify();
  }

  #command(command: Command): void {
    const { connection } = command;
    switch (command.kind) {
      case 'initiate':
        this.#resolved(connection, 'connecting', () => this.input({ kind: 'initiate', connection }));
        return;
      case 'renew':
        this.#resolved(connection, 'up', () =>
          this.input({ kind: 'renew', connection, scope: 'connection' }),
        );
        return;
      case 'terminate':
        this.#queue.push({ kind: 'terminate', connection });
        return;
      case 'refuse':
        this.#stopped.add(connection);
        break;
      case 'admit':
        this.#stopped.delete(connection);
        break;
    }
    this.#configure();
  }

  /** Does it when the peer's host name, if it has one, is resolved, and the connection is still in that state. */
  #resolved(name: string, state: State, then: () => void): void {
    if (!this.#names.has(name)) {
      then();
      return;
    }
    void this.#names.refresh(name).then((problem) => {
      if (this.#closing || this.#reconciler.view(name)?.state !== state) return;
      if (problem === undefined) {
        then();
        return;
      }
      const known = this.#config.file.connections.find((one) => one.name === name)?.peer;
      const fqdn = known?.fqdn ?? name;
      const failure = {
        cause: 'dns_failed',
        message: `The host name ${fqdn} cannot be resolved: ${problem}`,
      } as const;
      const peer = { address: fqdn, port: known?.port ?? DEFAULTS.peerPort };
      this.#report([{ kind: 'ike-failed', connection: name, role: 'initiator', peer, failure }]);
      this.#arm();
    });
  }

  /** A peer's host name stands for other addresses: the engine learns them, and SAs with the old ones move. */
  #peerResolved(connection: string, fqdn: string, addresses: readonly string[]): void {
    if (this.#closing) return;
    this.#deps.logger.info({ connection, fqdn, addresses }, `${fqdn} is ${addresses.join(', ')}`);
    this.#deps.peerResolved(addresses);
    this.#configure();
    const left = [...this.#ikes.values()].some(
      // Behind a NAT the address that packets come from need not be the one in the name.
      ({ connection: name, ike: { nat, peer } }) =>
        name === connection && (!nat.peer || nat.peerMayForce) && !addresses.includes(peer.address),
    );
    const waits = this.#reconciler.view(connection)?.state === 'due';
    if (left) this.#reconcile({ kind: 'renew', connection });
    else if (waits) this.#reconcile({ kind: 'retry', connection });
  }

  /** The kernel refused to send an IKE message. */
  sendFailed(to: Endpoint, code: string, message: string): void {
    this.#tracker.sendFailed(to, code, message, this.#now());
  }

  #everySecond(): void {
    const now = this.#now();
    this.#watchStandstill(now);
    const counters = this.#deps.plane.counters();
    this.#tracker.traffic(new Map(counters.map((one) => [one.id, one])), now);
    for (const one of counters) {
      const { id, lastInbound } = one;
      const child = this.#children.get(id);
      if (child === undefined) continue;
      this.#tellVolume(one, child);
      if (lastInbound <= child.reported + CLOCK_NOISE) continue;
      child.reported = lastInbound;
      this.input({ kind: 'inbound-traffic', childId: id, at: lastInbound });
    }
    for (const peer of this.#keepalives.take(now)) this.#deps.sendKeepalive(peer);
    this.#names.refreshDue();
    this.#log.flush(now);
  }

  /** A machine that was suspended, or a process that was stopped, learns of it only by the time that is missing. */
  #watchStandstill(now: Millis): void {
    const at = sinceBoot(this.#deps.clock);
    const missing = at - (this.#lastSecond ?? at) - TICK;
    this.#lastSecond = at;
    if (missing < STANDSTILL) return;
    this.#deps.logger.warn({ seconds: Math.round(missing / 1000) }, 'nothing ran here for some time');
    this.#tracker.stoodStill(missing, now);
  }

  /** The engine rekeys by volume; it need not hear of every packet. */
  #tellVolume(counters: ChildCounters, child: { volumeTold: number }): void {
    const { id, packetsIn, sequenceOut, bytesIn, bytesOut } = counters;
    const bytes = Math.max(bytesIn, bytesOut);
    const packets = Math.max(packetsIn, sequenceOut);
    const steps = Math.floor(bytes / VOLUME_STEP_BYTES) + Math.floor(packets / VOLUME_STEP_PACKETS);
    if (steps <= child.volumeTold) return;
    child.volumeTold = steps;
    this.input({ kind: 'traffic-volume', childId: id, bytes, packets });
  }

  /** One timer for the engine and the reconciler together. */
  #arm(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#ended) return;
    const engine = this.#deps.engine.nextDeadline();
    const reconciler = this.#closing ? undefined : this.#reconciler.nextDeadline();
    const next = Math.min(engine ?? Number.POSITIVE_INFINITY, reconciler ?? Number.POSITIVE_INFINITY);
    if (next === Number.POSITIVE_INFINITY) return;
    const wait = Math.max(next, this.#notBefore) - this.#now();
    this.#timer = setTimeout(() => this.#onTimer(), Math.min(MAX_TIMER, Math.max(1, wait)));
  }

  #onTimer(): void {
    const now = this.#now();
    const engine = this.#deps.engine.nextDeadline();
    if (engine !== undefined && engine <= now && now >= this.#notBefore) this.input({ kind: 'timer' });
    const reconciler = this.#reconciler.nextDeadline();
    if (reconciler !== undefined && reconciler <= now) this.#reconcile({ kind: 'timer' });
    this.#arm();
  }
}
