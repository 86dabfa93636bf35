import type { GatewayConnection } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import { familyOf } from '../../util/ip.js';
import { oneLine } from '../../util/operator-error.js';
import type { Millis } from '../../util/units.js';
import type { DeviceGroup } from './network.js';
import {
  NextHopGroups,
  type NextHopTable,
  numberGroups,
  type PlannedGroup,
  type WantedPlace,
} from './next-hop-groups.js';
import { RouteRealm } from './route-realm.js';

/** Networks that several connections name in `routes`, with those connections in their order. */
export function sharedNetworks(
  connections: readonly GatewayConnection[],
): ReadonlyMap<string, readonly GatewayConnection[]> {
  const all = new Map<string, GatewayConnection[]>();
  for (const connection of connections) {
    if (!connection.adminStateUp) continue;
    for (const network of connection.routes) all.set(network, [...(all.get(network) ?? []), connection]);
  }
  return new Map([...all].filter(([, sharers]) => sharers.length > 1));
}

/** IP versions of the networks that are distributed over several connections while these are up. */
export function distributedFamilies(connections: readonly GatewayConnection[]): (4 | 6)[] {
  const families = [...sharedNetworks(connections)]
    .filter(([, sharers]) => sharers.filter(({ distributeTraffic }) => distributeTraffic).length > 1)
    .map(([network]) => familyOf(network));
  return [...new Set(families)];
}

/** How a network that several connections name is carried now. */
interface Carriage {
  /** Those whose tunnels carry it, in the order of the file; the first has its route. */
  readonly carriers: readonly ConnectionId[];
  /** All that share it while they are up, where it is distributed: each has its place, whether it is up or not. */
  readonly places: readonly ConnectionId[];
}

/**
 * Of several connections that name one network the first that is up carries it, in the order of the file; where that one
 * distributes traffic all that are up and distribute it, too. While none is up the first keeps it, so that it does not
 * go elsewhere.
 */
function carriageOf(
  sharers: readonly GatewayConnection[],
  isUp: (connection: ConnectionId) => boolean,
): Carriage {
  const up = sharers.filter(({ id }) => isUp(id));
  const first = up[0] ?? sharers[0]!;
  const places = sharers.filter(({ distributeTraffic }) => distributeTraffic).map(({ id }) => id);
  if (up.length === 0 || !first.distributeTraffic || places.length < 2) {
    return { carriers: [first.id], places: [] };
  }
  return { carriers: places.filter(isUp), places };
}

/** What routes that connections share are made with. */
export interface SharedRoutesOptions {
  readonly hops: NextHopTable;
  /** The gateway's TUN device, by which its next hops are distinguished from those of others. */
  readonly device: string;
  /** Milliseconds on the clock of the process. */
  readonly now: () => Millis;
  /** Takes why traffic is not distributed, when it is another reason than before. */
  readonly refused: (error: unknown) => void;
  /** Takes who carries a network now, when it is not the same as before. */
  readonly moved: (network: string, carriers: readonly ConnectionId[]) => void;
}

/** A network, and who carries it. */
interface Carried extends Carriage {
  /** Absent as long as it has not moved. */
  readonly movedAt?: Millis;
}

/** Routes of the main table that several connections share: which of them carries a network, and how. */
export class SharedRoutes {
  readonly #options: SharedRoutesOptions;
  readonly #realm: RouteRealm;
  #carried: ReadonlyMap<string, Carried> = new Map();
  /** By network. */
  #groups: ReadonlyMap<string, DeviceGroup> = new Map();
  /** The next hops of this gateway, while their groups are arranged. */
  #found: NextHopGroups | undefined;
  #refusal: string | undefined;

  constructor(options: SharedRoutesOptions) {
    this.#options = options;
    this.#realm = new RouteRealm(`device ${options.device}`);
  }

  /**
   * Decides who carries what from now on, and makes the groups for it. Where the kernel refuses them the first carries
   * it all.
   * @returns the connections with those routes that are to be laid for them
   */
  arrange(
    connections: readonly GatewayConnection[],
    isUp: (connection: ConnectionId) => boolean,
    deviceOf: (connection: ConnectionId) => string | undefined,
  ): readonly GatewayConnection[] {
    const isUsable = (id: ConnectionId): boolean => isUp(id) && deviceOf(id) !== undefined;
    const shared = [...sharedNetworks(connections)];
    const decided = new Map(shared.map(([network, sharers]) => [network, carriageOf(sharers, isUsable)]));
    const { groups, carriages } = this.#grouped(decided, (id) => deviceOf(id)!);
    this.#groups = groups;
    this.#note(carriages);
    if (shared.length === 0) return connections;
    return connections.map((one) => {
      const isLaid = (network: string): boolean => (carriages.get(network)?.carriers[0] ?? one.id) === one.id;
      return { ...one, routes: one.routes.filter(isLaid) };
    });
  }

