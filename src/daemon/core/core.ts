import type { ConnectionNames } from '../../connection/connection-names.js';
import type { CarriedRoute, ConnectionProblem } from '../../connection/document.js';
import { SaLedger, type SaView } from '../../connection/ledger.js';
import type { ConnectionPlan } from '../../connection/plan.js';
import { ConnectionTracker } from '../../connection/tracker.js';
import type { TrafficTotals } from '../../connection/traffic-totals.js';
import type { ChildCounters } from '../../dataplane/dataplane.js';
import type { EngineConfig } from '../../ike/config.js';
import type { IkeEvent } from '../../ike/events.js';
import type { Input } from '../../ike/inputs.js';
import type { Output } from '../../ike/outputs.js';
import type { GatewayConnection } from '../../store/model.js';
import { DEFAULTS } from '../../store/schema.js';
import { EventLines } from '../../telemetry/event-lines.js';
import { EventLog } from '../../telemetry/event-log.js';
import type { PublishEvent } from '../../telemetry/events/event-document.js';
import { EventHub, HUB_LIMITS } from '../../telemetry/events/event-hub.js';
import { EventStream } from '../../telemetry/events/event-stream.js';
import type { HistoryDocument, HistoryWish } from '../../telemetry/history.js';
import type { Logger } from '../../telemetry/log.js';
import type { GatewayCounts } from '../../telemetry/metrics/gateway-samples.js';
import type { ChildId, ConnectionId, DeviceNumber } from '../../util/ids.js';
import type { Endpoint, IpBytes } from '../../util/ip.js';
import type { Random } from '../../util/random.js';
import type { Millis } from '../../util/units.js';
import type { IkeTap } from '../capture/ike-tap.js';
import type { ConnectionDevices } from '../host/devices.js';
import { connectionTo } from '../host/network.js';
import { type Clock, utcText } from '../system/clock.js';
import type { Resolve } from '../system/names-service.js';
import { ConfigInForce, type CoreConfig } from './config-in-force.js';
import type { Effects } from './effects.js';
import { EngineDriver, type EngineLike } from './engine-driver.js';
import { EventBus } from './event-bus.js';
import { Keepalives } from './keepalives.js';
import { isElsewhere, PeerNames, unresolvedAttempt } from './peer-names.js';
import { type Orders, ReconcilerDriver } from './reconciler-driver.js';
import { ConnectionSampler } from './sampler.js';
import { StatusEvents } from './status-events.js';
import { Statuses } from './statuses.js';
import { TrafficReports } from './traffic-reports.js';
import { Upkeep } from './upkeep.js';
import { Watchers } from './watchers.js';

/** What the core is made of, beside the configuration it starts with. */
export interface CoreDeps extends CoreConfig {
  readonly engine: EngineLike;
  readonly effects: Effects;
  /** Hears of every IKE message that arrives. */
  readonly tap: IkeTap;
  /** Those of the configuration in force: the core keeps them so. */
  readonly names: ConnectionNames;
  /** Counters of every child SA in the packet path. */
  counters(): readonly ChildCounters[];
  /** Those of one child SA. */
  countersOf(child: ChildId): ChildCounters | undefined;
  /** Told by the packet path what is removed from it. */
  readonly totals: TrafficTotals;
  readonly counts: GatewayCounts;
  readonly devices: Pick<ConnectionDevices, 'nameOf' | 'connectionOf'>;
  readonly clock: Clock;
  readonly random: Random;
  readonly logger: Logger;
  readonly resolve: Resolve;
  /** How the networks in the `routes` of a connection are carried. */
  readonly routesOf?: (connection: ConnectionId) => readonly CarriedRoute[];
  /** Called at the end of a step in which the status of a connection became another one. */
  readonly statusChanged?: (connection: ConnectionId) => void;
}

/**
 * The heart of the daemon: what is wanted goes to the engine, and what it reports to status, log and reconciler, whose
 * commands go back to it. Everything happens on one thread, one input after the other.
 */
