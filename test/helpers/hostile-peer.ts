import { plates } from '../../bench/hostile-selectors.js';
import type { CryptoBackend } from '../../src/crypto/types.js';
import { Context } from '../../src/ike/context.js';
import { Engine } from '../../src/ike/engine.js';
import type { IkeEvent } from '../../src/ike/events.js';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { Output } from '../../src/ike/outputs.js';
import { espOffer } from '../../src/ike/policy/proposals.js';
import { spiBytes } from '../../src/ike/sa/esp-spi.js';
import type { IkeSa } from '../../src/ike/v2/ike-sa.js';
import { initiate } from '../../src/ike/v2/init-initiator.js';
import { IkeV2 } from '../../src/ike/v2/protocol.js';
import { headerOf } from '../../src/ike/v2/send.js';
import { rekeyIkeTask } from '../../src/ike/v2/tasks.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import type { Payload, TrafficSelector } from '../../src/wire/ike/payloads.js';
import { ExchangeType, nameOf } from '../../src/wire/ike/registry.js';
import { type ConnectionPatch, connection, EAST, selectors, WEST } from './engine-pair.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';

const HONEST = '192.0.2.99';

/** A gateway with an honest peer, a hostile one that has its key, and any number of further connections. */
export class HostGateway {
  readonly engine: Engine;
  readonly events: IkeEvent[] = [];
  readonly outputs: Output[] = [];
  now = 1000;

  /** `patch` changes the hostile peer's connection, `twin` adds one with the same address and another identity. */
  constructor(connections: number, patch: ConnectionPatch = {}, twin?: ConnectionPatch) {
    const others = Array.from({ length: Math.max(0, connections - 2) }, (_, i) => {
      const address = `198.51.${Math.floor(i / 250)}.${i % 250}`;
      return connection('west', {
        id: `other-${i}`,
        peer: {
          addresses: [address],
          identity: `other-${i}.example`,
          cidrs: [`10.${100 + Math.floor(i / 250)}.${i % 250}.0/24`],
        },
      });
    });
    const honest = connection('west', {
      id: 'honest',
      peer: { addresses: [HONEST], identity: 'honest.example', cidrs: ['10.3.0.0/24'] },
    });
    const twins =
      twin === undefined
        ? []
        : [connection('west', { id: 'twin', peer: { identity: 'twin.example' }, ...twin })];
    const config = { connections: [...others, honest, connection('west', patch), ...twins] };
    const random = new SeededRandom(2);
    this.engine = new Engine({ crypto: createToyBackend(), random, limits: DEFAULT_LIMITS, config });
  }

  /** The answers to a datagram. */
  receive(datagram: DatagramInput): DatagramInput[] {
    return this.#taken(this.engine.handle(datagram, this.now));
  }

  /** Lets time pass. */
  wait(millis: number): void {
    this.now += millis;
    this.#taken(this.engine.handle({ kind: 'timer' }, this.now));
  }

  #taken(outputs: readonly Output[]): DatagramInput[] {
    this.outputs.push(...outputs);
    for (const output of outputs) if (output.kind === 'event') this.events.push(output.event);
    return outputs.flatMap((output) => (output.kind === 'send' ? [delivered(output)] : []));
  }

  /** Child SAs of a connection that are installed. */
  childrenOf(name: string): number {
    const standing = new Set<number>();
    for (const output of this.outputs) {
      if (output.kind === 'install-child' && output.child.connection === name) standing.add(output.child.id);
      if (output.kind === 'remove-child') standing.delete(output.childId);
    }
    return standing.size;
  }
}

function delivered({
  local,
  remote,
  natTraversalPort,
  bytes,
}: Extract<Output, { kind: 'send' }>): DatagramInput {
  return { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes };
}

/** What a request asks for. */
export type Wish = readonly Payload[];

/** What a hostile peer talks to: an engine in the same process, or one that is behind sockets and answers later. */
export interface Target {
  readonly now: number;
  /** The answers to a datagram, as far as they are there at once. */
  receive(datagram: DatagramInput): readonly DatagramInput[];
}

/** A peer of version 2 that has the key of its connection and says what it likes. */
export class HostilePeer<T extends Target = HostGateway> {
  readonly gateway: T;
  readonly #ctx: Context;
  readonly #v2: IkeV2;
  #lastSpi = 0x1000;

