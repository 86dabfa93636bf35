import { FRESH_START } from '../../esp/start.js';
import type { ChildSa, Output } from '../../ike/outputs.js';
import type { SaRecord } from '../../ike/sa/record.js';
import type { ConnectionId } from '../../util/ids.js';
import { copyOfPlain, wipeSecrets } from '../../util/secret.js';
import type { ImageChange, ImageUpdate, PlacedChild, Reservation } from './changes.js';
import { GatewayImage, type Takeover } from './gateway-image.js';
import { FIRST_BLOCK } from './reservations.js';
import { sameRecords } from './same-record.js';

/** An output of the engine as it may be carried out: a child SA has its first sequence numbers. */
export type ReadyOutput =
  | Exclude<Output, { kind: 'install-child' }>
  | { readonly kind: 'install-child'; readonly child: PlacedChild };

/** What follows from a step of the engine. */
export interface Ahead {
  /** For the standby, when there is one and something has changed. Its keys belong to the receiver. */
  readonly update: ImageUpdate | undefined;
  /** To be carried out now, in this order. */
  readonly ready: readonly ReadyOutput[];
}

/** What follows when the standby has acknowledged an update. */
export interface Acknowledged {
  readonly ready: readonly ReadyOutput[];
  /** Sequence numbers that may be used from now on. */
  readonly reserved: readonly Reservation[];
}

interface Held {
  /** The update that the standby must have before. */
  readonly n: number;
  readonly output: ReadyOutput;
}

/**
 * Between the engine of the active host and those who carry out its outputs: whatever makes another state of the SAs
 * visible outside waits until the standby has that state. So a takeover from the standby's image never uses a message
 * id, an IV or a sequence number that was used, and repeats a message octet by octet or not at all.
 *
 * It has an image of its own as well, with keys, of which a standby that comes later gets a snapshot.
 */
export class WriteAhead {
  readonly #export: (connection: ConnectionId) => SaRecord[];
  readonly #image = new GatewayImage();
  readonly #held: Held[] = [];
  /** Connections that were touched by steps that made nothing visible. */
  readonly #later = new Set<ConnectionId>();
  /** Messages that have come through here: the engine repeats the same octets, in the same object. */
  readonly #passed = new WeakSet<Uint8Array>();
  readonly #reserved: { readonly n: number; readonly reservations: readonly Reservation[] }[] = [];
  #hasStandby = false;
  #n = 0;
  #acknowledged = 0;

  /** @param exportConnection `Engine.exportConnection` */
  constructor(exportConnection: (connection: ConnectionId) => SaRecord[]) {
    this.#export = exportConnection;
  }