export class GatewayCore {
  /** Who waits for a change of status. */
  readonly watchers: Watchers;
  readonly statuses: Statuses;
  /** What happens here, for who follows it. */
  readonly events: EventHub;
  readonly #deps: CoreDeps;
  readonly #config: ConfigInForce;
  readonly #peerNames: PeerNames;
  readonly #ledger = new SaLedger();
  /** For who looks at all connections. */
  readonly tracker: ConnectionTracker;
  readonly #lines: EventLines;
  readonly #statusEvents: StatusEvents;
  readonly #bus: EventBus;
  readonly #driver: EngineDriver;
  readonly #reconciler: ReconcilerDriver;
  readonly #upkeep: Upkeep;
  readonly #sampler: ConnectionSampler;
  /** Called after each step. */
  #stepDone: () => void = () => undefined;

  constructor(deps: CoreDeps) {
    const { clock, effects, logger, names, random, resolve } = deps;
    this.#deps = deps;
    this.tracker = new ConnectionTracker(this.#ledger, (at) => utcText(clock, at));
    this.events = new EventHub(HUB_LIMITS.gateway, () => clock.epoch + clock.now());
    this.#lines = new EventLines([new EventLog(logger), new EventStream(this.publish)], names);
    const peerNames = new PeerNames({
      resolve,
      family: deps.file.gateway.address.includes(':') ? 6 : 4,
      now: () => clock.now(),
      changed: (connection, fqdn, addresses) => this.#peerResolved(connection, fqdn, addresses),
    });
    this.#peerNames = peerNames;
    this.#config = new ConfigInForce(deps, () => peerNames.addresses());
    this.#reconciler = new ReconcilerDriver({
      ...{ random, ledger: this.#ledger, clock, peerNames },
      orders: this.#orders(),
    });
    this.statuses = new Statuses({
      ...{ tracker: this.tracker, config: this.#config, reconciler: this.#reconciler, clock, logger },
      ...{ devices: deps.devices, names, routesOf: deps.routesOf },
      counters: () => deps.counters(),
      countersOf: (child) => deps.countersOf(child),
    });
    this.watchers = new Watchers({
      revision: () => this.tracker.revision,
      status: (connection) => this.statuses.of(connection),
      failures: (connection) => this.#reconciler.view(connection)?.failures ?? 0,
    });
    this.#sampler = new ConnectionSampler({
      ...{ totals: deps.totals, clock },
      standing: (connection) => this.statuses.standing(connection),
    });
    const { statuses, publish } = this;
    this.#statusEvents = new StatusEvents({ statuses, names, publish, changed: deps.statusChanged });
    const keepalives = new Keepalives(this.#ledger);
    const reports = new TrafficReports(this.#ledger);
    this.#bus = new EventBus({
      ledger: this.#ledger,
      state: [keepalives],
      records: [
        ...[this.tracker, deps.totals, deps.counts],
        ...[this.#lines, this.#statusEvents, this.watchers, this.#sampler],
      ],
      actors: [this.#reconciler],
      settled: [() => this.#statusEvents.settle(), () => this.watchers.notify(), () => this.#stepDone()],
    });
    this.#driver = new EngineDriver({
      ...{ engine: deps.engine, effects, clock, logger },
      publish: (events) => this.#publish(events),
      sleeper: this.#reconciler,
    });
    this.#upkeep = new Upkeep({
      ...{ clock, logger, tracker: this.tracker, reports, keepalives, peerNames, lines: this.#lines },
      ...{ totals: deps.totals, sampler: this.#sampler },
      counters: () => deps.counters(),
      input: (input) => this.input(input),
      sendKeepalive: (remote) => effects.sendKeepalive(remote),
    });
  }

  /** Which SAs are established. */
  get sas(): SaView {
    return this.#ledger;
  }

