import { Context } from '#culvert/ike/context.js';
import type { Engine } from '#culvert/ike/engine.js';
import { DEFAULT_LIMITS } from '#culvert/ike/limits.js';
import { espOffer } from '#culvert/ike/policy/proposals.js';
import { spiBytes } from '#culvert/ike/sa/esp-spi.js';
import type { IkeSa } from '#culvert/ike/v2/ike-sa.js';
import { IkeV2 } from '#culvert/ike/v2/protocol.js';
import { headerOf } from '#culvert/ike/v2/send.js';
import { rekeyIkeTask } from '#culvert/ike/v2/tasks.js';
import type { Payload, TrafficSelector } from '#culvert/wire/ike/payloads.js';
import { ExchangeType, ProtocolId } from '#culvert/wire/ike/registry.js';
import { arriving, crypto, GATEWAY, NOW, peerConnection, random, STRANGER, sent } from './hostile-gateway.js';
import { plates } from './hostile-selectors.js';

const SELECTORS = 254;
const DELETES = { payloads: 15, spis: 1024 };
/** Child SAs that are asked for at most until the gateway has no place left. */
const MAX_CHILDREN = 64;

/** A peer of version 2 that has the key of its connection with a gateway, and says what it likes. */
export class HostilePeer {
  readonly #gateway: Engine;
  readonly #ctx = new Context({
    crypto,
    random,
    limits: DEFAULT_LIMITS,
    config: { connections: [peerConnection('peer')] },
  });
  readonly #v2 = new IkeV2(this.#ctx);
  #lastSpi = 0x1000;

  constructor(gateway: Engine) {
    this.#gateway = gateway;
    this.#ctx.now = NOW;
  }

  /** @throws Error when the gateway does not take it */
  connect(): this {
    this.#v2.initiate(this.#ctx.connection('peer')!);
    this.#exchange();
    if (this.#sa.service?.children.size === 0) throw new Error('the gateway made no child SA');
    return this;
  }

  /** CREATE_CHILD_SA with selectors that cut one another, at either end. */
  selectorBomb(): () => Uint8Array {
    const { local, peer } = this.#sa.connection!;
    const [mine, theirs] = [plates(local.selectors[0]!, SELECTORS), plates(peer.selectors[0]!, SELECTORS)];
    return () => this.#createChild(mine, theirs);
  }

  /** INFORMATIONAL of about 61 KiB. */
  deleteOfMany(): () => Uint8Array {
    const payloads = Array.from({ length: DELETES.payloads }, (_, i) => ({
      kind: 'delete' as const,
      protocol: ProtocolId.ESP,
      spis: Array.from({ length: DELETES.spis }, (_, j) => spiBytes(0x2000 + DELETES.spis * i + j)),
    }));
    return () => this.#sealed(ExchangeType.INFORMATIONAL, payloads);
  }

  /** CREATE_CHILD_SA when the connection has all child SAs that it may have. */
  childTooMany(): () => Uint8Array {
    const { local, peer } = this.#sa.connection!;
    const next = (): Uint8Array => this.#createChild(local.selectors, peer.selectors);
    for (let n = 0; n < MAX_CHILDREN; n++) this.#gateway.handle(arriving(next()), NOW);
    return next;
  }

  /** Request for a new IKE SA in place of this one. */
  rekey(): Uint8Array {
    this.#sa.tasks.push(rekeyIkeTask());
    this.#v2.tick();
    const [request] = sent(this.#ctx.drain());
    if (request === undefined) throw new Error('the rekeying did not begin');
    return request;
  }

  /** @throws Error when `answers` brings no new IKE SA */
  rekeyed(answers: readonly Uint8Array[]): void {
    const before = this.#sa;
    for (const bytes of answers) this.#v2.receive(arriving(bytes, GATEWAY, STRANGER));
    this.#exchange();
    if (this.#sa === before) throw new Error('the gateway did not take the rekeying');
  }

  get #sa(): IkeSa {
    const sa = this.#v2.world.table.all().find((one) => one.state === 'established');
    if (sa === undefined) throw new Error('no IKE SA stands');
    return sa;
  }

  #createChild(local: readonly TrafficSelector[], peer: readonly TrafficSelector[]): Uint8Array {
    const { espProposals } = this.#sa.connection!;
    return this.#sealed(ExchangeType.CREATE_CHILD_SA, [
      { kind: 'sa', proposals: espOffer(espProposals, spiBytes(this.#lastSpi++), true) },
      { kind: 'nonce', data: random.bytes(32) },
      { kind: 'tsi', selectors: local },
      { kind: 'tsr', selectors: peer },
    ]);
  }

  #sealed(exchangeType: number, payloads: readonly Payload[]): Uint8Array {
    const sa = this.#sa;
    return sa.protection!.seal(headerOf(sa, exchangeType, sa.nextMessageId++, false), payloads);
  }

  /** Message by message, until neither end has anything to say. */
  #exchange(): void {
    for (let out = sent(this.#ctx.drain()); out.length > 0; out = sent(this.#ctx.drain())) {
      const answers = out.flatMap((bytes) => sent(this.#gateway.handle(arriving(bytes), NOW)));
      for (const bytes of answers) this.#v2.receive(arriving(bytes, GATEWAY, STRANGER));
    }
  }
}
