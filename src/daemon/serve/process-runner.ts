import { createHash } from 'node:crypto';
import { readdirSync } from 'node:fs';
import type { Readable } from 'node:stream';
import {
  CaptureRefused,
  type CaptureWish,
  type DesiredGateway,
  type GatewayObservation,
  type GatewayRunner,
  type StandbyObservation,
  SwitchRefused,
} from '../../api/runner.js';
import type { Explanation } from '../../connection/explain.js';
import type { GatewayFile } from '../../store/model.js';
import type { PublishEvent } from '../../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../../telemetry/events/operator-events.js';
import type { HistoryDocument, HistoryWish } from '../../telemetry/history.js';
import type { Logger } from '../../telemetry/log.js';
import { absentSnapshot } from '../../telemetry/metrics/absent.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';
import type { ControlClient } from '../control/client.js';
import { type DesiredState, encodeDesired } from '../supervised/desired-state.js';
import { captureStream } from './capture-stream.js';
import { GatewaySeats } from './gateway-seats.js';
import { KernelRoutes } from './kernel-routes.js';
import { cleanUp, endLeftover, type LaunchOptions } from './launch.js';
import { type MemberOptions, MemberProcess } from './member-process.js';
import type { RouteMove } from './route-trails.js';
import { memberOf, memberSocket, ownFolder } from './run-folder.js';
import { SpareStarts } from './spare-starts.js';
import { StallWatches } from './stall-watches.js';

/** What all gateway processes of a server have in common. */
export interface ProcessRunnerOptions {
  /** Folder of the control sockets, for this server alone. It is made with mode 0700. */
  readonly folder: string;
  /** Command line of this program: interpreter and script. */
  readonly program: readonly string[];
  /** How long gateways live on without a server. */
  readonly orphanSeconds: number;
  /** Whether gateways in policy mode have a second process that is ready to take over. */
  readonly standby: boolean;
  readonly logLevel: string;
  readonly logFormat: 'auto' | 'text' | 'json';
  readonly logger: Logger;
  readonly publish: PublishEvent;
}

/** How long a gateway runs before its standby is started. */
const SETTLE: Millis = 1000;

interface RunningGateway {
  /** Those that speak: of two the active one. */
  readonly members: readonly MemberProcess[];
  /** Undefined for one without a standby. */
  readonly seats: GatewaySeats | undefined;
  /** As people call it now. */
  name: string;
  /** By member: its metrics as long as its process gives none. */
  absent: readonly GatewaySnapshot[];
}

/** What is known of one member of a gateway, in numbers. */
export interface MemberMetrics {
  /** Of the gateway. */
  readonly id: string;
  readonly member: number;
  /** Whether its process answered. */
  readonly running: boolean;
  /** Of the active member of a gateway that has a standby. */
  readonly standby?: Pick<GatewaySeats, 'term' | 'takeovers'> & { readonly isReady: boolean };
  readonly restarts: number;
  readonly snapshot: GatewaySnapshot;
}

/**
 * Runs every member of every gateway as a process of its own, in the network namespace of its VPC. The processes
 * outlive this one: the next server finds them by their control sockets and takes them over.
 */
export class ProcessRunner implements GatewayRunner {
  #options: ProcessRunnerOptions;
  readonly #gateways = new Map<string, RunningGateway>();
  readonly #listeners = new Set<(id: string) => void>();
  readonly #spares = new SpareStarts();
  readonly #stalls: StallWatches;
  readonly routes: KernelRoutes;

