import fc from 'fast-check';
import t from 'tap';
import { hash1 } from '../../../src/crypto/keymat-v1.js';
import { HalfOpenLedger } from '../../../src/ike/admission/half-open.js';
import { Context } from '../../../src/ike/context.js';
import type { IkeEvent } from '../../../src/ike/events.js';
import { DEFAULT_LIMITS } from '../../../src/ike/limits.js';
import type { Output } from '../../../src/ike/outputs.js';
import { networkPairs } from '../../../src/ike/policy/carried-pairs.js';
import { espOfferV1, offeredGroup } from '../../../src/ike/policy/proposals-v1.js';
import { quickIdentity } from '../../../src/ike/policy/quick-identities-v1.js';
import { type IsakmpSa, isKeyed, isUp } from '../../../src/ike/v1/isakmp-sa.js';
import { IkeV1 } from '../../../src/ike/v1/protocol.js';
import { encodeLifetime } from '../../../src/ike/v1/responder-lifetime.js';
import { isakmpSpi, noteExchange, notify, sealedWithHash } from '../../../src/ike/v1/send.js';
import type { Random } from '../../../src/util/random.js';
import type { V1Payload } from '../../../src/wire/ike/v1/payloads.js';
import { IPSEC_DOI, V1Exchange, V1Mode, V1Notify, V1Protocol } from '../../../src/wire/ike/v1/registry.js';
import { anyV1Payload } from '../../helpers/arbitrary-v1-payloads.js';
import { connection, EAST, WEST } from '../../helpers/engine-pair.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { createToyBackend } from '../../helpers/toy-crypto.js';
import { v1 } from '../../helpers/v1-pair.js';

const toy = createToyBackend();

/** Version 1 alone, with its world in reach. */
class Peer {
  readonly ctx: Context;
  readonly ike: IkeV1;
  readonly address: string;
  readonly events: IkeEvent[] = [];
  outputs: Output[] = [];

  constructor(side: 'east' | 'west', seed: number, random: Random = new SeededRandom(seed)) {
    this.address = side === 'east' ? EAST : WEST;
    this.ctx = new Context({
      crypto: toy,
      random,
      limits: DEFAULT_LIMITS,
      config: { connections: [connection(side, v1())] },
    });
    this.ike = new IkeV1(this.ctx, {
      halfOpen: new HalfOpenLedger(DEFAULT_LIMITS),
      espSpis: new Set(),
      expectedSpis: new Set(),
    });
  }

  get sa(): IsakmpSa {
    return this.ike.world.table.all()[0]!;
  }

  drain(): Output[] {
    this.ike.tick();
    const outputs = this.ctx.drain();
    this.outputs.push(...outputs);
    for (const one of outputs) if (one.kind === 'event') this.events.push(one.event);
    return outputs;
  }

  receive(bytes: Uint8Array, from: string): Output[] {
    const local = { address: this.address, port: 500 };
    const remote = { address: from, port: 500 };
    this.ike.receive({ kind: 'datagram', local, remote, natTraversalPort: false, bytes });
    return this.drain();
  }
}

/** Two ends that are up; messages go from one to the other at once. */
function up(seed: number): { east: Peer; west: Peer } {
  const [east, west] = [new Peer('east', seed), new Peer('west', seed + 1000)];
  east.ike.initiate(east.ctx.connection('site')!);
  deliver(east.drain(), east, west);
  if (east.ike.world.children.size !== 1 || west.ike.world.children.size !== 1) throw new Error('not up');
  return { east, west };
}

function deliver(outputs: readonly Output[], from: Peer, to: Peer): void {
  for (const one of outputs) if (one.kind === 'send') deliver(to.receive(one.bytes, from.address), to, from);
}

/** A message of the east under its own keys, with a HASH that holds. */
function authentic(east: Peer, type: number, messageId: number, payloads: readonly V1Payload[]): Uint8Array {
  const { sa } = east;
  if (!isKeyed(sa)) throw new Error('no keys');
  const { protection } = sa.phase;
  const chain = protection.exchange(messageId);
  return sealedWithHash(east.ike.world, sa, { protection, type, messageId, chain }, payloads, (behind) =>
    hash1(protection.prf, protection.keys.skeyidA, messageId, behind),
  );
}

