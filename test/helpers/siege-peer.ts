import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { DatagramInput } from '../../src/ike/inputs.js';
import { spiBytes } from '../../src/ike/sa/esp-spi.js';
import { toHex } from '../../src/util/bytes.js';
import { decodeHeader } from '../../src/wire/ike/message.js';
import { ExchangeType, ProtocolId } from '../../src/wire/ike/registry.js';
import { EAST, selectors, WEST } from './engine-pair.js';
import { HostilePeer, selectorBomb, type Target } from './hostile-peer.js';

/*
 * An authenticated peer that besieges its gateway: run in the namespace that has the address EAST, with the gateway at
 * WEST, which knows the two by their addresses. It connects, prints a report, and waits for input. Then it asks for
 * child SAs in selectors that cut one another, for rekeys of its IKE SA and for plain child SAs, all three in turn and
 * each as often as `GOALS` says in about eight seconds, and goes on at that pace until its input ends. When it has no
 * place left it deletes its child SAs, so that the next bomb is looked at again. Each line of output is a `SiegeReport`.
 */

/** What it asks for, and how often in `PACE` milliseconds. */
export const GOALS = { bombs: 1000, rekeys: 1000, children: 16_384 } as const;

export interface SiegeReport {
  readonly sent: Readonly<Record<keyof typeof GOALS, number>>;
  /** Answers to all but rekeys by what they say: the name of a notification, `child`, or `delete` and `nothing`. */
  readonly answers: Readonly<Record<string, number>>;
  /** IKE SAs that it has had. */
  readonly ikeSas: number;
}

type Kind = keyof typeof GOALS;

/** SPIs in one DELETE payload, and payloads in one request: more would be malformed, or too long. */
const MAX_SPIS = 1024;
const MAX_DELETES = 10;

const TICK = 10;
const PACE = 8000;
const KINDS = Object.keys(GOALS) as Kind[];
/** Of one kind in one tick: the kinds take turns. */
const burstOf = (kind: Kind): number => Math.ceil((GOALS[kind] * TICK * KINDS.length) / PACE);

/** The gateway, behind sockets. */
class RemoteGateway implements Target {
  readonly #sockets: ReadonlyMap<boolean, Socket>;
  /** The last CREATE_CHILD_SA of the engine's own: it rekeys nothing but its IKE SA. */
  lastRekey: DatagramInput | undefined;

  private constructor(sockets: ReadonlyMap<boolean, Socket>) {
    this.#sockets = sockets;
  }

  static async open(heard: (datagram: DatagramInput) => void): Promise<RemoteGateway> {
    const sockets = new Map<boolean, Socket>();
    for (const natTraversalPort of [false, true]) {
      const local = { address: EAST, port: natTraversalPort ? 4500 : 500 };
      const socket = createSocket('udp4', (bytes, { address, port }) => {
        const skip = natTraversalPort ? 4 : 0;
        if (bytes.readUInt32BE() !== 0 && natTraversalPort) return;
        const remote = { address, port };
        heard({ kind: 'datagram', local, remote, natTraversalPort, bytes: bytes.subarray(skip) });
      });
      socket.bind(local.port, local.address);
      await once(socket, 'listening');
      sockets.set(natTraversalPort, socket);
    }
    return new RemoteGateway(sockets);
  }

  get now(): number {
    return performance.now();
  }

  receive(datagram: DatagramInput): [] {
    const header = decodeHeader(datagram.bytes);
    if (header.ok && header.value.exchangeType === ExchangeType.CREATE_CHILD_SA) this.lastRekey = datagram;
    this.send(datagram);
    return [];
  }

  send({ local, natTraversalPort, bytes }: DatagramInput): void {
    const marked = natTraversalPort ? [new Uint8Array(4), bytes] : [bytes];
    // A full buffer or an ICMP error is no more to a besieger than a loss.
    this.#sockets.get(natTraversalPort)!.send(marked, local.port, local.address, () => {});
  }

  close(): void {
    for (const socket of this.#sockets.values()) socket.close();
  }
}

class Besieger {
  readonly #gateway: RemoteGateway;
  readonly #peer: HostilePeer<RemoteGateway>;
  readonly #sent = { bombs: 0, rekeys: 0, children: 0 };
  readonly #answers = new Map<string, number>();
  readonly #ikeSas = new Set<string>();
  readonly #bomb = [selectorBomb('10.1.0.0/24'), selectorBomb('10.2.0.0/24')] as const;
  readonly #plain = [selectors(['10.1.0.0/24']), selectors(['10.2.0.0/24'])] as const;
  /** What is asked for under the next message id until that is answered. */
  #turn: Kind | 'deletes' | undefined;
  #lastSpi = 0x10_0000;
  /** What was proposed as SPIs under the present message id, and of those that have led to a child SA. */
  #proposed: Uint8Array[] = [];
  #standing: Uint8Array[] = [];