  /** The addresses that the peer of a connection is configured or resolved with. */
  peerAddresses(connection: ConnectionId): readonly string[] {
    const address = this.#config.find(connection)?.peer.address;
    return address === undefined ? (this.#peerNames.addresses().get(connection) ?? []) : [address];
  }

  get connections(): readonly GatewayConnection[] {
    return this.#config.connections;
  }

  /** Configures the engine and begins with what the configuration wants. */
  start(): void {
    this.#takeOver(this.#deps);
    this.#upkeep.start();
  }

  /**
   * Goes over to another configuration by the steps of its plan. Connections that are not in the plan are not
   * touched.
   */
  reload(config: CoreConfig, plans: readonly ConnectionPlan[]): void {
    this.#takeOver(config);
    for (const { id: connection, steps } of plans) {
      if (this.#config.isStopped(connection)) continue;
      for (const step of steps) {
        if (step.kind === 'cover') this.input({ kind: 'initiate', connection });
        else if (step.kind !== 'renew') this.#reconciler.handle({ kind: step.kind, connection });
        else if (step.scope === 'connection') this.#reconciler.handle({ kind: 'renew', connection });
        else this.input({ kind: 'renew', connection, scope: step.scope });
      }
    }
  }

  /** Publishes what happens to this gateway. */
  readonly publish: PublishEvent = (event) =>
    this.events.publish({ ...event, gateway: { name: this.#config.gatewayName } });

  /** What this host lacks for the traffic of connections; replaces what was said before. */
  setProblems(problems: ReadonlyMap<ConnectionId, readonly ConnectionProblem[]>): void {
    this.statuses.setProblems(problems);
    this.#statusEvents.configure(this.#config.connections);
    this.#statusEvents.settle();
  }

  /** The configuration as the engine's terms have it, with the addresses that are known now. */
  engineConfig(config: CoreConfig): EngineConfig {
    return this.#config.engineConfig(config);
  }

  /** One input of the engine, with all that follows from it. */
  input(input: Input): void {
    if (input.kind === 'datagram') this.#deps.tap.listener?.received(input);
    this.#driver.input(input);
  }

  /** Carries out outputs of the engine that had to wait for a standby. */
  release(outputs: readonly Output[]): void {
    this.#driver.release(outputs);
  }

  /** A packet for this address found no SA that may send; `device` is the number of the device it came from. */
  acquire(destination: IpBytes, device: DeviceNumber): void {
    const owner = this.#deps.devices.connectionOf(device);
    const found =
      owner === undefined ? connectionTo(destination, this.#config.connections) : this.#config.find(owner);
    if (found?.adminStateUp !== true) return;
    // A connection that is up may lack the child SA of these networks only.
    if (this.#reconciler.view(found.id)?.state === 'up')
      this.input({ kind: 'acquire', connection: found.id, destination });
    else this.#reconciler.handle({ kind: 'acquire', connection: found.id });
  }

  /** An authentic ESP packet came from elsewhere (RFC 7296 §2.23). */
  peerMoved(childId: ChildId, from: Endpoint): void {
    this.input({ kind: 'esp-moved', childId, from });
  }

  /** The kernel refused to send an IKE message. */
  sendFailed(to: Endpoint, code: string, message: string): void {
    this.tracker.sendFailed(to, code, message, this.#deps.clock.now());
  }

  /** How a connection has fared lately; undefined when it is not configured. */
  history(connection: ConnectionId, wish: HistoryWish): HistoryDocument | undefined {
    return this.#sampler.history(connection, this.#deps.names.nameOf(connection), wish);
  }

  up(connection: ConnectionId): void {
    this.#reconciler.handle({ kind: 'up', connection });
  }

  down(connection: ConnectionId): void {
    this.#reconciler.handle({ kind: 'down', connection });
  }

  /** Deletes all SAs at their peers; resolves when they have answered, or after `patience`. */
  async shutdown(patience: Millis): Promise<void> {
    this.#reconciler.end();
    this.input({ kind: 'shutdown' });
    await this.#farewell(patience, () => this.#ledger.ikeCount === 0);
    this.stop();
  }

  /**
   * Ends for a process that takes over at once. It calls the peers with INITIAL_CONTACT (RFC 7296 §2.4), by which they
   * drop the SAs that are left; a peer that has to initiate itself is informed by a DELETE.
   */
  async handOver(patience: Millis): Promise<void> {
    this.#reconciler.end();
    const calling = this.#config.connections.filter(({ establishMode }) => establishMode === 'peer_only');
    for (const { id } of calling) this.input({ kind: 'terminate', connection: id });
    if (calling.length > 0) await this.#farewell(patience, () => calling.every(({ id }) => this.#isGone(id)));
    this.stop();
  }

  #isGone(connection: ConnectionId): boolean {
    return this.#ledger.of(connection).ikes.size === 0;
  }

  /** No more timers, and what the log held back is written. */
  stop(): void {
    this.#reconciler.end();
    this.#driver.end();
    this.#peerNames.close();
    this.#deps.effects.end();
    this.#upkeep.stop();
    this.#lines.flush(Number.POSITIVE_INFINITY);
  }

  /** Resolves when those are gone and every DELETE is answered, or after `patience`. */
  #farewell(patience: Millis, areGone: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const end = (): void => {
        clearTimeout(timer);
        resolve();
      };
      const timer = setTimeout(end, patience);
      this.#stepDone = () => {
        if (areGone() && this.#deps.engine.closing !== true) end();
      };
      this.#stepDone();
    });
  }

  #takeOver(config: CoreConfig): void {
    this.#config.replace(config);
    this.#deps.names.configure(this.#config.connections);
    this.#deps.totals.configure(this.#config.connections);
    this.#sampler.configure(this.#config.connections);
    this.#peerNames.configure(this.#config.hostNames());
    const { connections } = this.#configure();
    this.#reconciler.handle({ kind: 'configure', connections });
    // As responder, too, a peer is found by its address.
    this.#peerNames.refreshDue();
  }

  /** Gives status and engine the configuration as it is now. @returns it without what an operator holds down */
  #configure(): EngineConfig {
    const { wanted, effective, tracked } = this.#config.views();
    this.tracker.configure(tracked);
    this.#statusEvents.configure(this.#config.connections);
    this.input({ kind: 'configure', config: effective });
    return wanted;
  }

  #publish(events: readonly IkeEvent[]): void {
    this.#bus.publish(events, this.#deps.clock.now());
  }

