import fc from 'fast-check';
import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspSuite } from '../../src/crypto/types.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { concat, equalBytes, writeU32 } from '../../src/util/bytes.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { IpProtocol } from '../../src/wire/ip.js';
import {
  ESP_SUITES,
  findSuite,
  forgeEsp,
  inboundSa,
  innerPacket,
  outboundSa,
  rawKeys,
  selector,
  suiteName,
  TEST_SPI,
  withTrailer,
} from '../helpers/esp.js';
import { must } from '../helpers/results.js';

const crypto = createOpensslBackend();
const CBC = findSuite(Encr.AES_CBC, 128, Integ.HMAC_SHA2_256_128);
const GCM = findSuite(Encr.AES_GCM_16, 128);
const INNER = innerPacket('10.1.0.1', '10.2.0.1', 61);
const REFUSED_CIPHERTEXT = ['malformed', 'auth_failed'];

/** An authentic packet around this plaintext. */
function forge(suite: EspSuite, plaintext: Uint8Array, sequence = 1): Uint8Array {
  return forgeEsp(crypto, suite, rawKeys(suite), { spi: TEST_SPI, sequence }, plaintext);
}

t.test('a bit flipped in any octet', async (t) => {
  for (const suite of ESP_SUITES) {
    const packet = must(outboundSa(crypto, suite, 0x01020304).seal(INNER));
    const inbound = inboundSa(crypto, suite);
    for (let at = 0; at < packet.length; at++) {
      const damaged = packet.slice();
      damaged[at]! ^= 1 << (at % 8);
      const expected = at < 4 ? 'unknown_spi' : 'auth_failed';
      const result = inbound.open(damaged);
      if (result.ok || result.error !== expected) t.fail(`octet ${at}: ${JSON.stringify(result)}`);
    }
    t.equal(inbound.authenticPackets, 0);
    t.equal(inbound.highestSequence, 0, 'a failed tag never moves the window');
    t.ok(equalBytes(must(inbound.open(packet)), INNER), suiteName(suite));
  }
});

t.test('cut at any length, and with octets behind', async (t) => {
  for (const suite of ESP_SUITES) {
    const packet = must(outboundSa(crypto, suite).seal(INNER));
    const inbound = inboundSa(crypto, suite);
    for (let length = 0; length < packet.length; length++) {
      const result = inbound.open(packet.subarray(0, length));
      if (result.ok || !REFUSED_CIPHERTEXT.includes(result.error))
        t.fail(`${length} octets: ${JSON.stringify(result)}`);
    }
    for (let more = 1; more <= 32; more++) {
      const result = inbound.open(concat(packet, new Uint8Array(more)));
      if (result.ok || !REFUSED_CIPHERTEXT.includes(result.error)) t.fail(`${more} octets more`);
    }
    t.equal(inbound.authenticPackets, 0);
    t.ok(inbound.open(packet).ok, suiteName(suite));
  }
});

t.test('noise never throws and never passes', async (t) => {
  for (const suite of [CBC, GCM, findSuite(Encr.CHACHA20_POLY1305, 0)]) {
    const inbound = inboundSa(crypto, suite);
    const noise = fc.uint8Array({ maxLength: 200 }).map((bytes) => {
      // Half of them get past the SPI.
      if (bytes.length >= 4 && bytes[bytes.length - 1]! % 2 === 0) writeU32(bytes, 0, TEST_SPI);
      return bytes;
    });
    fc.assert(
      fc.property(noise, (bytes) => !inbound.open(bytes).ok),
      { numRuns: 500 },
    );
    t.equal(inbound.highestSequence, 0);
  }
});