t.test('whatever an authenticated peer sends in phase 2 or informational, nothing throws', async (t) => {
  let seed = 1;
  fc.assert(
    fc.property(
      fc.array(fc.tuple(fc.array(anyV1Payload, { maxLength: 7 }), fc.boolean()), {
        minLength: 1,
        maxLength: 10,
      }),
      (messages) => {
        const { east, west } = up(seed++);
        for (const [n, [payloads, quick]] of messages.entries()) {
          const type = quick ? V1Exchange.QUICK_MODE : V1Exchange.INFORMATIONAL;
          // DELETE of all SAs may well end them; everything after that finds none.
          if (!isKeyed(east.sa) || west.ike.world.table.size === 0) break;
          const before = west.events.length;
          west.receive(authentic(east, type, 100 + n, payloads), EAST);
          const forged = west.events
            .slice(before)
            .some((event) => event.kind === 'datagram-dropped' && event.reason === 'decryption_failed');
          if (forged) return false;
        }
        return true;
      },
    ),
    { numRuns: 800, seed: 7 },
  );
  t.pass();
});

const spi = (n: number): Uint8Array => Uint8Array.of(n >>> 24, (n >>> 16) & 0xff, (n >>> 8) & 0xff, n & 0xff);

t.test('informational exchanges by their effects', async (t) => {
  const inform = (
    payloads: readonly V1Payload[],
    check: (west: Peer, outputs: Output[], east: Peer) => void,
    id = 5,
  ) => {
    const { east, west } = up(1);
    check(west, west.receive(authentic(east, V1Exchange.INFORMATIONAL, id, payloads), EAST), east);
  };
  const { east: donor } = up(1);
  const [child] = donor.ike.world.children.of('site');
  inform(
    [{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis: [spi(child!.spiIn)] }],
    (west) => {
      t.match(west.events.at(-1), { kind: 'child-closed', reason: 'peer-deleted' });
      t.equal(west.ike.world.table.size, 1, 'phase 1 stands');
    },
  );
  inform(
    [{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis: [spi(child!.spiOut)] }],
    (west) => {
      t.equal(west.ike.world.children.size, 0, 'the SPI of the other direction');
      t.match(
        west.events.filter(({ kind }) => kind === 'quirk'),
        [{ connection: 'site', code: 'delete_of_other_spi' }],
      );
    },
  );
  inform([{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis: [spi(7777)] }], (west) => {
    t.equal(west.ike.world.children.size, 1, 'an SPI that is none of ours');
  });
  inform([{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.AH, spis: [spi(child!.spiIn)] }], (west) => {
    t.equal(west.ike.world.children.size, 1, 'another protocol');
  });
  inform([notify(V1Notify.INVALID_SPI, { protocol: V1Protocol.ESP, spi: spi(child!.spiIn) })], (west) => {
    t.equal(west.ike.world.children.size, 0, 'the peer has no such SA');
  });
  inform(
    [{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ISAKMP, spis: [isakmpSpi(donor.sa)] }],
    (west, _outputs, east) => {
      t.match(west.events.at(-1), { kind: 'ike-closed', reason: 'peer-deleted' });
      t.equal(west.ike.world.children.size, 1, 'DELETE takes what it names (RFC 2408 §3.15)');
      const overtaken = [
        { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis: [spi(child!.spiIn)] },
      ] as const;
      west.receive(authentic(east, V1Exchange.INFORMATIONAL, 6, overtaken), EAST);
      t.equal(west.ike.world.children.size, 0, 'a DELETE that it has overtaken is still read');
    },
  );
  inform(
    [{ kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ISAKMP, spis: [new Uint8Array(16)] }],
    (west) => {
      t.equal(west.ike.world.table.size, 1, 'other cookies');
    },
  );
  inform([notify(V1Notify.R_U_THERE, { spi: isakmpSpi(donor.sa), data: spi(41) })], (west, outputs, east) => {
    t.equal(outputs.filter((one) => one.kind === 'send').length, 1, 'acknowledged');
    const ask = (id: number, number: number): number =>
      west
        .receive(
          authentic(east, V1Exchange.INFORMATIONAL, id, [notify(V1Notify.R_U_THERE, { data: spi(number) })]),
          EAST,
        )
        .filter((one) => one.kind === 'send').length;
    t.equal(ask(6, 42), 1, 'the next number');
    t.equal(ask(7, 42), 1, 'the same number under another message id: the answer was lost');
    t.equal(ask(8, 40), 0, 'an older number is an old message');
    t.equal(ask(6, 43), 0, 'a message id that came before');
  });
  const ofChild = { protocol: V1Protocol.ESP, spi: spi(child!.spiIn) };
  const shorter = encodeLifetime('ipsec', 600);
  inform([notify(V1Notify.RESPONDER_LIFETIME, { ...ofChild, data: shorter })], (west) => {
    const [shortened] = west.ike.world.children.of('site');
    t.ok(shortened!.expiresAt <= 600_000 && shortened!.rekeyAt < 600_000, 'the ESP SAs end with it');
    const { id: childId, rekeyAt } = shortened!;
    t.match(west.events.at(-1), { kind: 'rescheduled', connection: 'site', childId, rekeyAt });
    const [sa] = west.ike.world.table.values();
    t.ok(isUp(sa!) && sa.phase.session.expiresAt > 600_000, 'and not the ISAKMP SA');
  });
  inform(
    [notify(V1Notify.RESPONDER_LIFETIME, { ...ofChild, data: encodeLifetime('ipsec', 90_000) })],
    (west) => {
      t.equal(west.ike.world.children.of('site')[0]!.expiresAt, 3_600_000, 'a longer one changes nothing');
    },
  );
  inform([notify(V1Notify.RESPONDER_LIFETIME, { ...ofChild, spi: spi(7777), data: shorter })], (west) => {
    t.equal(west.ike.world.children.of('site')[0]!.expiresAt, 3_600_000, 'an SPI that is none of ours');
  });
  const ofIsakmp = { spi: isakmpSpi(donor.sa), data: encodeLifetime('isakmp', 600) };
  inform([notify(V1Notify.RESPONDER_LIFETIME, ofIsakmp)], (west) => {
    const [sa] = west.ike.world.table.values();
    const session = isUp(sa!) ? sa.phase.session : undefined;
    t.ok(session!.expiresAt <= 600_000 && session!.rekeyAt < 600_000, 'the ISAKMP SA ends with it');
    const news = { kind: 'rescheduled', connection: 'site', ikeId: sa!.id, rekeyAt: session!.rekeyAt };
    t.match(west.events.at(-1), news, 'and its rekeying is reported for when it will be');
    t.equal(west.ike.world.children.of('site')[0]!.expiresAt, 3_600_000, 'and not the ESP SAs');
  });
  const tenMegabytes = Uint8Array.from([0x80, 1, 0, 2, 0x80, 2, 0x28, 0]);
  inform([notify(V1Notify.RESPONDER_LIFETIME, { ...ofChild, data: tenMegabytes })], (west) => {
    const { volume } = west.ike.world.children.of('site')[0]!;
    t.equal(volume.expiresAt.bytes, 10_240 * 1024);
    t.ok(volume.rekeyAt.bytes < volume.expiresAt.bytes);
  });
  inform([notify(V1Notify.R_U_THERE, { data: new Uint8Array(3) })], (_west, outputs) => {
    t.equal(outputs.filter((one) => one.kind === 'send').length, 0);
  });
});