  #orders(): Orders {
    return {
      initiate: (connection) => this.input({ kind: 'initiate', connection }),
      renew: (connection) => this.input({ kind: 'renew', connection, scope: 'connection' }),
      terminate: (connection) => this.#driver.enqueue({ kind: 'terminate', connection }),
      setStopped: (connection, stopped) => {
        this.#config.setStopped(connection, stopped);
        this.#configure();
      },
      unresolved: (connection, problem) => this.#unresolved(connection, problem),
      done: () => {
        this.#driver.drain();
        this.watchers.notify();
      },
    };
  }

  #unresolved(connection: ConnectionId, problem: string): void {
    const { fqdn, port } = this.#config.find(connection)?.peer ?? {};
    const host = fqdn ?? this.#deps.names.nameOf(connection);
    this.#publish([unresolvedAttempt(connection, host, port ?? DEFAULTS.peerPort, problem)]);
    this.#driver.arm();
  }

  /** A peer's host name has other addresses: the engine learns them, and SAs with the old ones move. */
  #peerResolved(connection: ConnectionId, fqdn: string, addresses: readonly string[]): void {
    if (this.#reconciler.ended) return;
    const { names, logger } = this.#deps;
    const line = { connection: names.nameOf(connection), fqdn, addresses };
    logger.info(line, `${fqdn} is ${addresses.join(', ')}`);
    this.#deps.effects.peerResolved(addresses);
    this.#configure();
    const { ikes } = this.#ledger.of(connection);
    const left = [...ikes.values()].some((ike) => isElsewhere(ike, addresses));
    const waits = this.#reconciler.view(connection)?.state === 'due';
    if (left) this.#reconciler.handle({ kind: 'renew', connection });
    else if (waits) this.#reconciler.handle({ kind: 'retry', connection });
  }
}
