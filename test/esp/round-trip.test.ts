import t from 'tap';
import { createOpensslBackend, createPortableBackend } from '../../src/crypto/backend.js';
import { espLength } from '../../src/esp/layout.js';
import { equalBytes, readU32, toHex } from '../../src/util/bytes.js';
import { IpProtocol } from '../../src/wire/ip.js';
import {
  ESP_SUITES,
  espKeys,
  forgeEsp,
  inboundSa,
  innerPacket,
  outboundSa,
  rawKeys,
  suiteName,
  supportsSuite,
  TEST_SPI,
  withTrailer,
} from '../helpers/esp.js';
import { must } from '../helpers/results.js';

const openssl = createOpensslBackend();
const portable = createPortableBackend();
const pairs = [openssl, portable].flatMap((sender) =>
  [openssl, portable].map((receiver) => ({ sender, receiver })),
);
/** Every remainder of the blocks, then steps up to a full Ethernet frame. */
const SIZES = [
  ...Array.from({ length: 33 }, (_, i) => 20 + i),
  64,
  333,
  576,
  1001,
  1280,
  1399,
  1400,
  1438,
  1500,
];

for (const suite of ESP_SUITES) {
  const able = pairs.filter((p) => supportsSuite(p.sender, suite) && supportsSuite(p.receiver, suite));
  for (const { sender, receiver } of able) {
    t.test(`${suiteName(suite)}, ${sender.name} to ${receiver.name}`, async (t) => {
      const outbound = outboundSa(sender, suite);
      const inbound = inboundSa(receiver, suite);
      const packets = [
        ...SIZES.map((size) => innerPacket('10.1.0.1', '10.2.0.1', size)),
        ...SIZES.filter((size) => size >= 40).map((size) =>
          innerPacket('2001:db8:1::1', '2001:db8:2::1', size),
        ),
      ];
      let number = 0;
      for (const packet of packets) {
        const sealed = must(outbound.seal(packet));
        number++;
        if (sealed.length !== espLength(outbound.layout, packet.length)) t.fail('length');
        if (readU32(sealed, 0) !== TEST_SPI || readU32(sealed, 4) !== number) t.fail('header');
        if (!equalBytes(must(inbound.open(sealed)), packet))
          t.fail(`${packet.length} octets came back changed`);
      }
      t.equal(inbound.authenticPackets, packets.length);
      t.equal(outbound.sequence, packets.length);
      t.equal(inbound.highestSequence, packets.length);
    });
  }
}

t.test('the packet is the one RFC 4303 describes', async (t) => {
  const inner = innerPacket('10.1.0.1', '10.2.0.1', 77);
  for (const suite of ESP_SUITES) {
    const sealed = must(outboundSa(openssl, suite, 41).seal(inner));
    const { ivLength } = openssl.cipher(suite.encryption.id, suite.encryption.keyBits);
    const iv = sealed.slice(8, 8 + ivLength);
    const header = { spi: TEST_SPI, sequence: 42, iv };
    const expected = forgeEsp(
      openssl,
      suite,
      rawKeys(suite),
      header,
      withTrailer(suite, inner, IpProtocol.IPV4),
    );
    t.equal(toHex(sealed), toHex(expected), suiteName(suite));
    if (suite.integrity === 0) t.equal(toHex(iv), '000000000000002a', 'the IV of an AEAD is the counter');
  }
});

t.test('no IV comes twice', async (t) => {
  const inner = innerPacket('10.1.0.1', '10.2.0.1', 40);
  for (const suite of [ESP_SUITES[0]!, ESP_SUITES.find((s) => s.integrity !== 0)!]) {
    const outbound = outboundSa(openssl, suite);
    const seen = new Set<string>();
    // More than one stock of random IVs.
    for (let i = 0; i < 600; i++) {
      const sealed = must(outbound.seal(inner));
      seen.add(toHex(sealed.subarray(8, outbound.layout.bodyOffset)));
    }
    t.equal(seen.size, 600, suiteName(suite));
  }
});

t.test('only IP packets are sealed', async (t) => {
  const outbound = outboundSa(openssl, ESP_SUITES[0]!);
  for (const packet of [new Uint8Array(0), Uint8Array.of(0x50, 0), new Uint8Array(40)]) {
    t.same(outbound.seal(packet), { ok: false, error: 'malformed' });
  }
  t.equal(outbound.sequence, 0, 'no number is spent on them');
});

t.test('keys', async (t) => {
  const suite = ESP_SUITES.find((s) => s.integrity !== 0)!;
  const packet = innerPacket('10.1.0.1', '10.2.0.1', 40);

  const keys = espKeys(suite);
  const inbound = inboundSa(openssl, suite, { keys });
  t.ok(keys.encryption.wiped && keys.integrity?.wiped, 'what they came in is wiped at once');
  inbound.wipe();
  inbound.wipe();
  t.throws(() => inbound.open(must(outboundSa(openssl, suite).seal(packet))), /wiped/);
  const outbound = outboundSa(openssl, suite);
  outbound.wipe();
  t.throws(() => outbound.seal(packet), /wiped/);

  const wrong = espKeys(ESP_SUITES[0]!);
  t.throws(() => inboundSa(openssl, suite, { keys: wrong }), { name: 'RangeError', message: /takes/ });
  t.throws(() => inboundSa(openssl, suite, { keys: { encryption: espKeys(suite).encryption } }), {
    name: 'RangeError',
    message: /integrity key of 0 octets/,
  });
});
