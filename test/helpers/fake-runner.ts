import { Readable } from 'node:stream';
import {
  CaptureRefused,
  type CaptureWish,
  type DesiredGateway,
  type GatewayFault,
  type GatewayObservation,
  type GatewayRunner,
  type RoutedVpc,
  type RouteState,
  type RouteTrail,
  type StandbyObservation,
  SwitchRefused,
  type VpcRoutes,
} from '../../src/api/runner.js';
import { type Explanation, explain } from '../../src/connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import { decodeDesired, encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import type { HistoryDocument, HistoryWish } from '../../src/telemetry/history.js';

/** Whatever the server wants of a gateway, the gateway's process must take. @throws ControlError */
function checkWireForm({ members }: DesiredGateway): void {
  for (const file of members) {
    const gateway = { ...file.gateway, interface: 'culvert0', control: '/run/culvert/control.sock' };
    const sent = JSON.stringify(encodeDesired({ ...file, gateway }));
    decodeDesired(JSON.parse(sent)).discard();
  }
}

/** Lays no routes: remembers what was asked for, and refuses what a test says. */
export class FakeRoutes implements VpcRoutes {
  vpcs: readonly RoutedVpc[] = [];
  /** How often that was asked for. */
  arrangements = 0;
  readonly refused = new Map<string, string>();
  readonly trails = new Map<string, RouteTrail>();

  arrange(vpcs: readonly RoutedVpc[]): void {
    this.vpcs = vpcs;
    this.arrangements++;
  }

  stateOf(id: string): RouteState | undefined {
    const message = this.refused.get(id);
    if (message !== undefined) return { state: 'refused', message };
    const routes = this.vpcs.flatMap(({ tables }) => tables.flatMap((table) => table.routes));
    const found = routes.find(({ ids, way }) => ids.includes(id) && !('unknown' in way));
    return found === undefined ? undefined : { state: 'laid' };
  }

  trailOf(id: string): RouteTrail | undefined {
    return this.trails.get(id);
  }
}

/** A runner that runs nothing: remembers what it was told, and observes what a test says. */
export class FakeRunner implements GatewayRunner {
  readonly routes = new FakeRoutes();
  /** Routes that are refused, by gateway. */
  readonly routeFaults = new Map<string, readonly string[]>();
  readonly desired = new Map<string, DesiredGateway>();
  readonly calls: string[] = [];
  /** State that a gateway has as soon as it is started. */
  startsAs: GatewayObservation['state'] = 'running';
  /** Resolves before a stop is done. */
  stopping: Promise<void> = Promise.resolve();
  failNext: string | undefined;
  /** Of gateways that have one. */
  readonly standbys = new Map<string, StandbyObservation>();
  readonly #states = new Map<string, GatewayObservation['state']>();
  readonly #faults = new Map<string, GatewayFault>();
  readonly #connections = new Map<string, Partial<ConnectionStatusDocument>>();
  readonly #tunnels = new Map<string, Partial<ConnectionStatusDocument>>();
  readonly #histories = new Map<string, (wish: HistoryWish) => HistoryDocument>();
  readonly #listeners = new Set<(id: string) => void>();

  async start(desired: DesiredGateway): Promise<void> {
    this.#call('start', desired.id);
    checkWireForm(desired);
    this.desired.set(desired.id, desired);
    this.#states.set(desired.id, this.startsAs);
  }

  async patch(desired: DesiredGateway): Promise<void> {
    this.#call('patch', desired.id);
    checkWireForm(desired);
    this.desired.set(desired.id, desired);
  }

  async stop(id: string): Promise<void> {
    this.#call('stop', id);
    await this.stopping;
    this.desired.delete(id);
    this.#states.delete(id);
  }

  observe(id: string): GatewayObservation | undefined {
    const state = this.#states.get(id);
    const desired = this.desired.get(id);
    if (state === undefined || desired === undefined) return undefined;
    const members = desired.members.map(
      (file, member): StatusDocument => ({
        gateway: {
          name: file.gateway.name,
          mode: file.gateway.mode,
          address: file.gateway.address,
          interface: 'culvert0',
          data_plane: 'portable',
          raw_esp: true,
          version: '0',
          started_at: '2026-01-01T00:00:00Z',
          drops: {},
        },
        connections: file.connections.map((one) => ({
          id: one.id,
          name: one.name,
          status: 'down',
          admin_state_up: one.adminStateUp,
          establish_mode: one.establishMode,
          peer: one.peer.address ?? one.peer.fqdn ?? '',
          ike: null,
          children: [],
          status_reasons: [],
          advisories: [],
          ...this.#connections.get(one.id),
          ...this.#tunnels.get(`${one.id} ${member}`),
        })),
      }),
    );
    const standby = this.standbys.get(id);
    const seen = state === 'running' ? members : members.map(() => undefined);
    return {
      state,
      members: state === 'degraded' ? [members[0], undefined] : seen,
      routeFaults: this.routeFaults.get(id) ?? [],
      ...(standby === undefined ? {} : { standby }),
      faults: desired.members.map((_, index) => this.#faults.get(`${id} ${index}`)),
    };
  }

  async explain(id: string, connection: string): Promise<readonly (Explanation | undefined)[]> {
    const time = { now: 0, toUtc: (at: number) => new Date(at).toISOString() };
    return (this.observe(id)?.members ?? []).map((member) => {
      const status = member?.connections.find((one) => one.id === connection);
      return status && explain(status, [], time);
    });
  }

  /** What every member that runs answers. */
  setHistory(connection: string, history: (wish: HistoryWish) => HistoryDocument): void {
    this.#histories.set(connection, history);
  }

  async history(id: string, connection: string, wish: HistoryWish) {
    const history = this.#histories.get(connection);
    return (this.observe(id)?.members ?? []).map((member) => member && history?.(wish));
  }

  async capture(id: string, connection: string, wish: CaptureWish): Promise<Readable> {
    this.#call('capture', id);
    if (wish.member === 2) throw new CaptureRefused('a capture runs already');
    return Readable.from([Buffer.from(`${connection} `), Buffer.from(JSON.stringify(wish))]);
  }

  async switch(id: string): Promise<void> {
    this.#call('switch', id);
    const standby = this.standbys.get(id);
    if (standby?.isReady !== true) throw new SwitchRefused('the standby is not ready');
    this.standbys.set(id, { active: standby.active === 0 ? 1 : 0, isReady: false });
  }

  subscribe(listener: (id: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setState(id: string, state: GatewayObservation['state']): void {
    this.#states.set(id, state);
    for (const listener of this.#listeners) listener(id);
  }

  /** Why a member that gives no status does not. */
  setFault(id: string, member: number, fault: GatewayFault): void {
    this.#faults.set(`${id} ${member}`, fault);
  }

  setConnection(id: string, status: Partial<ConnectionStatusDocument>): void {
    this.#connections.set(id, status);
    for (const gateway of this.#states.keys()) for (const listener of this.#listeners) listener(gateway);
  }

  /** What one member says of a connection that differs from what all say. */
  setTunnel(connection: string, member: number, status: Partial<ConnectionStatusDocument>): void {
    this.#tunnels.set(`${connection} ${member}`, status);
    for (const gateway of this.#states.keys()) for (const listener of this.#listeners) listener(gateway);
  }

  #call(what: string, id: string): void {
    this.calls.push(`${what} ${id}`);
    const failure = this.failNext;
    this.failNext = undefined;
    if (failure !== undefined) throw new Error(failure);
  }
}
