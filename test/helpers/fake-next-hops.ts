import type { NextHopTable } from '../../src/daemon/host/next-hop-groups.js';
import { Errno, linuxError } from '../../src/linux/errors.js';
import type { NextHop } from '../../src/linux/next-hop-codec.js';

/** A kernel's next hops, kept in memory; what goes with a device that is lost goes here, too. */
export class FakeNextHops implements NextHopTable {
  /** Everything that was done, in order, with `a`, `b`… for the numbers as they came up. */
  readonly log: string[];
  /** Devices that there are; all when left out. */
  readonly #devices: ReadonlySet<string> | undefined;
  /** Called when a next hop is no more. */
  readonly #gone: (id: number) => void;
  readonly #hops = new Map<number, NextHop>();
  readonly #names = new Map<number, string>();

  constructor(
    log: string[] = [],
    devices?: ReadonlySet<string>,
    gone: (id: number) => void = () => undefined,
  ) {
    this.log = log;
    this.#devices = devices;
    this.#gone = gone;
  }

  get count(): number {
    return this.#hops.size;
  }

  nextHops(chosen: (id: number) => boolean): readonly NextHop[] {
    return [...this.#hops.values()].filter(({ id }) => chosen(id));
  }

  addNextHop(hop: NextHop): void {
    if (this.#hops.has(hop.id)) throw linuxError(Errno.EEXIST, 'adding a next hop');
    this.#put('+', hop);
  }

  replaceNextHop(hop: NextHop): void {
    this.#put('~', hop);
  }

  removeNextHop(id: number): void {
    this.#take(id);
    this.log.push(`-${this.nameOf(id)}`);
  }

  /** The devices at the places of a group. */
  devicesOf(id: number): string[] {
    const group = this.#hops.get(id);
    if (group?.kind !== 'group') return [];
    return group.members.map((member) => {
      const hop = this.#hops.get(member);
      return hop?.kind === 'device' ? hop.device : '';
    });
  }

  /** What leads through a device goes with it. */
  lose(device: string): void {
    for (const hop of [...this.#hops.values()]) {
      if (hop.kind === 'device' && hop.device === device) this.#take(hop.id);
    }
  }

  nameOf(id: number): string {
    const known = this.#names.get(id);
    if (known !== undefined) return known;
    const name = String.fromCharCode('a'.charCodeAt(0) + this.#names.size);
    this.#names.set(id, name);
    return name;
  }

  #put(sign: string, hop: NextHop): void {
    if (hop.kind === 'device' && this.#devices?.has(hop.device) === false) {
      throw linuxError(Errno.ENODEV, `using device ${hop.device}`);
    }
    this.#hops.set(hop.id, hop);
    const what = hop.kind === 'device' ? hop.device : hop.members.map((id) => this.nameOf(id)).join(' ');
    this.log.push(`${sign}${this.nameOf(hop.id)}: ${what}`);
  }

  #take(id: number): void {
    if (!this.#hops.delete(id)) throw linuxError(Errno.ENOENT, 'removing a next hop');
    this.#gone(id);
    for (const hop of [...this.#hops.values()]) {
      if (hop.kind !== 'group' || !hop.members.includes(id)) continue;
      const members = hop.members.filter((one) => one !== id);
      if (members.length === 0) this.#take(hop.id);
      else this.#hops.set(hop.id, { ...hop, members });
    }
  }
}
