import type { DatagramInput } from '../../src/ike/inputs.js';
import type { SendOutput } from '../../src/ike/outputs.js';
import type { Endpoint } from '../../src/util/ip.js';
import { decodeHeader } from '../../src/wire/ike/message.js';
import { nameOf } from '../../src/wire/ike/registry.js';
import type { SeededRandom } from './seeded-random.js';

/** A datagram on its way. */
export interface Packet {
  readonly from: Endpoint;
  readonly to: Endpoint;
  readonly natTraversalPort: boolean;
  readonly bytes: Uint8Array;
  /** `IKE_AUTH request`, for impairments by name. */
  readonly name: string;
}

export interface NetConditions {
  /** One-way delay in milliseconds, drawn anew for each packet: unequal delays reorder. */
  readonly latency: readonly [least: number, most: number];
  /** Probability that a packet is lost, and that it arrives twice. */
  readonly loss: number;
  readonly duplicate: number;
}

/** What an impairment does to a packet that it matches. */
export type Impairment =
  | { readonly kind: 'drop' }
  | { readonly kind: 'duplicate' }
  | { readonly kind: 'delay'; readonly by: number }
  | { readonly kind: 'corrupt'; readonly change: (bytes: Uint8Array) => Uint8Array };

interface Rule {
  readonly matches: (packet: Packet) => boolean;
  readonly impairment: Impairment;
  left: number;
}

/** Rewrites addresses like a NAT: everything from `inside` leaves from `outside` with a port of its own. */
export interface Nat {
  readonly inside: string;
  readonly outside: string;
  /** First port of the mappings; change it to simulate a restart of the NAT. */
  portBase: number;
}

export interface Arrival {
  readonly at: number;
  readonly order: number;
  readonly to: string;
  readonly input: DatagramInput;
}

/** The network between engines: virtual time, seeded accidents, NATs, and impairments of chosen messages. */
export class VirtualNet {
  conditions: NetConditions;
  readonly nats: Nat[] = [];
  /** Every packet that was handed to the network. */
  readonly sent: Packet[] = [];
  /** Whether `sent` is kept: off for long simulations. */
  record = true;
  readonly #random: SeededRandom;
  readonly #rules: Rule[] = [];
  readonly #queue: Arrival[] = [];
  #order = 0;

  constructor(random: SeededRandom, conditions: NetConditions) {
    this.#random = random;
    this.conditions = conditions;
  }

  /** Impairs the next `times` packets whose name (or which itself) matches. */
  impair(match: string | ((packet: Packet) => boolean), impairment: Impairment, times = 1): void {
    const matches = typeof match === 'string' ? (packet: Packet) => packet.name === match : match;
    this.#rules.push({ matches, impairment, left: times });
  }

  send(output: SendOutput, now: number): void {
    const packet: Packet = {
      from: output.local,
      to: output.remote,
      natTraversalPort: output.natTraversalPort,
      bytes: output.bytes,
      name: packetName(output.bytes),
    };
    if (this.record) this.sent.push(packet);
    const rule = this.#rules.find((one) => one.left > 0 && one.matches(packet));
    if (rule !== undefined) {
      rule.left--;
      this.#impaired(packet, rule.impairment, now);
      return;
    }
    if (this.#random.fraction() < this.conditions.loss) return;
    this.#deliver(packet, now);
    if (this.#random.fraction() < this.conditions.duplicate) this.#deliver(packet, now);
  }

  #impaired(packet: Packet, impairment: Impairment, now: number): void {
    switch (impairment.kind) {
      case 'drop':
        break;
      case 'duplicate':
        this.#deliver(packet, now);
        this.#deliver(packet, now);
        break;
      case 'delay':
        this.#deliver(packet, now + impairment.by);
        break;
      case 'corrupt':
        this.#deliver({ ...packet, bytes: impairment.change(Uint8Array.from(packet.bytes)) }, now);
        break;
    }
  }

  /** Puts a packet on the wire as it is, past all accidents: for forgeries. */
  inject(packet: Omit<Packet, 'name'>, now: number): void {
    this.#deliver({ ...packet, name: packetName(packet.bytes) }, now);
  }

  #deliver(packet: Packet, now: number): void {
    const [least, most] = this.conditions.latency;
    const at = now + least + this.#random.fraction() * (most - least);
    let { from, to } = packet;
    const out = this.nats.find((nat) => nat.inside === from.address);
    if (out !== undefined) from = { address: out.outside, port: out.portBase + from.port };
    const inward = this.nats.find((nat) => nat.outside === to.address);
    if (inward !== undefined) {
      const port = to.port - inward.portBase;
      // The mapping is not there any more.
      if (port <= 0) return;
      to = { address: inward.inside, port };
    }
    const input: DatagramInput = {
      kind: 'datagram',
      local: to,
      remote: from,
      natTraversalPort: packet.natTraversalPort,
      bytes: packet.bytes,
    };
    this.#queue.push({ at, order: this.#order++, to: to.address, input });
  }

  nextAt(): number | undefined {
    return this.#earliest()?.at;
  }

  /** Takes the next arrival at or before `now`. */
  take(now: number): Arrival | undefined {
    const next = this.#earliest();
    if (next === undefined || next.at > now) return undefined;
    this.#queue.splice(this.#queue.indexOf(next), 1);
    return next;
  }

  #earliest(): Arrival | undefined {
    let best: Arrival | undefined;
    for (const one of this.#queue) {
      if (best === undefined || one.at < best.at || (one.at === best.at && one.order < best.order))
        best = one;
    }
    return best;
  }
}

/** `IKE_AUTH request`, by the header. */
export function packetName(bytes: Uint8Array): string {
  const header = decodeHeader(bytes);
  if (!header.ok) return 'malformed';
  return `${nameOf('exchange', header.value.exchangeType)} ${header.value.response ? 'response' : 'request'}`;
}