/** The next octets that make an SPI are these. */
class ChosenSpi implements Random {
  readonly #random = new SeededRandom(99);
  next: Uint8Array | undefined;

  bytes(length: number): Uint8Array {
    const chosen = length === 4 ? this.next : undefined;
    if (chosen === undefined) return this.#random.bytes(length);
    this.next = undefined;
    return chosen;
  }
}

// A peer that offers the SPI of SAs that stand would make two pairs of SAs one to its packets.
for (const role of ['initiator', 'responder'] as const) {
  t.test(`strongSwan #2778: an SPI that stands is refused from the ${role} of quick mode`, async (t) => {
    const random = new ChosenSpi();
    const east = new Peer('east', 1, random);
    const west = new Peer('west', 2);
    east.ike.initiate(east.ctx.connection('site')!);
    deliver(east.drain(), east, west);
    const [standing] = east.ike.world.children.of('site');
    east.ike.world.espSpis.delete(standing!.spiIn);
    random.next = spi(standing!.spiIn);
    const [from, to] = role === 'initiator' ? [east, west] : [west, east];
    from.ike.renew(from.ctx.connection('site')!, 'children');
    deliver(from.drain(), from, to);
    const failed = west.events.filter((event) => event.kind === 'child-failed');
    t.match(failed, [{ failure: { cause: 'invalid_syntax', message: /the SPI of an ESP SA that stands/ } }]);
    for (const peer of [east, west]) t.ok(peer.ike.world.children.has(standing!.id) || peer === west);
    t.strictSame(
      west.ike.world.children.of('site').map((one) => one.spiOut),
      [standing!.spiIn],
    );
    random.next = undefined;
    west.ike.renew(west.ctx.connection('site')!, 'children');
    deliver(west.drain(), west, east);
    t.ok(west.ike.world.children.size > 1, 'another one is taken');
  });
}