  /** Outputs that wait, and updates that are not acknowledged: a standby for which these grow counts as lost. */
  get waiting(): { readonly outputs: number; readonly updates: number } {
    return { outputs: this.#held.length, updates: this.#n - this.#acknowledged };
  }

  /** Whether the standby has acknowledged the update `n`. */
  isAcknowledged(n: number): boolean {
    return n <= this.#acknowledged;
  }

  /** Ids of the child SAs that a standby has to have numbers of. */
  get childIds(): readonly number[] {
    return this.#image.childIds;
  }

  /** The records of a connection as a standby has them, or is to get them. Their keys stay here. */
  recordsOf(connection: ConnectionId): readonly SaRecord[] {
    return this.#image.recordsOf(connection);
  }

  /** What was taken over beside IKE SAs: those follow by the step that adopts them. Keeps copies of keys. */
  resume({ children, expected }: Pick<Takeover, 'children' | 'expected'>): void {
    this.#image.apply(children.map((child) => ({ kind: 'child', child: copyOfPlain(child) })));
    this.#image.apply(expected.map((spi) => ({ kind: 'expected', spi })));
  }

  /**
   * One step of the engine: its outputs, and the connections that it has touched. A step that makes nothing new visible
   * outside changes the image later: a takeover from an older one is then as if the step had not been. So what anyone can
   * send again and again, and what all traffic brings about, costs no export.
   */
  step(outputs: readonly Output[], touched: readonly ConnectionId[]): Ahead {
    const ready = outputs.map((output) => this.#placed(output));
    const changes: ImageChange[] = [];
    if (ready.some((output) => this.#isNews(output))) changes.push(...this.#exported(touched));
    else for (const connection of touched) this.#later.add(connection);
    for (const output of ready) {
      if (output.kind === 'send') this.#passed.add(output.bytes);
      const change = changeOf(output);
      if (change !== undefined) changes.push(change);
    }
    const update = this.note(changes);
    if (!this.#hasStandby || (update === undefined && this.#held.length === 0)) return { update, ready };
    for (const output of ready) this.#held.push({ n: this.#n, output });
    return { update, ready: [] };
  }

  /**
   * Puts changes into the image, those of a step or others: marks, and reservations, which `acknowledged` gives back.
   * Returns the update for the standby, if there is one.
   */
  note(changes: readonly ImageChange[]): ImageUpdate | undefined {
    if (changes.length === 0) return undefined;
    const update = this.#hasStandby ? { n: ++this.#n, changes: copyOfPlain(changes) } : undefined;
    this.#image.apply(changes);
    if (update === undefined) return undefined;
    const reservations = changes.flatMap((change) => (change.kind === 'reserved' ? change.reservations : []));
    if (reservations.length > 0) this.#reserved.push({ n: update.n, reservations });
    return update;
  }

  /** Brings some of the connections into the image whose changes could wait. Returns the update, if there is one. */
  catchUp(connections: number): ImageUpdate | undefined {
    const some = [...this.#later].slice(0, connections);
    return this.note(this.#exported(some));
  }

  /** A standby that has nothing yet is there. Returns what it gets first: all there is. */
  begin(): ImageUpdate {
    this.catchUp(this.#later.size);
    this.#hasStandby = true;
    return { n: ++this.#n, changes: this.#image.snapshot() };
  }

  /** The standby has all updates up to `n`. A number that was not given yet changes nothing. */
  acknowledged(n: number): Acknowledged {
    if (n > this.#n) return { ready: [], reserved: [] };
    this.#acknowledged = Math.max(this.#acknowledged, n);
    const waiting = this.#held.findIndex((one) => one.n > n);
    const ready = this.#held.splice(0, waiting < 0 ? this.#held.length : waiting).map(({ output }) => output);
    const later = this.#reserved.findIndex((one) => one.n > n);
    const due = this.#reserved.splice(0, later < 0 ? this.#reserved.length : later);
    return { ready, reserved: due.flatMap(({ reservations }) => reservations) };
  }

  /** There is no standby any more: it must have promised not to take over. Returns all outputs that have waited. */
  lost(): readonly ReadyOutput[] {
    this.#hasStandby = false;
    this.#acknowledged = this.#n;
    this.#reserved.length = 0;
    return this.#held.splice(0).map(({ output }) => output);
  }

  /** Forgets all keys. What waits is never carried out: another host has taken over. */
  end(): void {
    for (const { output } of this.#held) if (output.kind === 'install-child') wipeSecrets(output.child);
    this.#held.length = 0;
    this.#image.clear();
  }

  /** Whether an output makes something visible to others that was not before: no event is, nor a repeated message. */
  #isNews(output: ReadyOutput): boolean {
    return output.kind === 'send' ? !this.#passed.has(output.bytes) : output.kind !== 'event';
  }

  /** What is other than in the image, of these connections. */
  #exported(connections: readonly ConnectionId[]): ImageChange[] {
    return connections.flatMap((connection) => {
      this.#later.delete(connection);
      const records = this.#export(connection);
      if (!sameRecords(records, this.#image.recordsOf(connection)))
        return [{ kind: 'connection', connection, records } as const];
      wipeSecrets(records);
      return [];
    });
  }

  #placed(output: Output): ReadyOutput {
    return output.kind === 'install-child'
      ? { kind: output.kind, child: this.#withNumbers(output.child) }
      : output;
  }

  #withNumbers(child: ChildSa): PlacedChild {
    const start = this.#hasStandby ? { ...FRESH_START, limit: FIRST_BLOCK } : FRESH_START;
    return { ...child, start };
  }
}

/** What of an output another host must know of. The keys of a child SA are copies: its own go to the packet path. */
function changeOf(output: ReadyOutput): ImageChange | undefined {
  switch (output.kind) {
    case 'install-child':
      return { kind: 'child', child: copyOfPlain(output.child) };
    case 'activate-outbound':
      return { kind: 'active', id: output.childId };
    case 'remove-child':
      return { kind: 'child-gone', id: output.childId };
    case 'update-peer':
      return { kind: 'moved', id: output.childId, peer: output.peer };
    case 'expect-esp':
      return { kind: 'expected', spi: output.spi };
    case 'forget-esp':
      return { kind: 'not-expected', spi: output.spi };
    case 'send':
    case 'skip-outbound':
    case 'event':
      return undefined;
  }
}