t.test('padding with a valid ICV', async (t) => {
  for (const suite of [CBC, GCM, findSuite(Encr.TRIPLE_DES, 0, Integ.HMAC_MD5_96)]) {
    const good = withTrailer(suite, INNER, IpProtocol.IPV4);
    const padding = good.at(-2)!;
    const open = (plaintext: Uint8Array) => inboundSa(crypto, suite).open(forge(suite, plaintext));
    const changed = (at: number, value: number) => {
      const out = good.slice();
      out[out.length + at] = value;
      return open(out);
    };
    t.ok(open(good).ok, suiteName(suite));
    t.ok(padding > 0, 'there is padding to spoil');
    for (let at = 0; at < padding; at++) {
      t.same(changed(at - padding - 2, 0), { ok: false, error: 'bad_padding' }, `octet ${at} of the padding`);
    }
    t.same(changed(-2, 255), { ok: false, error: 'bad_padding' }, 'longer than the packet');
    t.same(changed(-2, good.length - 1), { ok: false, error: 'bad_padding' }, 'longer by one');
    t.same(changed(-2, padding + 1), { ok: false, error: 'bad_padding' }, 'reaches into the inner packet');
    // RFC 4303 §2.4 allows up to 255 octets of padding.
    const long = Uint8Array.from({ length: 254 - ((INNER.length + 254 + 2) % 16) }, (_, i) => i + 1);
    const padded = concat(INNER, long, Uint8Array.of(long.length, IpProtocol.IPV4));
    t.ok(equalBytes(must(open(padded)), INNER), `${long.length} octets of padding`);
  }
});

t.test('an authentic packet that is dropped counts as seen', async (t) => {
  const inbound = inboundSa(crypto, GCM);
  const spoiled = withTrailer(GCM, INNER, IpProtocol.IPV4);
  spoiled[spoiled.length - 3] = 99;
  t.same(inbound.open(forge(GCM, spoiled)), { ok: false, error: 'bad_padding' });
  t.equal(inbound.authenticPackets, 1);
  t.same(inbound.open(forge(GCM, withTrailer(GCM, INNER, IpProtocol.IPV4))), { ok: false, error: 'replay' });
});

t.test('next header', async (t) => {
  const inner6 = innerPacket('2001:db8:1::1', '2001:db8:2::1', 77);
  const open = (payload: Uint8Array, nextHeader: number) =>
    inboundSa(crypto, CBC).open(forge(CBC, withTrailer(CBC, payload, nextHeader)));
  t.ok(equalBytes(must(open(INNER, 4)), INNER));
  t.ok(equalBytes(must(open(inner6, 41)), inner6));
  t.same(open(INNER, 41), { ok: false, error: 'malformed' }, 'IPv4 that claims to be IPv6');
  t.same(open(inner6, 4), { ok: false, error: 'malformed' }, 'IPv6 that claims to be IPv4');
  t.same(open(Uint8Array.of(1, 2, 3), 59), { ok: false, error: 'dummy' });
  t.same(open(new Uint8Array(0), 59), { ok: false, error: 'dummy' }, 'a dummy without payload');
  for (const protocol of [0, 1, 6, 17, 50, 58, 255]) {
    t.same(open(INNER, protocol), { ok: false, error: 'bad_next_header' }, `protocol ${protocol}`);
  }
});

t.test('the inner packet', async (t) => {
  const open = (payload: Uint8Array) =>
    inboundSa(crypto, GCM).open(forge(GCM, withTrailer(GCM, payload, IpProtocol.IPV4)));
  const changed = (at: number, value: number) => {
    const out = INNER.slice();
    out[at] = value;
    return out;
  };
  t.ok(equalBytes(must(open(concat(INNER, new Uint8Array(300)))), INNER), 'traffic-flow padding is cut off');
  const malformed = { ok: false, error: 'malformed' };
  t.same(open(new Uint8Array(0)), malformed, 'empty');
  t.same(open(INNER.subarray(0, 19)), malformed, 'shorter than a header');
  t.same(open(INNER.subarray(0, 60)), malformed, 'shorter than its length says');
  t.same(open(changed(3, 19)), malformed, 'total length below the header');
  t.same(open(changed(0, 0x44)), malformed, 'header length below 20');
  t.same(open(changed(0, 0x4f)), { ok: true, value: changed(0, 0x4f) }, 'options are no matter of ours');
});

t.test('an inner packet outside the selectors', async (t) => {
  const local = [selector('10.1.0.0/24'), selector('2001:db8:1::/48')];
  const peer = [selector('10.2.0.0/24'), selector('2001:db8:2::/48', { protocol: 17, ports: [4660, 4660] })];
  const inbound = inboundSa(crypto, GCM, { selectors: new SelectorSet(local, peer) });
  const outbound = outboundSa(crypto, GCM);
  const passes = (source: string, destination: string, length = 100) =>
    inbound.open(must(outbound.seal(innerPacket(source, destination, length))));
  const refused = { ok: false, error: 'selector_mismatch' };
  t.ok(passes('10.2.0.9', '10.1.0.9').ok);
  t.same(passes('10.1.0.9', '10.2.0.9'), refused, 'the wrong way round');
  t.same(passes('10.3.0.9', '10.1.0.9'), refused, 'spoofed source');
  t.same(passes('10.2.0.9', '10.1.1.0'), refused, 'beyond our network');
  t.ok(passes('2001:db8:2::9', '2001:db8:1::9').ok);
  t.same(passes('2001:db8:2::9', '2001:db8:1::9', 44), refused, 'another protocol than the selector');
  t.same(passes('2001:db8:3::9', '2001:db8:1::9'), refused);
  t.equal(inbound.authenticPackets, 7);
});

