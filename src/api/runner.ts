import type { Readable } from 'node:stream';
import type { Explanation } from '../connection/explain.js';
import type { StatusDocument } from '../connection/status.js';
import type { GatewayFile } from '../store/model.js';
import type { Vpc } from '../store/site.js';
import type { HistoryDocument, HistoryWish } from '../telemetry/history.js';
import { OperatorError } from '../util/operator-error.js';

/**
 * The seam between the API and what runs gateways: a supervisor of processes in a server, a fake in tests. The
 * lifecycle controller is its only caller, one call at a time for a gateway.
 */
export interface GatewayRunner {
  /**
   * Brings the gateway up, with all its members that have an address. Resolves when that is under way; how it goes
   * on is reported by `observe`. Called once for each gateway when the server starts, too.
   */
  start(desired: DesiredGateway): Promise<void>;
  /** Brings a started gateway to another desired state by the smallest action. */
  patch(desired: DesiredGateway): Promise<void>;
  /** Resolves when nothing of the gateway is left: process, TUN device, routes, address. Unknown ids are no error. */
  stop(id: string): Promise<void>;
  /** What is known of the gateway now; undefined when it was not started. */
  observe(id: string): GatewayObservation | undefined;
  /**
   * Asks every member of a gateway about a connection, by its id. In member order; undefined for a member that does
   * not run, does not answer, or does not know the connection.
   */
  explain(id: string, connection: string): Promise<readonly (Explanation | undefined)[]>;
  /** How a connection has fared lately, likewise. */
  history(
    id: string,
    connection: string,
    wish: HistoryWish,
  ): Promise<readonly (HistoryDocument | undefined)[]>;
  /**
   * Captures packets of a connection, by its id, as a pcapng file; destroying the stream ends it.
   * @throws CaptureRefused when no member can
   */
  capture(id: string, connection: string, wish: CaptureWish): Promise<Readable>;
  /**
   * Lets the standby member of a policy mode gateway take over. Resolves when it speaks, or is about to: `observe` says
   * who does.
   * @throws SwitchRefused when none is ready
   */
  switch(id: string): Promise<void>;
  /** Calls the listener when an observation may have changed. Returns the way to stop. */
  subscribe(listener: (id: string) => void): () => void;
  /** The routing of VPCs in the same network namespaces. */
  readonly routes: VpcRoutes;
}

/** What a capture takes, and its bounds; what is left out is as `culvert capture` has it. No keys come this way. */
export interface CaptureWish {
  readonly seconds?: number;
  /** Octets of the file. */
  readonly bytes?: number;
  /** Octets that are kept of a packet. */
  readonly snap?: number;
  readonly inner?: boolean;
  readonly dropped?: boolean;
  /** From 1; the one whose connection is up when it is left out. */
  readonly member?: number;
}

/** Why there is no capture, in a sentence that says what to do, too. */
export class CaptureRefused extends OperatorError {
  override readonly name = 'CaptureRefused';

  constructor(what: string) {
    super({ what });
  }
}

/** Why the standby does not take over, in a sentence for the operator. */
export class SwitchRefused extends OperatorError {
  override readonly name = 'SwitchRefused';

  constructor(what: string) {
    super({ what });
  }
}

/** What makes packets in the network namespaces of VPCs follow the routing tables of the API. */
export interface VpcRoutes {
  /**
   * Brings the namespaces to this: what is missing is laid, what is of no table any more is taken away. Called with
   * the routing of all VPCs whenever it may have changed; what is refused is tried again without a further call.
   */
  arrange(vpcs: readonly RoutedVpc[]): void;
  /** Of a route that the last call to `arrange` asked for; undefined for any other. */
  stateOf(route: string): RouteState | undefined;
  /** How packets by a route to a connection go, of every route that the last call named, skipped or not. */
  trailOf(route: string): RouteTrail | undefined;
}

/** Which TUN devices a route leads through, and when that last changed. */
export interface RouteTrail {
  /** Those that carry its packets now: several where they are distributed, none while it is not in force. */
  readonly devices: readonly string[];
  /** When that last changed, in milliseconds since 1970; undefined when it has not since this server started. */
  readonly movedAt: number | undefined;
  /** Changes since this server started, from one tunnel to another or to none. */
  readonly moves: number;
}

/** Whether a route is in force, or why it is not. */
export type RouteState = { readonly state: 'laid' } | { readonly state: 'refused'; readonly message: string };

/** The routing of one VPC, in the terms of this host. */
export interface RoutedVpc {
  readonly vpc: Vpc;
  /** Addresses of its gateways: packets from there are the tunnels themselves, and no table is for them. */
  readonly gateways: readonly string[];
  readonly tables: readonly RoutedTable[];
}

