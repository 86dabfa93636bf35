import type { ImageUpdate, PlacedChild } from '../../src/connection/image/changes.js';
import { GatewayImage } from '../../src/connection/image/gateway-image.js';
import { Reservations } from '../../src/connection/image/reservations.js';
import { sameRecords } from '../../src/connection/image/same-record.js';
import { type ReadyOutput, WriteAhead } from '../../src/connection/image/write-ahead.js';
import { LAST_SEQUENCE } from '../../src/esp/start.js';
import type { Output } from '../../src/ike/outputs.js';
import { wipeRecord } from '../../src/ike/sa/record.js';
import { copyOfPlain, wipeSecrets } from '../../src/util/secret.js';
import type { SimNode, Simulation } from './engine-pair.js';
import type { SeededRandom } from './seeded-random.js';

/** Outbound traffic of one child SA. */
interface Sender {
  readonly spiOut: number;
  used: number;
  limit: number;
  active: boolean;
}

/** The packet path of one host: numbers only. */
class Senders {
  readonly byId = new Map<number, Sender>();

  install({ id, spiOut, start, outbound }: PlacedChild): void {
    this.byId.set(id, { spiOut, used: start.next - 1, limit: start.limit, active: outbound });
  }

  get counters() {
    return Array.from(this.byId, ([id, { used, limit }]) => ({ id, sequenceOut: used, reservedOut: limit }));
  }
}

/**
 * One end of a simulated pair as two hosts: an active one, and a standby that gets its image by a link with delays. When
 * another host takes over, it has nothing but that image.
 */
export class HaNode {
  /** Takeovers so far. */
  takeovers = 0;
  /** Packets that waited for no number, and those that had to. */
  sent = 0;
  unreserved = 0;
  /** What must never be: numbers used twice, a mirror that is not the engine's state. */
  readonly faults: string[] = [];
  #term = 1;
  #life = 0;
  #lastArrival = 0;
  /** The last update with the snapshot or with limits. */
  #complete: number | undefined;
  #ahead: WriteAhead;
  #standby = new GatewayImage();
  #reservations = new Reservations();
  #senders = new Senders();
  /** Of hosts that were taken over from, and live on. */
  readonly #zombies: Senders[] = [];
  readonly #ranges: { readonly spiOut: number; readonly first: number; readonly last: number }[] = [];
  readonly #sim: Simulation;
  readonly #node: SimNode;
  readonly #random: SeededRandom;
  readonly #delay: number;