// RFC 2408 §3.1: message ids are unique for the life of the SA, so all of them are kept, and that has an end.
t.test(
  'an ISAKMP SA with 65,536 exchanges is rekeyed; one that nobody rekeys ends at twice as many',
  async (t) => {
    const { east } = up(1);
    const { sa } = east;
    for (let id = 1; sa.messageIds.size < 2 ** 16 - 1; id++) noteExchange(east.ike.world, sa, id);
    east.drain();
    t.equal(east.ike.world.table.size, 1);
    noteExchange(east.ike.world, sa, 2 ** 30);
    east.drain();
    t.equal(east.ike.world.table.size, 2, 'a main mode is under way');
    t.ok(sa.messageIds.has(1), 'and nothing was forgotten for it');
    for (let id = 2 ** 20; sa.messageIds.size < 2 ** 17; id++) noteExchange(east.ike.world, sa, id);
    east.drain();
    t.equal(sa.state, 'gone');
  },
);

t.test('a peer that wants Mode Config: the reason is told, and is that of the end', async (t) => {
  const { east, west } = up(1);
  const unread = { kind: 'unknown', type: 14, body: Uint8Array.of(1, 0, 0, 7, 0, 1, 0, 0) } as const;
  const ask = (id: number) => west.receive(authentic(east, V1Exchange.TRANSACTION, id, [unread]), EAST);
  ask(5);
  const failure = {
    cause: 'unsupported',
    message: /Mode Config or XAUTH/,
    details: { exchange: 'TRANSACTION' },
  };
  t.match(
    west.events.filter(({ kind }) => kind === 'child-failed'),
    [{ role: 'responder', failure }],
  );
  ask(6);
  t.equal(west.events.filter(({ kind }) => kind === 'child-failed').length, 1, 'once an ISAKMP SA');
  for (let second = 0; second < 60; second++) {
    west.ctx.now += 1000;
    west.drain();
  }
  t.match(
    west.events.filter(({ kind }) => kind === 'ike-closed'),
    [{ reason: 'peer-dead', failure }],
  );
  const forged = up(2);
  const bytes = authentic(forged.east, V1Exchange.TRANSACTION, 5, [unread]);
  bytes[bytes.length - 1] = bytes[bytes.length - 1]! ^ 1;
  forged.west.receive(bytes, EAST);
  t.match(forged.west.events.at(-1), { kind: 'datagram-dropped', reason: 'decryption_failed' });
});