/** A routing table, as far as it is for the subnets of one zone. */
export interface RoutedTable {
  /** Another one for each table and zone, and always the same. */
  readonly key: string;
  /** Networks of the subnets that it is attached to: it is for packets from there. */
  readonly sources: readonly string[];
  readonly routes: readonly RoutedRoute[];
  /** Ids of routes that are not in force, since their tunnels are down. */
  readonly skipped: readonly string[];
}

/** A route as it is to be in force now. */
export interface RoutedRoute {
  /** Ids of the API's routes that it is: several where the next hops of two are used in turn. */
  readonly ids: readonly string[];
  /** For messages: `route a of table b`. */
  readonly name: string;
  /** The gateway whose connection is the next hop. */
  readonly gateway?: string;
  readonly destination: string;
  /** The lowest wins; of one network there is one route with a metric. */
  readonly metric: number;
  readonly way: RoutedWay;
}

/**
 * Where a route leads: through a TUN device, over several at once, to the addresses of routers, to nowhere silently
 * (`drop`) or with an ICMP error (`refuse`), to where the namespace itself leads (`delegate`), or there unless that is
 * its default route (`delegate_vpc`). `unknown`: its tunnels have not been seen yet, and what a server before this one
 * has laid stays.
 */
export type RoutedWay =
  | RoutedDevice
  | { readonly spread: RoutedSpread }
  | { readonly routers: readonly string[] }
  | { readonly rule: 'drop' | 'refuse' | 'delegate' | 'delegate_vpc' }
  | { readonly unknown: true };

/** Through one TUN device at a time. */
export interface RoutedDevice {
  readonly device: string;
  /** The device that the kernel takes by itself as soon as the first is gone. */
  readonly standby?: string;
  /** Not every tunnel has been seen yet: a way that a server before this one has laid stays. */
  readonly sought?: true;
}

/** Over the TUN devices of a connection at once: each flow keeps to one of them. */
export interface RoutedSpread {
  /** The connection, whose routes have their tunnels in common. */
  readonly connection: string;
  /** By tunnel, always in the same order; null for one that is down, whose flows the others take. At least one is up. */
  readonly devices: readonly (string | null)[];
  /** Not every tunnel has been seen yet: what a server before this one has laid for those stays. */
  readonly sought?: true;
}

/** A gateway as it is to be. Keys are in it as `SecretKey`, which no deep comparison looks into. */
export interface DesiredGateway {
  readonly id: string;
  readonly name: string;
  /** The VPC whose network namespace it runs in. */
  readonly vpc: Vpc;
  /** Network of the subnet it is in. */
  readonly subnetCidr: string;
  /**
   * What each member runs, in member order: one in policy mode, two in route mode. Names of policies in it are their
   * ids, so that a new name of one is no change; `gateway.interface` and `gateway.control` are defaults, which the
   * runner replaces by its own.
   */
  readonly members: readonly GatewayFile[];
}

/** What a runner sees of a gateway: the state of its processes and, by member, their status or why there is none. */
export interface GatewayObservation {
  /**
   * `starting`: not yet listening for the first time. `running`: every member listens. `degraded`: some do.
   * `down`: none does; it was running and is being restarted, or does not answer. `failed`: it cannot be started.
   */
  readonly state: 'starting' | 'running' | 'degraded' | 'down' | 'failed';
  /** In member order; undefined for a member that gives no status now. */
  readonly members: readonly (StatusDocument | undefined)[];
  /** Of a gateway in policy mode that has a standby. */
  readonly standby?: StandbyObservation;
  /** Why it is not running, in a sentence for the operator. */
  readonly reason?: string;
  /** In member order: why a member gives no status; undefined for one that does. */
  readonly faults?: readonly (GatewayFault | undefined)[];
  /** In member order: whether its process has not given a sign of life for some hundred milliseconds. */
  readonly stalled?: readonly boolean[];
  /** Routes to its connections that this host refuses: a sentence for each. */
  readonly routeFaults?: readonly string[];
  /** Settings of this host that keep such traffic from being distributed, or its answers from passing, likewise. */
  readonly routeNotes?: readonly string[];
}

/**
 * The two members of a gateway in policy mode: one is active, and `GatewayObservation.members` has its status alone; the
 * other is ready to take over, or not.
 */
export interface StandbyObservation {
  /** The member that is active, from 0. */
  readonly active: 0 | 1;
  readonly isReady: boolean;
  /** Why it is not ready, where that is known. */
  readonly fault?: GatewayFault;
}

/** Why a member of a gateway is not there. */
export interface GatewayFault {
  /**
   * `starting`: it is being started. `address`: the gateway's address cannot be had. `start`: it cannot be started for
   * another reason. `ended`: it ran, ended by itself and is started again. `silent`: it runs and does not answer.
   */
  readonly kind: 'starting' | 'address' | 'start' | 'ended' | 'silent';
  /** A sentence for the operator. */
  readonly message?: string;
}