  /** The group that the route to a network leads to; undefined where it leads through a device. */
  groupOf(network: string): DeviceGroup | undefined {
    return this.#groups.get(network);
  }

  /** Takes away what no route leads to any more; called when the routes are laid. @throws LinuxError */
  settle(): void {
    this.#found?.clear((change) => {
      try {
        change();
      } catch (error) {
        if ((error as { code?: string }).code !== 'ENOENT') throw error;
      }
    });
    this.#found = undefined;
  }

  /** How a connection fares with a network that it names: by whom it is carried, and since when. */
  stateOf(
    connection: ConnectionId,
    network: string,
  ): { readonly carries: boolean; readonly movedAt?: Millis } {
    const { carriers, movedAt } = this.#carried.get(network) ?? {};
    const carries = carriers?.includes(connection) ?? true;
    return { carries, ...(movedAt === undefined ? {} : { movedAt }) };
  }

  #grouped(
    decided: ReadonlyMap<string, Carriage>,
    deviceOf: (connection: ConnectionId) => string,
  ): {
    readonly groups: ReadonlyMap<string, DeviceGroup>;
    readonly carriages: ReadonlyMap<string, Carriage>;
  } {
    const distributed = [...decided].filter(([, { places }]) => places.length > 0);
    // Without groups now or before there is nothing to ask the kernel.
    if (distributed.length === 0 && this.#groups.size === 0) return { groups: new Map(), carriages: decided };
    const groups = new Map<string, DeviceGroup>();
    try {
      this.#found = new NextHopGroups(this.#options.hops, (id) => this.#realm.isOwnNumber(id));
      for (const { group, networks } of plannedGroups(distributed, this.#realm, deviceOf)) {
        const brought = this.#found.bring(group);
        if ('error' in brought) throw brought.error;
        for (const network of networks) groups.set(network, brought);
      }
      this.#refusal = undefined;
      return { groups, carriages: decided };
    } catch (error) {
      this.#refuse(error);
      const alone = [...decided].map(([network, { carriers }]): [string, Carriage] => [
        network,
        { carriers: carriers.slice(0, 1), places: [] },
      ]);
      return { groups: new Map(), carriages: new Map(alone) };
    }
  }

  #refuse(error: unknown): void {
    const message = oneLine(error);
    if (message !== this.#refusal) this.#options.refused(error);
    this.#refusal = message;
  }

  #note(carriages: ReadonlyMap<string, Carriage>): void {
    const before = this.#carried;
    this.#carried = new Map(
      [...carriages].map(([network, carriage]): [string, Carried] => {
        const known = before.get(network);
        if (known === undefined) return [network, carriage];
        if (String(known.carriers) === String(carriage.carriers)) return [network, { ...known, ...carriage }];
        this.#options.moved(network, carriage.carriers);
        return [network, { ...carriage, movedAt: this.#options.now() }];
      }),
    );
  }
}

/** Networks that are distributed over the same tunnels, and the group for them. */
interface SharedGroup {
  readonly group: PlannedGroup;
  readonly networks: readonly string[];
}

/** A group for each set of tunnels and family. */
function plannedGroups(
  distributed: readonly (readonly [string, Carriage])[],
  realm: RouteRealm,
  deviceOf: (connection: ConnectionId) => string,
): SharedGroup[] {
  const sets = new Map<string, (readonly [string, Carriage])[]>();
  for (const one of distributed) {
    const key = `${one[1].places.join(' ')} ${familyOf(one[0])}`;
    sets.set(key, [...(sets.get(key) ?? []), one]);
  }
  const wanted = [...sets].map(([key, [first]]): [string, WantedPlace[]] => {
    const [network, { carriers, places }] = first!;
    const family = familyOf(network);
    const placeOf = (name: ConnectionId): WantedPlace => {
      return { name, family, device: deviceOf(carriers.includes(name) ? name : carriers[0]!), yields: false };
    };
    return [key, places.map(placeOf)];
  });
  const groups = numberGroups(realm, new Map(wanted));
  return [...sets].map(([key, all]) => {
    return { group: groups.get(key)!, networks: all.map(([network]) => network) };
  });
}