  private constructor(gateway: RemoteGateway) {
    this.#gateway = gateway;
    const patch = { local: { identity: EAST }, peer: { identity: WEST } };
    this.#peer = new HostilePeer(gateway, patch, EAST, createOpensslBackend());
  }

  static async open(): Promise<Besieger> {
    const made: { besieger?: Besieger } = {};
    const gateway = await RemoteGateway.open((datagram) => made.besieger?.heard(datagram));
    made.besieger = new Besieger(gateway);
    return made.besieger;
  }

  async connect(): Promise<void> {
    this.#peer.connect();
    while (!this.#peer.isUp) {
      await sleep(TICK);
      this.#peer.tick();
    }
  }

  close(): void {
    this.#gateway.close();
  }

  get report(): SiegeReport {
    return {
      sent: { ...this.#sent },
      answers: Object.fromEntries(this.#answers),
      ikeSas: this.#ikeSas.size,
    };
  }

  tick(): void {
    const peer = this.#peer;
    peer.tick();
    const { sa } = peer;
    this.#ikeSas.add(sa.localSpi);
    this.#turn ??= KINDS.toSorted((a, b) => this.#sent[a] / GOALS[a] - this.#sent[b] / GOALS[b])[0]!;
    if (this.#turn === 'rekeys') this.#rekey();
    // An exchange of the engine's own may be under way, which takes up the message id.
    else if (sa.active !== undefined) return;
    else if (this.#turn === 'deletes') this.#delete();
    else this.#ask(this.#turn);
  }

  #ask(kind: 'bombs' | 'children'): void {
    const { sa } = this.#peer;
    const [own, other] = kind === 'bombs' ? this.#bomb : this.#plain;
    for (let n = burstOf(kind); n > 0; n--) {
      const spi = this.#lastSpi++;
      this.#proposed.push(spiBytes(spi));
      const wish = this.#peer.child(own, other, spi);
      this.#gateway.send(this.#peer.sealed(ExchangeType.CREATE_CHILD_SA, wish, sa.nextMessageId));
      this.#sent[kind]++;
    }
  }

  /** Which of the proposed SPIs the gateway has taken is not known: those it does not have cost it nothing. */
  #delete(): void {
    const { sa } = this.#peer;
    const count = Math.min(MAX_DELETES, Math.ceil(this.#standing.length / MAX_SPIS));
    const wish = Array.from({ length: count }, (_, n) => ({
      kind: 'delete' as const,
      protocol: ProtocolId.ESP,
      spis: this.#standing.slice(n * MAX_SPIS, (n + 1) * MAX_SPIS),
    }));
    this.#gateway.send(this.#peer.sealed(ExchangeType.INFORMATIONAL, wish, sa.nextMessageId));
  }

  /** Asked for once, and then again: what was dropped comes as a repetition. */
  #rekey(): void {
    for (let n = burstOf('rekeys'); n > 0; n--) {
      if (this.#peer.sa.active === undefined) this.#peer.rekey();
      else this.#gateway.send(this.#gateway.lastRekey!);
      this.#sent.rekeys++;
    }
  }

  heard(datagram: DatagramInput): void {
    const peer = this.#peer;
    const header = decodeHeader(datagram.bytes);
    if (!header.ok) return;
    const { response, messageId, initiatorSpi } = header.value;
    const ours = peer.isUp && toHex(initiatorSpi) === peer.sa.localSpi && peer.sa.active === undefined;
    if (!ours || !response || messageId !== peer.sa.nextMessageId || this.#turn === 'rekeys') {
      peer.hear(datagram);
      if (this.#turn === 'rekeys' && peer.sa.active === undefined) this.#turn = undefined;
      return;
    }
    const answer = peer.heard([datagram]);
    this.#answers.set(answer, (this.#answers.get(answer) ?? 0) + 1);
    if (answer === 'child') this.#standing.push(...this.#proposed);
    if (this.#turn === 'deletes') this.#standing = [];
    this.#proposed = [];
    peer.sa.nextMessageId++;
    this.#turn = answer === 'NO_ADDITIONAL_SAS' && this.#standing.length > 0 ? 'deletes' : undefined;
  }
}

if (process.argv[1] === import.meta.filename) {
  const besieger = await Besieger.open();
  const tell = (): void => console.log(JSON.stringify(besieger.report));
  await besieger.connect();
  tell();
  await once(process.stdin, 'data');
  const ticks = setInterval(() => besieger.tick(), TICK);
  const reports = setInterval(tell, 20 * TICK);
  await once(process.stdin, 'end');
  clearInterval(ticks);
  clearInterval(reports);
  tell();
  besieger.close();
}