/** Message 1 of quick mode for the configured networks, under this SPI. */
function quickRequest(east: Peer, messageId: number): Uint8Array {
  const site = east.ctx.connection('site')!;
  const [pair] = networkPairs(site);
  const proposals = espOfferV1(site.espProposals, {
    spi: spi(0x10000 + messageId),
    group: offeredGroup(site.espProposals),
    mode: V1Mode.TUNNEL,
    seconds: 3600,
  });
  return authentic(east, V1Exchange.QUICK_MODE, messageId, [
    { kind: 'sa', proposals },
    { kind: 'nonce', data: new Uint8Array(32).fill(messageId) },
    quickIdentity(pair!.local),
    quickIdentity(pair!.peer),
  ]);
}

t.test('a peer has no more ESP SAs than its connection may have', async (t) => {
  const { east, west } = up(1);
  for (let id = 100; id < 130; id++) west.receive(quickRequest(east, id), EAST);
  t.equal(west.ike.world.children.size, 12, 'four for its pair of networks and eight beside');
  const refused = west.events.filter((event) => event.kind === 'child-failed');
  t.equal(refused.length, 30 - 11);
  t.match(refused[0], { failure: { cause: 'child_sa_limit' } });
  const [child] = west.ike.world.children.of('site');
  const spis = [...Array.from({ length: 11 }, (_, i) => spi(i + 1)), spi(child!.spiOut)];
  west.receive(
    authentic(east, V1Exchange.INFORMATIONAL, 200, [
      { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis },
    ]),
    EAST,
  );
  t.equal(west.ike.world.children.size, 11, 'one deleted');
  west.receive(quickRequest(east, 201), EAST);
  t.equal(west.ike.world.children.size, 12, 'makes room for another');
});

t.test('requests beyond the budget of a connection are dropped', async (t) => {
  const { east, west } = up(1);
  const ask = (id: number): number =>
    west
      .receive(
        authentic(east, V1Exchange.INFORMATIONAL, id, [notify(V1Notify.R_U_THERE, { data: spi(id) })]),
        EAST,
      )
      .filter((one) => one.kind === 'send').length;
  const answers = Array.from({ length: 300 }, (_, i) => ask(1000 + i)).reduce((sum, one) => sum + one, 0);
  t.ok(answers >= 250 && answers <= 256, `${answers} of 300 at once are answered`);
  t.match(west.events.at(-1), { kind: 'datagram-dropped', reason: 'rate_limited' });
  west.receive(quickRequest(east, 2000), EAST);
  t.equal(west.ike.world.children.size, 1, 'quick modes are requests, too');
  west.ctx.now += 1000;
  t.equal(ask(3000), 1, 'a second later it is heard again');
  const probes = Array.from({ length: 60 }, (_, i) => notify(V1Notify.R_U_THERE, { data: spi(4000 + i) }));
  const sent = west
    .receive(authentic(east, V1Exchange.INFORMATIONAL, 4000, probes), EAST)
    .filter((one) => one.kind === 'send').length;
  t.ok(sent <= 16, `one message with 60 questions has ${sent} answers`);
});

t.test('the SPIs of all DELETE payloads of a message are bounded together', async (t) => {
  const lookUps = (payloads: number): number => {
    const { east, west } = up(1);
    const { children } = west.ike.world;
    const byOutboundSpi = children.byOutboundSpi.bind(children);
    let count = 0;
    children.byOutboundSpi = (...args) => {
      count++;
      return byOutboundSpi(...args);
    };
    const spis = Array.from({ length: 100 }, (_, i) => spi(7000 + i));
    const one: V1Payload = { kind: 'delete', doi: IPSEC_DOI, protocol: V1Protocol.ESP, spis };
    west.receive(authentic(east, V1Exchange.INFORMATIONAL, 5, new Array(payloads).fill(one)), EAST);
    return count;
  };
  const limit = up(1).west.ctx.budget.childLimit('site');
  t.equal(lookUps(1), limit);
  t.equal(lookUps(16), limit);
});
