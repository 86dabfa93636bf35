import type { NextHop } from '../../linux/next-hop-codec.js';
import { addNextHop, listNextHops, removeNextHop, replaceNextHop } from '../../linux/next-hops.js';
import type { RouteRealm } from './route-realm.js';

/** What is asked of the kernel about next hops. Tests without rights put their own in its place. */
export interface NextHopTable {
  nextHops(chosen: (id: number) => boolean): readonly NextHop[];
  addNextHop(hop: NextHop): void;
  replaceNextHop(hop: NextHop): void;
  removeNextHop(id: number): void;
}

/** The next hops of this network namespace, by rtnetlink. */
export const linuxNextHops: NextHopTable = {
  nextHops: listNextHops,
  addNextHop,
  replaceNextHop,
  removeNextHop,
};

/** A group of next hops: a place for each tunnel, at which its device is, or that of another one while it is down. */
export interface PlannedGroup {
  /**
   * Two numbers, of which one is used. The kernel takes a place away along with its device; and where a place comes
   * back into a group, flows of the other one may be moved. A new group under the other number has each flow again
   * at its own place.
   */
  readonly ids: readonly [number, number];
  readonly places: readonly PlannedPlace[];
}

/** One place in a group. */
export interface PlannedPlace {
  readonly id: number;
  readonly family: 4 | 6;
  readonly device: string;
  /** A device that is there already stays. */
  readonly yields: boolean;
}

/** A place that has no number yet. `name` distinguishes it in its group. */
export interface WantedPlace extends Omit<PlannedPlace, 'id'> {
  readonly name: string | number;
}

/** Numbers groups and their places: by the key of a group, and so the same at every start. */
export function numberGroups(
  realm: RouteRealm,
  wanted: ReadonlyMap<string, readonly WantedPlace[]>,
): ReadonlyMap<string, PlannedGroup> {
  const placeKey = (key: string, { name }: WantedPlace): string => `${key} place ${name}`;
  const groupKeys = (key: string): [string, string] => [`${key} group`, `${key} other group`];
  const numbers = realm.numbersFor(
    [...wanted].flatMap(([key, places]) => [...groupKeys(key), ...places.map((one) => placeKey(key, one))]),
  );
  return new Map(
    [...wanted].map(([key, all]): [string, PlannedGroup] => {
      const [one, other] = groupKeys(key);
      const places = all.map((place): PlannedPlace => {
        const { family, device, yields } = place;
        return { id: numbers.get(placeKey(key, place))!, family, device, yields };
      });
      return [key, { ids: [numbers.get(one)!, numbers.get(other)!], places }];
    }),
  );
}

/** What became of a group of the plan. */
export type BroughtGroup =
  /** Its number now, and the devices at its places. */
  { readonly id: number; readonly devices: readonly string[] } | { readonly error: unknown };

/** Groups of next hops in one network namespace, as the kernel has them and as they are to be. */
export class NextHopGroups {
  readonly #kernel: NextHopTable;
  readonly #there: Map<number, NextHop>;
  readonly #kept = new Set<number>();

  /** @param isOwn which numbers are those of the one that asks. @throws LinuxError when the kernel gives no list */
  constructor(kernel: NextHopTable, isOwn: (id: number) => boolean) {
    this.#kernel = kernel;
    this.#there = new Map(kernel.nextHops(isOwn).map((hop) => [hop.id, hop]));
  }

  /** Makes places and group as planned. What was there before leads packets until a route has the new group. */
  bring(group: PlannedGroup): BroughtGroup {
    const places = group.places.map(({ id }) => id);
    for (const id of places) this.#kept.add(id);
    try {
      this.#release(group);
      const devices = group.places.map((place) => this.#bringPlace(place, group));
      const id = this.#bringGroup(group, places);
      this.#kept.add(id);
      return { id, devices };
    } catch (error) {
      for (const id of group.ids) this.#kept.add(id);
      return { error };
    }
  }

  /** The devices of a group as it was found. */
  devicesBefore(id: number): readonly string[] {
    return membersOf(this.#there.get(id)).flatMap((member) => {
      const hop = this.#there.get(member);
      return hop?.kind === 'device' ? hop.device : [];
    });
  }

  /** Leaves a group as it is: a route that stays leads to it. */
  keep(id: number): void {
    this.#kept.add(id);
    for (const member of membersOf(this.#there.get(id))) this.#kept.add(member);
  }

  /** Takes away what is neither planned nor kept. No route leads there any more. */
  clear(attempt: (change: () => void) => void): void {
    const gone = [...this.#there.values()].filter(({ id }) => !this.#kept.has(id));
    // Groups first: the kernel would take members out of them one by one.
    for (const kind of ['group', 'device']) {
      for (const hop of gone) if (hop.kind === kind) attempt(() => this.#kernel.removeNextHop(hop.id));
    }
  }

  /** Frees numbers that another group has had: its packets must not follow them to another peer. */
  #release({ ids, places }: PlannedGroup): void {
    for (const hop of [...this.#there.values()]) {
      if (hop.kind !== 'group' || ids.includes(hop.id)) continue;
      if (!places.some(({ id }) => id === hop.id || hop.members.includes(id))) continue;
      this.#kernel.removeNextHop(hop.id);
      this.#there.delete(hop.id);
    }
  }

  /** @returns its device now */
  #bringPlace(place: PlannedPlace, { ids, places }: PlannedGroup): string {
    const before = this.#there.get(place.id);
    const known = before?.kind === 'device' ? before.device : undefined;
    const isUsed = ids.some((id) => membersOf(this.#there.get(id)).includes(place.id));
    if (known !== undefined && ((place.yields && isUsed) || known === place.device)) return known;
    // A device that has gone this moment must not keep the flows of the others.
    const candidates = [...new Set([place.device, ...places.map(({ device }) => device)])];
    let refusal: unknown;
    for (const device of candidates) {
      if (device === known) return device;
      const { id, family } = place;
      try {
        const hop: NextHop = { kind: 'device', id, family, device };
        if (known === undefined) this.#kernel.addNextHop(hop);
        else this.#kernel.replaceNextHop(hop);
        return device;
      } catch (error) {
        refusal ??= error;
      }
    }
    throw refusal;
  }

  /** @returns its number */
  #bringGroup({ ids }: PlannedGroup, members: readonly number[]): number {
    const whole = ids.find((id) => hasMembers(this.#there.get(id), members));
    if (whole !== undefined) return whole;
    const [one, other] = ids;
    const id = this.#there.has(one) && !this.#there.has(other) ? other : one;
    if (this.#there.has(id)) this.#kernel.removeNextHop(id);
    this.#kernel.addNextHop({ kind: 'group', id, members });
    return id;
  }
}

function membersOf(hop: NextHop | undefined): readonly number[] {
  return hop?.kind === 'group' ? hop.members : [];
}

function hasMembers(hop: NextHop | undefined, members: readonly number[]): boolean {
  const found = membersOf(hop);
  return found.length === members.length && found.every((id) => members.includes(id));
}