  constructor(options: ProcessRunnerOptions) {
    this.#options = options;
    ownFolder(options.folder);
    const { folder: owner, logger } = options;
    const changed = (gateway: string): void => this.#tell(gateway);
    this.routes = new KernelRoutes({ owner, logger, changed, moved: (move) => this.#report(move) });
    this.#stalls = new StallWatches({ isNeeded: (gateway) => this.routes.leadsTo(gateway), changed });
  }

  async start(desired: DesiredGateway): Promise<void> {
    if (this.#gateways.has(desired.id)) return this.patch(desired);
    const { id, name } = desired;
    const absent = desired.members.map(absentSnapshot);
    const [first] = desired.members;
    if (this.#options.standby && first?.gateway.mode === 'policy') {
      const seats = this.#seatsOf(desired, first);
      this.#gateways.set(id, {
        ...{ seats, name, absent },
        get members() {
          return [seats.speaker];
        },
      });
      seats.start();
      return;
    }
    // A server before this one may have left two: of these, the one that is not followed any more might speak.
    if (first?.gateway.mode === 'policy')
      await endLeftover(memberSocket(this.#options.folder, id, 1), 'closed');
    const members = desired.members.map(
      (file, index) =>
        new MemberProcess(this.#desiredOf(desired, file, index), this.#memberOptions(desired, index)),
    );
    this.#gateways.set(id, { members, seats: undefined, name, absent });
    if (members.length > 1) this.#stalls.watch(id, members);
    for (const member of members) member.start();
  }

  #seatsOf(desired: DesiredGateway, file: GatewayFile): GatewaySeats {
    const { id } = desired;
    const marks = memberSocket(this.#options.folder, id, 0);
    return new GatewaySeats(this.#desiredOf(desired, file, 0), {
      member: (seat) => {
        const options = this.#memberOptions(desired, seat);
        return { ...options, launch: { ...options.launch, marks } };
      },
      spares: this.#spares,
      settle: SETTLE,
      changed: () => this.#tell(id),
      publish: (seat, event) => this.#memberOptions(desired, seat).publish(event),
    });
  }

  #memberOptions(desired: DesiredGateway, index: number): MemberOptions {
    const { id, vpc } = desired;
    return {
      launch: this.#launch(id, index, vpc.namespace),
      logger: this.#options.logger,
      changed: () => this.#tell(id),
      publish: (event) => {
        const name = this.#gateways.get(id)?.name ?? desired.name;
        this.#options.publish({ ...event, gateway: { id, name, member: index + 1 } });
      },
    };
  }

  async patch(desired: DesiredGateway): Promise<void> {
    const running = this.#gateways.get(desired.id);
    if (running === undefined) return this.start(desired);
    running.name = desired.name;
    running.absent = desired.members.map(absentSnapshot);
    const [first] = desired.members;
    if (running.seats !== undefined) {
      if (first !== undefined) await running.seats.patch(this.#desiredOf(desired, first, 0));
      return;
    }
    await Promise.all(
      running.members.map((member, index) => {
        const file = desired.members[index];
        return file === undefined ? undefined : member.patch(this.#desiredOf(desired, file, index));
      }),
    );
  }

  async stop(id: string): Promise<void> {
    const running = this.#gateways.get(id);
    if (running === undefined) {
      await this.#endLeftovers((one) => one === id);
      return;
    }
    if (running.seats !== undefined) await running.seats.stop();
    else await Promise.all(running.members.map((member) => member.stop()));
    this.#gateways.delete(id);
    this.routes.forget(id);
    this.#stalls.forget(id);
    this.#tell(id);
  }

  observe(id: string): GatewayObservation | undefined {
    const running = this.#gateways.get(id);
    if (running === undefined) return undefined;
    // A process that is ready is on its way to speak.
    const states = running.members.map(({ state }) => (state === 'standby' ? 'starting' : state));
    const up = states.filter((state) => state === 'running').length;
    const state =
      up === states.length
        ? 'running'
        : up > 0
          ? 'degraded'
          : states.includes('silent')
            ? 'down'
            : (['down', 'failed', 'starting'] as const).find((one) => states.includes(one))!;
    const reason = running.members.map((member) => member.reason).find((one) => one !== undefined);
    const members = running.members.map(({ status }) => status);
    const faults = running.members.map(({ fault }) => fault);
    const stalled = this.#stalls.of(id);
    const routeFaults = this.routes.faultsOf(id);
    const routeNotes = this.routes.notesOf(id);
    return {
      ...{ state, members, faults, stalled, routeFaults, routeNotes },
      ...(reason === undefined ? {} : { reason }),
      ...(running.seats === undefined ? {} : { standby: standbyOf(running.seats) }),
    };
  }

  async switch(id: string): Promise<void> {
    const seats = this.#gateways.get(id)?.seats;
    if (seats === undefined) {
      throw new SwitchRefused('the gateway has no standby on this server: see "standby" in its file');
    }
    if (!seats.switch()) {
      throw new SwitchRefused(
        'the standby is not ready, or a takeover is under way: see the health of its members',
      );
    }
  }

  explain(id: string, connection: string): Promise<readonly (Explanation | undefined)[]> {
    return this.#askMembers(id, (client) => client.explain({ name: connection }));
  }

  async capture(id: string, connection: string, wish: CaptureWish): Promise<Readable> {
    const members = this.#gateways.get(id)?.members ?? [];
    const states = members.map(
      ({ status }) => status?.connections.find((one) => one.id === connection)?.status,
    );
    const first = Math.max(0, states.indexOf('up'));
    const index = wish.member === undefined ? first : wish.member - 1;
    if (states[index] === undefined) {
      throw new CaptureRefused(
        wish.member === undefined || index < members.length
          ? 'the gateway does not run, or does not have the connection yet: see its health_reasons'
          : `the gateway has ${members.length} members, and no member ${wish.member}`,
      );
    }
    const seat = this.#gateways.get(id)?.seats?.active ?? index;
    return captureStream(memberSocket(this.#options.folder, id, seat), connection, wish);
  }

  history(
    id: string,
    connection: string,
    { step, from }: HistoryWish,
  ): Promise<readonly (HistoryDocument | undefined)[]> {
    const wish = { ...(step === undefined ? {} : { step }), ...(from === undefined ? {} : { from }) };
    return this.#askMembers(id, (client) => client.history({ name: connection, ...wish }));
  }

  /** The metrics of every member of every gateway: of one that does not answer, what is known without it. */
  async metrics(): Promise<MemberMetrics[]> {
    const all = [...this.#gateways].flatMap(([id, { members, seats, absent }]) =>
      members.map(async (one, index): Promise<MemberMetrics> => {
        const answer = await one.metrics();
        const own = { id, running: answer !== undefined, snapshot: answer ?? absent[index]! };
        if (seats === undefined) return { ...own, member: index, restarts: one.restarts };
        const { active = 0, term, takeovers } = seats;
        const [{ restarts: first }, { restarts: second }] = seats.members;
        const standby = { term, takeovers: { ...takeovers }, isReady: standbyOf(seats).isReady };
        return { ...own, member: active, restarts: first + second, standby };
      }),
    );
    return await Promise.all(all);
  }

  subscribe(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  /** How many gateways there are, and how many of them run with all members. */
  counts(): { readonly running: number; readonly total: number } {
    const ids = [...this.#gateways.keys()];
    return { running: ids.filter((id) => this.observe(id)?.state === 'running').length, total: ids.length };
  }

  /** Process ids of a gateway's members, for the operator. */
  pids(id: string): readonly number[] {
    return this.#gateways.get(id)?.members.flatMap(({ pid }) => pid ?? []) ?? [];
  }

  /** Ends processes of gateways that the store does not know, which only a server before this one can have left. */
  async sweep(known: ReadonlySet<string>): Promise<void> {
    await this.#endLeftovers((id) => !known.has(id));
  }

  /** Settings of the processes that are started from now on. */
  adjust(settings: Pick<ProcessRunnerOptions, 'orphanSeconds' | 'logLevel'>): void {
    this.#options = { ...this.#options, ...settings };
  }

  /** Lets go of all gateways: they go on, and the next server finds them. */
  async release(): Promise<void> {
    this.routes.release();
    this.#stalls.end();
    await Promise.all(
      [...this.#gateways.values()].map(({ seats, members }) =>
        seats === undefined ? Promise.all(members.map((member) => member.release())) : seats.release(),
      ),
    );
    this.#gateways.clear();
  }

  /** Stops all gateways in good order. */
  async close(): Promise<void> {
    this.#stalls.end();
    this.routes.remove();
    const results = await Promise.allSettled([...this.#gateways.keys()].map((id) => this.stop(id)));
    for (const result of results) {
      if (result.status === 'rejected') this.#options.logger.error(oneLine(result.reason));
    }
  }

  /** The answers of all members, in their order. */
  #askMembers<T>(id: string, ask: (client: ControlClient) => Promise<T>): Promise<(T | undefined)[]> {
    const members = this.#gateways.get(id)?.members ?? [];
    return Promise.all(members.map((member) => member.ask(ask)));
  }

  #desiredOf(desired: DesiredGateway, file: GatewayFile, index: number): DesiredState {
    const { id } = desired;
    const { control } = this.#launch(id, index, undefined);
    const gateway = { ...file.gateway, interface: deviceName(id, index), control };
    return encodeDesired({ ...file, gateway });
  }

  #launch(id: string, index: number, namespace: string | undefined): LaunchOptions {
    const { folder, logger: _, publish: __, standby: ___, ...common } = this.#options;
    const control = memberSocket(folder, id, index);
    return { id, control, ...common, ...(namespace === undefined ? {} : { namespace }) };
  }

  async #endLeftovers(chosen: (id: string) => boolean): Promise<void> {
    const left = new Map<string, LaunchOptions>();
    for (const name of readdirSync(this.#options.folder)) {
      const member = memberOf(name);
      if (member === undefined || !chosen(member.id)) continue;
      const launch = this.#launch(member.id, member.index, undefined);
      left.set(launch.control, launch);
    }
    await Promise.all(
      [...left.values()].map(async (launch) => {
        await endLeftover(launch.control);
        await cleanUp(launch);
      }),
    );
  }

  #report({ gateway: id, route, name, ...move }: RouteMove): void {
    const running = this.#gateways.get(id);
    const membersOf = (devices: readonly string[]): number[] =>
      (running?.members ?? []).flatMap((_, index) => {
        const own = deviceName(id, index);
        return devices.some((device) => device.startsWith(own)) ? index + 1 : [];
      });
    const [from, to] = [membersOf(move.from), membersOf(move.to)];
    const event = describeOperatorEvent({ kind: 'route-moved', route, name, from, to });
    this.#options.logger[event.level === 'warn' ? 'warn' : 'info']({ gateway_id: id, route }, event.message);
    this.#options.publish({ ...event, gateway: { id, name: running?.name ?? id } });
  }

  #tell(id: string): void {
    for (const listener of this.#listeners) listener(id);
  }
}

function standbyOf({ active = 0, standby: { state, fault } }: GatewaySeats): StandbyObservation {
  const isReady = state === 'standby';
  return { active, isReady, ...(isReady || fault === undefined ? {} : { fault }) };
}

/**
 * A name of a network device, which has 15 octets at most and is the same at every start. It holds no digits: further
 * devices of a route mode gateway have numbers after it.
 */
function deviceName(id: string, index: number): string {
  const digest = createHash('sha256').update(id).digest('hex').slice(0, 8);
  const letters = digest.replace(/[0-9]/g, (digit) => 'ghijklmnop'[Number(digit)]!);
  return `cv${letters}${'ab'[index] ?? 'z'}`;
}