/** The cases of VPP's IPsec tests, on a whole SA. */
t.test('replay', async (t) => {
  const stream = (count: number, last = 0) => {
    const outbound = outboundSa(crypto, GCM, last);
    return Array.from({ length: count }, () => must(outbound.seal(INNER)));
  };
  const replay = { ok: false, error: 'replay' };

  t.test('in order, then all again', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    const packets = stream(34);
    for (const packet of packets) t.ok(inbound.open(packet).ok);
    for (const packet of packets) t.same(inbound.open(packet), replay);
    t.equal(inbound.highestSequence, 34);
  });

  t.test('one number twice in a batch', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    const [a, b, c] = stream(3);
    const results = [a!, b!, b!, c!, a!].map((packet) => inbound.open(packet).ok);
    t.same(results, [true, true, false, true, false]);
  });

  t.test('the window moves; old numbers inside it still pass', async (t) => {
    const inbound = inboundSa(crypto, GCM, { replayWindow: 64 });
    const packets = stream(300);
    const open = (number: number) => inbound.open(packets[number - 1]!);
    t.ok(open(200).ok);
    t.ok(open(81 + 56).ok, 'the left edge');
    t.same(open(136), replay, 'one left of it');
    t.same(open(81), replay);
    t.ok(open(199).ok);
    t.same(open(199), replay);
    t.ok(open(300).ok);
    t.same(open(236), replay);
    t.ok(open(237).ok);
  });

  t.test('#200 and then #81 in one batch, with the default window', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    const packets = stream(200);
    t.ok(inbound.open(packets[199]!).ok);
    t.ok(inbound.open(packets[80]!).ok);
    t.same(inbound.open(packets[80]!), replay);
  });

  t.test('a failed tag far ahead does not move the window', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    const packets = stream(2);
    t.ok(inbound.open(packets[0]!).ok);
    const [ahead] = stream(1, 0xfffffff0);
    ahead![20]! ^= 1;
    t.same(inbound.open(ahead!), { ok: false, error: 'auth_failed' });
    t.equal(inbound.highestSequence, 1);
    t.ok(inbound.open(packets[1]!).ok);
  });

  t.test('runts', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    const [packet] = stream(1);
    for (const length of [0, 1, 4, 7, 8, 15, 16, 31, 35]) {
      t.same(
        inbound.open(packet!.subarray(0, length)),
        { ok: false, error: 'malformed' },
        `${length} octets`,
      );
    }
  });

  t.test('sequence number 0', async (t) => {
    const packet = forge(GCM, withTrailer(GCM, INNER, IpProtocol.IPV4), 0);
    t.same(inboundSa(crypto, GCM).open(packet), replay);
  });

  t.test('jumps beyond 2^30', async (t) => {
    const inbound = inboundSa(crypto, GCM);
    for (const last of [0, 2 ** 30 + 5, 2 ** 31 - 1, 2 ** 31, 3 * 2 ** 30, 0xfffffffe]) {
      const [packet] = stream(1, last);
      t.ok(inbound.open(packet!).ok, `#${last + 1}`);
      t.same(inbound.open(packet!), replay);
    }
    t.same(inbound.open(stream(1)[0]!), replay);
  });
});

t.test('the sender stops before its sequence number would wrap', async (t) => {
  for (const suite of [GCM, CBC]) {
    const outbound = outboundSa(crypto, suite, 0xfffffffd);
    const inbound = inboundSa(crypto, suite);
    t.ok(inbound.open(must(outbound.seal(INNER))).ok);
    t.ok(inbound.open(must(outbound.seal(INNER))).ok, 'the last number is used');
    t.equal(inbound.highestSequence, 0xffffffff);
    for (let i = 0; i < 3; i++) {
      t.same(outbound.seal(INNER), { ok: false, error: 'sequence_exhausted' });
      t.equal(outbound.sequence, 0xffffffff);
    }
  }
});