  /** `crypto`: a real one where the gateway has one. */
  constructor(
    gateway: T,
    patch: ConnectionPatch = {},
    address = EAST,
    crypto: CryptoBackend = createToyBackend(),
  ) {
    this.gateway = gateway;
    const own = connection('east', {
      ...patch,
      local: { ...patch.local, address },
      peer: { ...patch.peer, addresses: [WEST] },
    });
    const random = new SeededRandom(address === EAST ? 3 : 4);
    this.#ctx = new Context({
      crypto,
      random,
      limits: DEFAULT_LIMITS,
      config: { connections: [own] },
    });
    this.#v2 = new IkeV2(this.#ctx);
  }

  /** The IKE SA that stands. */
  get sa(): IkeSa {
    const sa = this.#v2.world.table.all().find((one) => one.state === 'established');
    if (sa === undefined) throw new Error('no IKE SA stands');
    return sa;
  }

  get isUp(): boolean {
    return this.#v2.world.table.all().some((one) => one.state === 'established');
  }

  connect(): this {
    this.#v2.initiate(this.#ctx.connection('site')!);
    this.#exchange();
    return this;
  }

  /**
   * One more IKE SA beside those that stand, as by a peer that does not say INITIAL_CONTACT. What the gateway says on
   * the others is not answered.
   */
  another(): void {
    initiate(this.#v2.world, this.#ctx.connection('site')!);
    this.#v2.tick();
    for (let requests = 0; requests < 2; requests++)
      for (const request of this.#sent())
        for (const answer of this.gateway.receive(request)) this.#v2.receive(answer);
    this.#ctx.drain();
  }

  /** Its IKE_AUTH request, which is not sent; it may come in several fragments. */
  authRequest(): DatagramInput[] {
    this.#v2.initiate(this.#ctx.connection('site')!);
    for (const request of this.#sent()) {
      for (const answer of this.gateway.receive(request)) this.#v2.receive(answer);
    }
    return this.#sent();
  }

  /** Rekeys its IKE SA, if the gateway takes it, and deletes the old one unless it is to `leave` it. */
  rekey(leave = false): void {
    const old = this.sa;
    old.tasks.push(rekeyIkeTask());
    this.#v2.tick();
    if (!leave) {
      this.#exchange();
      return;
    }
    for (const request of this.#sent()) {
      for (const answer of this.gateway.receive(request)) this.#v2.receive(answer);
    }
    this.#ctx.drain();
    if (old.state === 'deleting') this.#v2.world.table.remove(old);
  }

  /** Takes an answer, or a request of the gateway; what it says to it goes out at once. */
  hear(datagram: DatagramInput): void {
    this.#ctx.now = this.gateway.now;
    this.#v2.receive(datagram);
    this.#exchange();
  }

  /** Does what is due by now, repetitions among it. */
  tick(): void {
    this.#ctx.now = this.gateway.now;
    this.#v2.tick();
    this.#exchange();
  }

  /** A request, as a datagram. Each has the next message id. */
  sealed(exchangeType: number, payloads: Wish, id = this.sa.nextMessageId++): DatagramInput {
    const { sa } = this;
    const bytes = sa.protection!.seal(headerOf(sa, exchangeType, id, false), payloads);
    const { local, remote, natTraversalPort } = sa;
    return { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes };
  }

  /** What the gateway says to a request: names of notifications, or `child`, `delete`, `nothing`, `silence`. */
  ask(exchangeType: number, payloads: Wish): string {
    return this.heard(this.gateway.receive(this.sealed(exchangeType, payloads)));
  }

  heard(answers: readonly DatagramInput[]): string {
    const [bytes] = answers.map((one) => one.bytes);
    const message = bytes && decodeMessage(bytes);
    const sealed = message?.ok === true ? message.value.payloads.at(-1) : undefined;
    if (sealed?.kind !== 'sk') return bytes === undefined ? 'silence' : 'fragments';
    const opened = this.sa.protection!.open(bytes!, sealed);
    if (!opened.ok) return 'unreadable';
    const words = opened.value.map((one) =>
      one.kind === 'notify' ? nameOf('notify', one.type) : one.kind === 'sa' ? 'child' : one.kind,
    );
    return words.length === 0 ? 'nothing' : words.includes('child') ? 'child' : words[0]!;
  }

  /** CREATE_CHILD_SA for these selectors, the gateway's ones second. */
  child(peer: readonly TrafficSelector[], local: readonly TrafficSelector[], spi = this.#lastSpi++): Wish {
    const { espProposals } = this.#ctx.connection('site')!;
    return [
      { kind: 'sa', proposals: espOffer(espProposals, spiBytes(spi), true) },
      { kind: 'nonce', data: this.#ctx.random.bytes(32) },
      { kind: 'tsi', selectors: peer },
      { kind: 'tsr', selectors: local },
    ];
  }

  askChild(peer = selectors(['10.1.0.0/24']), local = selectors(['10.2.0.0/24'])): string {
    return this.ask(ExchangeType.CREATE_CHILD_SA, this.child(peer, local));
  }

  #sent(): DatagramInput[] {
    return this.#ctx.drain().flatMap((output) => (output.kind === 'send' ? [delivered(output)] : []));
  }

  #exchange(): void {
    for (let rounds = 0; rounds < 20; rounds++) {
      this.#ctx.now = this.gateway.now;
      const sent = this.#sent();
      if (sent.length === 0) return;
      for (const datagram of sent)
        for (const answer of this.gateway.receive(datagram)) this.#v2.receive(answer);
    }
  }
}

/** The honest peer of a `HostGateway`. */
export function honestPeer(gateway: HostGateway): HostilePeer {
  const patch = { local: { identity: 'honest.example', cidrs: ['10.3.0.0/24'] } };
  return new HostilePeer(gateway, patch, HONEST);
}

/** `count` selectors of a network that cut one another. */
export function selectorBomb(network: string, count = 254): TrafficSelector[] {
  return plates(selectors([network])[0]!, count);
}