  /** @param delay the longest time an update or its acknowledgement is on its way */
  constructor(sim: Simulation, node: SimNode, random: SeededRandom, delay = 20) {
    this.#sim = sim;
    this.#node = node;
    this.#random = random;
    this.#delay = delay;
    node.engine = sim.makeEngine(node.config, this.#term);
    this.#ahead = this.#begin();
  }

  #begin(): WriteAhead {
    const life = ++this.#life;
    const ahead = new WriteAhead((connection) => this.#node.engine.exportConnection(connection));
    this.#ahead = ahead;
    this.#node.ahead = (outputs) => this.#step(outputs);
    this.#look(life);
    return ahead;
  }

  /** Lets a standby in that has nothing yet. */
  pair(): void {
    const update = this.#ahead.begin();
    this.#complete = update.n;
    this.#send(update);
  }

  /** Whether the standby has all it needs to take over: the snapshot, and limits where there were none. */
  get inSync(): boolean {
    if (this.#complete === undefined || !this.#reservations.covers(this.#ahead.childIds)) return false;
    return this.#ahead.isAcknowledged(this.#complete);
  }

  #step(outputs: Output[]): readonly ReadyOutput[] {
    const { update, ready } = this.#ahead.step(outputs, this.#node.engine.takeTouched());
    if (update !== undefined) {
      this.#check();
      this.#send(update);
    }
    this.#install(ready);
    return ready;
  }

  /** The image that has everything is the state of the engine. */
  #check(): void {
    const { engine } = this.#node;
    const records = engine.export();
    if (!sameRecords(records, this.#ahead.recordsOf('site')))
      this.faults.push(`${this.#sim.now}: the image is not the engine's state`);
    wipeSecrets(records);
  }

  #send(update: ImageUpdate): void {
    const life = this.#life;
    const { now } = this.#sim;
    this.#lastArrival = Math.max(this.#lastArrival, now + this.#random.below(this.#delay + 1));
    this.#sim.at(this.#lastArrival, () => {
      if (life !== this.#life) return;
      this.#standby.apply(update.changes);
      this.#sim.at(this.#sim.now + this.#random.below(this.#delay + 1), () => {
        if (life === this.#life) this.#acknowledge(update.n);
      });
    });
  }

  #acknowledge(n: number): void {
    const { ready, reserved } = this.#ahead.acknowledged(n);
    for (const { id, limit } of this.#reservations.acknowledged(reserved)) {
      const sender = this.#senders.byId.get(id);
      if (sender !== undefined) sender.limit = limit;
    }
    this.#install(ready);
    this.#sim.carryOut(this.#node, [...ready]);
  }

  #install(ready: readonly ReadyOutput[]): void {
    for (const output of ready) {
      if (output.kind === 'install-child') {
        this.#senders.install(output.child);
        if (output.child.start.limit !== LAST_SEQUENCE)
          this.#reservations.installed(output.child.id, output.child.start.limit, this.#sim.now);
      } else if (output.kind === 'remove-child') this.#senders.byId.delete(output.childId);
      else if (output.kind === 'activate-outbound') {
        const sender = this.#senders.byId.get(output.childId);
        if (sender !== undefined) sender.active = true;
      }
    }
  }

  /** A look at the counters now and then, as long as this host is the active one. */
  #look(life: number): void {
    if (life !== this.#life) return;
    const { limit, reserve } = this.#reservations.look(this.#senders.counters, this.#sim.now);
    for (const one of limit) {
      const sender = this.#senders.byId.get(one.id);
      // The order takes a while: traffic goes on meanwhile.
      this.#sim.at(this.#sim.now + 1, () => {
        if (sender !== undefined && life === this.#life) sender.limit = one.limit;
      });
    }
    const update =
      reserve.length === 0 ? undefined : this.#ahead.note([{ kind: 'reserved', reservations: reserve }]);
    if (update !== undefined) {
      this.#complete = update.n;
      this.#send(update);
    }
    const late = this.#ahead.catchUp(4);
    if (late !== undefined) this.#send(late);
    const marks = [...this.#senders.byId.keys()].map((id) => ({ id, highest: 0, at: this.#sim.now }));
    const more = marks.length === 0 ? undefined : this.#ahead.note([{ kind: 'marks', marks }]);
    if (more !== undefined) this.#send(more);
    this.#sim.at(this.#sim.now + 1000, () => this.#look(life));
  }

  /** Traffic of this moment, of all hosts that have keys. */
  traffic(): void {
    for (const senders of [this.#senders, ...this.#zombies])
      for (const sender of senders.byId.values())
        if (sender.active) this.#burst(sender, this.#random.below(20_000));
  }

  #burst(sender: Sender, packets: number): void {
    const first = sender.used + 1;
    const last = Math.min(sender.used + packets, sender.limit);
    this.unreserved += sender.used + packets - Math.max(last, sender.used);
    if (last < first) return;
    sender.used = last;
    this.sent += last - first + 1;
    this.#ranges.push({ spiOut: sender.spiOut, first, last });
  }

  /** Pairs of bursts with a number in common. */
  get overlaps(): string[] {
    const bySpi = new Map<number, { first: number; last: number }[]>();
    for (const range of this.#ranges) bySpi.set(range.spiOut, [...(bySpi.get(range.spiOut) ?? []), range]);
    const found: string[] = [];
    for (const [spi, ranges] of bySpi) {
      ranges.sort((a, b) => a.first - b.first);
      ranges.forEach((range, i) => {
        const before = ranges[i - 1];
        if (before !== undefined && before.last >= range.first) found.push(`SPI ${spi}: ${range.first}`);
      });
    }
    return found;
  }

  /** The other host takes over, with what it has. The one before may live on. */
  takeOver(): void {
    const { records, children, expected } = this.#standby.takeOver(0);
    const node = this.#node;
    this.takeovers++;
    this.#term += 1 + this.#random.below(3);
    this.#ahead.end();
    this.#zombies.push(this.#senders);
    this.#senders = new Senders();
    this.#reservations = new Reservations();
    this.#standby = new GatewayImage();
    this.#lastArrival = 0;
    this.#complete = undefined;
    node.engine = this.#sim.makeEngine(node.config, this.#term);
    for (const part of [node.ikes, node.childInfo, node.children, node.activated, node.expected])
      part.clear();
    for (const child of children) {
      node.children.set(child.id, copyOfPlain(child));
      this.#senders.install(child);
    }
    for (const spi of expected) node.expected.add(spi);
    const { outputs, refused } = node.engine.adopt(records, this.#sim.now);
    for (const record of records) wipeRecord(record);
    for (const { reason } of refused) this.faults.push(`refused: ${reason}`);
    const ahead = this.#begin();
    ahead.resume({ children, expected });
    wipeSecrets(children);
    this.pair();
    this.#sim.take(node, outputs);
    if (node.reconnect !== undefined && children.length === 0) node.reconnectAt ??= this.#sim.now;
  }
}
