import { FRESH_START } from '../../esp/start.js';
import type { SaRecord } from '../../ike/sa/record.js';
import { shiftRecord } from '../../ike/sa/record-clock.js';
import type { ChildId, ConnectionId, Spi } from '../../util/ids.js';
import { err, ok, type Result } from '../../util/result.js';
import { copyOfPlain, wipeSecrets } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { ImageChange, Mark, PlacedChild } from './changes.js';
import { decodeUpdate } from './codec.js';

/** What a host needs to carry on the SAs of another one. The keys belong to the receiver. */
export interface Takeover {
  /** For `Engine.adopt`, on the clock of the host that takes over. */
  readonly records: readonly SaRecord[];
  /** For the packet path: numbers begin after all that may have been used. */
  readonly children: readonly PlacedChild[];
  /** Inbound SPIs that packets may come for before their SA is agreed on. */
  readonly expected: readonly Spi[];
}

/**
 * The SAs of a gateway as one host knows them of another, in memory only: IKE SAs as records, child SAs with their keys,
 * outbound numbers that are reserved, and how far inbound ones have come.
 */
export class GatewayImage {
  readonly #connections = new Map<ConnectionId, readonly SaRecord[]>();
  readonly #children = new Map<ChildId, PlacedChild>();
  readonly #marks = new Map<ChildId, Mark>();
  readonly #expected = new Set<Spi>();
  /** The number of the update that was received last. */
  #last: number | undefined;

  /**
   * Applies an update as it came from the other host, and returns its number, which is to be acknowledged. Fails with what
   * is wrong when it cannot be read, or is not the one that follows: the image is then of no use any more.
   */
  receive(bytes: Uint8Array): Result<number, string> {
    const update = decodeUpdate(bytes);
    if (!update.ok) return update;
    const { n, changes } = update.value;
    if (this.#last !== undefined && n !== this.#last + 1) {
      wipeSecrets(changes);
      return err(`update ${n} came after ${this.#last}`);
    }
    this.#last = n;
    this.apply(changes);
    return ok(n);
  }

  /** Takes over the keys in the changes. One about a child SA that is not there changes nothing. */
  apply(changes: readonly ImageChange[]): void {
    for (const change of changes) this.#apply(change);
  }

  #apply(change: ImageChange): void {
    switch (change.kind) {
      case 'connection':
        wipeSecrets(this.#connections.get(change.connection));
        if (change.records.length === 0) this.#connections.delete(change.connection);
        else this.#connections.set(change.connection, change.records);
        break;
      case 'child':
        wipeSecrets(this.#children.get(change.child.id));
        this.#children.set(change.child.id, change.child);
        this.#expected.delete(change.child.spiIn);
        break;
      case 'active':
        this.#replace(change.id, (child) => ({ ...child, outbound: true }));
        break;
      case 'child-gone':
        wipeSecrets(this.#children.get(change.id));
        this.#children.delete(change.id);
        this.#marks.delete(change.id);
        break;
      case 'moved':
        this.#replace(change.id, (child) => ({ ...child, peer: change.peer }));
        break;
      case 'expected':
        this.#expected.add(change.spi);
        break;
      case 'not-expected':
        this.#expected.delete(change.spi);
        break;
      case 'reserved':
        for (const { id, limit } of change.reservations)
          this.#replace(id, (child) => ({ ...child, start: { ...child.start, limit } }));
        break;
      case 'marks':
        for (const mark of change.marks) if (this.#children.has(mark.id)) this.#marks.set(mark.id, mark);
        break;
    }
  }

  #replace(id: ChildId, change: (child: PlacedChild) => PlacedChild): void {
    const child = this.#children.get(id);
    if (child !== undefined) this.#children.set(id, change(child));
  }

  /** The records of a connection, whose keys stay the image's. */
  recordsOf(connection: ConnectionId): readonly SaRecord[] {
    return this.#connections.get(connection) ?? [];
  }

  has(id: ChildId): boolean {
    return this.#children.has(id);
  }

  /** Ids of the child SAs. */
  get childIds(): readonly ChildId[] {
    return [...this.#children.keys()];
  }

  /** All there is, for an image that has nothing yet. The keys are copies. */
  snapshot(): ImageChange[] {
    const marks = [...this.#marks.values()];
    return [
      ...Array.from(this.#connections, ([connection, records]) => {
        return { kind: 'connection', connection, records: copyOfPlain(records) } as const;
      }),
      ...Array.from(
        this.#children.values(),
        (child) => ({ kind: 'child', child: copyOfPlain(child) }) as const,
      ),
      ...Array.from(this.#expected, (spi) => ({ kind: 'expected', spi }) as const),
      ...(marks.length === 0 ? [] : [{ kind: 'marks', marks } as const]),
    ];
  }

  /**
   * Hands out all there is and is empty from then on. A child SA that is in no record is left behind, its keys wiped:
   * no IKE SA would ever rekey or delete it.
   * @param shift the clock of the host that takes over less that of the one whose image it is
   */
  takeOver(shift: Millis): Takeover {
    const records = [...this.#connections.values()].flat().map((record) => this.#onClock(record, shift));
    const owned = new Set(records.flatMap(({ children }) => children.map(({ id }) => id)));
    const children: PlacedChild[] = [];
    for (const child of this.#children.values()) {
      if (owned.has(child.id)) children.push(this.#resumed(child));
      else wipeSecrets(child);
    }
    const expected = [...this.#expected];
    for (const part of [this.#connections, this.#children, this.#marks, this.#expected]) part.clear();
    return { records, children, expected };
  }

  /** Forgets everything, keys first. */
  clear(): void {
    wipeSecrets(this.#connections);
    wipeSecrets(this.#children);
    for (const part of [this.#connections, this.#children, this.#marks, this.#expected]) part.clear();
  }

  /** The numbers that were reserved may all have been used, and what came after the last mark is not known. */
  #resumed(child: PlacedChild): PlacedChild {
    const next = child.start.limit + 1;
    const highest = Math.max(child.start.highest, this.#marks.get(child.id)?.highest ?? 0);
    return { ...child, start: { ...FRESH_START, next, highest } };
  }

  #onClock(record: SaRecord, shift: Millis): SaRecord {
    const shifted = shiftRecord(record, shift);
    if (shifted.ike === undefined) return shifted;
    const heard = Math.max(0, ...record.children.map(({ id }) => this.#marks.get(id)?.at ?? 0));
    if (heard === 0) return shifted;
    return {
      ...shifted,
      ike: { ...shifted.ike, lastInbound: Math.max(shifted.ike.lastInbound, heard + shift) },
    };
  }
}
