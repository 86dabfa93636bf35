import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspKeys } from '../../src/crypto/types.js';
import type { InboundSa } from '../../src/esp/open.js';
import { OutboundSa } from '../../src/esp/seal.js';
import { SelectorSet } from '../../src/esp/selectors.js';
import { FRESH_START } from '../../src/esp/start.js';
import { concat, equalBytes, fromHex, readU32, toHex } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { Encr, Integ } from '../../src/wire/ike/registry.js';
import { findSuite, inboundSa, selector } from '../helpers/esp.js';
import { must } from '../helpers/results.js';
import { readFixture, readVectors, skipWithoutVectors } from '../helpers/vectors.js';

interface PacketVector {
  readonly source: string;
  readonly encr: number;
  readonly keyBits: number;
  readonly integ?: number;
  readonly encryptionKey: string;
  readonly integrityKey?: string;
  readonly iv: string;
  readonly plaintext: string;
  readonly nextHeader: number;
  readonly esp: string;
  readonly icv: boolean;
}

const crypto = createOpensslBackend();
const { packets } = readFixture<{ packets: PacketVector[] }>('esp/packets.json');
/** Stands in for integrity keys that were not published. */
const OWN_KEY = new Uint8Array(20).fill(7);

function keysOf(vector: PacketVector): EspKeys {
  const encryption = new SecretKey(fromHex(vector.encryptionKey));
  if (vector.encr !== Encr.AES_CBC) return { encryption };
  const integrity = vector.integrityKey === undefined ? OWN_KEY.slice() : fromHex(vector.integrityKey);
  return { encryption, integrity: new SecretKey(integrity) };
}

function suiteOf(vector: PacketVector) {
  const integrity = vector.encr === Encr.AES_CBC ? Integ.HMAC_SHA1_96 : 0;
  return findSuite(vector.encr, vector.keyBits, integrity);
}

/** The packet with its ICV: where the source has none, or one under an unknown key, that of `OWN_KEY`. */
function withIcv(packet: Uint8Array): Uint8Array {
  return concat(packet, crypto.integrity(Integ.HMAC_SHA1_96).compute(OWN_KEY, packet));
}

for (const vector of packets) {
  t.test(vector.source, async (t) => {
    const bare = fromHex(vector.esp);
    const packet = vector.icv ? bare : withIcv(bare);
    const plaintext = fromHex(vector.plaintext);
    const payload = plaintext.subarray(0, plaintext.length - 2 - plaintext.at(-2)!);
    const spi = readU32(packet, 0);

    const damaged = packet.slice();
    damaged[damaged.length - 1]! ^= 1;
    const sa = inboundSa(crypto, suiteOf(vector), { spi, keys: keysOf(vector) });
    t.same(sa.open(damaged), { ok: false, error: 'auth_failed' });
    const opened = sa.open(packet);
    t.equal(sa.authenticPackets, 1, 'the ICV holds');
    if (vector.nextHeader === 4) {
      t.equal(toHex(must(opened)), toHex(payload));
    } else {
      t.same(opened, { ok: false, error: 'bad_next_header' }, 'not tunnel mode');
    }
    t.same(sa.open(packet), { ok: false, error: 'replay' });

    if (vector.encr !== Encr.AES_CBC) return;
    const outbound = new OutboundSa({
      spi,
      suite: suiteOf(vector),
      keys: keysOf(vector),
      crypto,
      random: { bytes: (length) => concat(fromHex(vector.iv), new Uint8Array(length)).slice(0, length) },
      start: { ...FRESH_START, next: readU32(packet, 4) },
    });
    t.equal(toHex(must(outbound.sealPayload(payload, vector.nextHeader))), toHex(packet), 'and sealed again');
  });
}

interface Capture {
  readonly packets: readonly {
    readonly cipher: string;
    readonly key: string;
    readonly icv_length: number;
    readonly payload: string;
    readonly spi: string;
    readonly esp: string;
  }[];
}

/** Authentication keys of these captures were never published: the ICV is replaced by one of our own. */
for (const name of [
  'tcpdump-esp/02-sunrise-sunset-esp.pcap.keys.json',
  'tcpdump-esp/espudp1.pcap.keys.json',
  'more/tcpdump-esp/08-sunrise-sunset-aes.pcap.keys.json',
  'more/tcpdump-esp/08-sunrise-sunset-esp2.pcap.keys.json',
]) {
  t.test(`${name}, under an ICV of our own`, { skip: skipWithoutVectors }, async (t) => {
    const capture = readVectors<Capture>(name);
    const sas = new Map<string, InboundSa>();
    for (const { cipher, key, icv_length, payload, spi, esp } of capture.packets) {
      const bytes = fromHex(esp);
      const packet = withIcv(bytes.subarray(0, bytes.length - icv_length));
      let sa = sas.get(spi);
      if (sa === undefined) {
        const [encr, bits] = cipher === '3DES' ? [Encr.TRIPLE_DES, 0] : [Encr.AES_CBC, key.length * 4];
        const keys = { encryption: new SecretKey(fromHex(key)), integrity: new SecretKey(OWN_KEY.slice()) };
        sa = inboundSa(crypto, findSuite(encr, bits, Integ.HMAC_SHA1_96), { spi: readU32(bytes, 0), keys });
        sas.set(spi, sa);
      }
      t.equal(toHex(must(sa.open(packet))), payload);
      t.notOk(equalBytes(packet, bytes), 'the captured ICV is another');
      t.same(sa.open(bytes), { ok: false, error: 'replay' });
    }
    t.ok(capture.packets.length > 0);
  });
}

t.test('selectors of the captured site-to-site link', async (t) => {
  const vector = packets.find((p) => p.source === 'RFC 7634 Appendix A');
  if (vector === undefined) throw new Error('the fixture is gone');
  const open = (local: string, peer: string) => {
    const selectors = new SelectorSet([selector(local)], [selector(peer)]);
    const options = { spi: 0x01020304, keys: keysOf(vector), selectors };
    return inboundSa(crypto, suiteOf(vector), options).open(fromHex(vector.esp));
  };
  t.ok(open('192.0.2.0/24', '198.51.100.0/24').ok);
  t.same(open('192.0.2.6/32', '198.51.100.0/24'), { ok: false, error: 'selector_mismatch' });
  t.same(open('198.51.100.0/24', '192.0.2.0/24'), { ok: false, error: 'selector_mismatch' });
});
