import { randomBytes } from 'node:crypto';
import t from 'tap';
import { createOpensslBackend } from '../../../src/crypto/backend.js';
import { ENCRYPTION_TRANSFORMS, INTEGRITY_TRANSFORMS } from '../../../src/crypto/transforms.js';
import type { EspKeys, EspSuite } from '../../../src/crypto/types.js';
import { choosePacketCrypto, ipsecMbAllowed } from '../../../src/dataplane/ffi/crypto/choose-crypto.js';
import { createEvpCrypto } from '../../../src/dataplane/ffi/crypto/evp.js';
import { createFallbackCrypto } from '../../../src/dataplane/ffi/crypto/fallback-crypto.js';
import { gcm128Maker, loadGcm128 } from '../../../src/dataplane/ffi/crypto/gcm128.js';
import { ipsecMbMaker, loadIpsecMb } from '../../../src/dataplane/ffi/crypto/ipsec-mb.js';
import { loadMultiCbc } from '../../../src/dataplane/ffi/crypto/multi-cbc.js';
import { loadOpenssl, type Openssl } from '../../../src/dataplane/ffi/crypto/openssl.js';
import type { PacketCrypto } from '../../../src/dataplane/ffi/crypto/packet-crypto.js';
import { hmacMaker, stateMaker } from '../../../src/dataplane/ffi/crypto/packet-mac.js';
import { processorFlags } from '../../../src/dataplane/ffi/crypto/processor.js';
import { runSelfTest, sealAlike } from '../../../src/dataplane/ffi/crypto/self-test.js';
import {
  type Arena,
  At,
  createArena,
  innerPacket as innerPacketOffset,
  rxPacket,
  txPacket,
  Vaulted,
} from '../../../src/dataplane/ffi/memory/arena.js';
import { KeySlots } from '../../../src/dataplane/ffi/memory/key-slots.js';
import { espLayout, espLength } from '../../../src/esp/layout.js';
import { InboundSa } from '../../../src/esp/open.js';
import { OutboundSa } from '../../../src/esp/seal.js';
import { SelectorSet } from '../../../src/esp/selectors.js';
import { ffiAvailable } from '../../../src/linux/ffi.js';
import { err } from '../../../src/util/result.js';
import { SecretKey } from '../../../src/util/secret.js';
import { buildPacket } from '../../../src/wire/ip.js';

const ffi = ffiAvailable();
const skip = ffi.ok ? false : ffi.reason;
const probe = ffi.ok ? loadOpenssl() : undefined;
const openssl = probe?.ok ? probe.openssl : undefined;

const byStates = (arena: Arena) =>
  stateMaker(probe?.ok ? probe.hashes : new Map(), arena, new KeySlots(arena), openssl!.native.memcpy);

const random = { bytes: (length: number) => new Uint8Array(randomBytes(length)) };
const backend = createOpensslBackend();

const suites: EspSuite[] = ENCRYPTION_TRANSFORMS.flatMap(({ id, keyBits, aead }) =>
  (aead ? [0] : INTEGRITY_TRANSFORMS.map((mac) => mac.id)).map((integrity) => ({
    encryption: { id, keyBits },
    integrity,
    dh: 0,
    esn: false,
  })),
);

function makeKeys(suite: EspSuite): () => EspKeys {
  const layout = espLayout(suite);
  const encryption = randomBytes(layout.keyLength + layout.saltLength);
  const integrity = randomBytes(layout.integrityKeyLength);
  return () => ({
    encryption: new SecretKey(Uint8Array.from(encryption)),
    ...(layout.aead ? {} : { integrity: new SecretKey(Uint8Array.from(integrity)) }),
  });
}

const any = {
  tsType: 7,
  protocol: 0,
  startPort: 0,
  endPort: 65535,
  startAddress: Uint8Array.of(0, 0, 0, 0),
  endAddress: Uint8Array.of(255, 255, 255, 255),
};
const selectors = new SelectorSet([any], [any]);

function innerPacket(payload: number): Uint8Array {
  return buildPacket(
    { source: Uint8Array.of(10, 1, 0, 1), destination: Uint8Array.of(10, 2, 0, 1), protocol: 253 },
    new Uint8Array(randomBytes(payload)),
  );
}

const innerPacketAt = ffi.ok ? innerPacketOffset() : 0;
const SIZES = [0, 1, 2, 3, 5, 12, 13, 14, 15, 16, 27, 1380, 8000];

const processor = processorFlags();
const ipsecMb = ffi.ok ? loadIpsecMb(processor) : err(ffi.reason);
const skipIpsecMb = ipsecMb.ok ? false : ipsecMb.error;

/**
 * AES-GCM by CRYPTO_gcm128 and AES-CBC of several packets, where this Node and processor have it; AES-GCM by
 * libIPSec_MB, where that is installed.
 */
function withoutEvp(arena: Arena): PacketCrypto[] {
  const functions = loadGcm128(processor);
  const several = loadMultiCbc(processor);
  if (!functions.ok || !several.ok) return [];
  const slots = new KeySlots(arena);
  const macs = stateMaker(probe?.ok ? probe.hashes : new Map(), arena, slots, openssl!.native.memcpy);
  return [
    createEvpCrypto(openssl!, arena, macs, {
      gcm: gcm128Maker(functions.value, arena, slots),
      multiCbc: { functions: several.value, slots },
    }),
    ...(ipsecMb.ok
      ? [createEvpCrypto(openssl!, arena, macs, { gcm: ipsecMbMaker(ipsecMb.value, openssl!, arena) })]
      : []),
  ];
}

t.test('AES-GCM without EVP: only where everything is there', { skip }, async (t) => {
  const able = new Set(['aes', 'pclmulqdq', 'ssse3']);
  t.same(loadGcm128(able, '3.5.1'), err('OpenSSL 3.5.1 is not 3.0'));
  t.same(loadMultiCbc(new Set(['aes', 'ssse3'])), err('the processor lacks sse4_1'));
  t.same(loadGcm128(new Set(['ssse3', 'sse2']), '3.0.16'), err('the processor lacks aes, pclmulqdq'));
});

t.test(
  'packets of several SAs in one burst are each encrypted with the keys of their own',
  { skip },
  async (t) => {
    const arena = createArena();
    const evp = createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena));
    for (const crypto of [evp, ...withoutEvp(arena)]) {
      for (const suite of suites) {
        const sas = [0x1000, 0x2000, 0x3000].map((spi) => {
          const keys = makeKeys(suite);
          const sealer = crypto.sealer(suite, spi, keys());
          const into = new InboundSa({
            spi,
            suite,
            crypto: backend,
            selectors,
            replayWindow: 64,
            keys: keys(),
          });
          return { sealer, into };
        });
        // Nine packets of each SA by turns: more than are done side by side, and never two of one SA in a row.
        const sent = Array.from({ length: 27 }, (_, i) => {
          const { sealer, into } = sas[i % sas.length]!;
          const inner = innerPacket(100 + 7 * i);
          arena.bytes.set(inner, innerPacketAt);
          const at = txPacket(i % 3) + 2000 * Math.floor(i / 3);
          return { into, inner, at, length: sealer.seal(innerPacketAt, inner.length, 4, 1 + i, at) };
        });
        for (const { sealer } of sas) sealer.complete();
        const good = sent.every(({ into, inner, at, length }) => {
          const packet = arena.bytes.slice(at, at + length);
          const opened = into.open(packet);
          const inClear = Buffer.from(packet).includes(Buffer.from(inner.subarray(20, 52)));
          return opened.ok && Buffer.compare(opened.value, inner) === 0 && !inClear;
        });
        t.ok(good, JSON.stringify(suite));
        for (const { sealer } of sas) sealer.free();
      }
    }
  },
);

t.test('EVP and the sans-IO classes read each other, in every suite', { skip }, async (t) => {
  t.ok(openssl !== undefined, probe?.ok === false ? probe.reason : 'OpenSSL is reachable');
  const arena = createArena();
  const implementations = [
    createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena)),
    createEvpCrypto(openssl!, arena, byStates(arena)),
    createEvpCrypto(openssl!, arena, byStates(arena), { runner: null }),
    ...withoutEvp(arena),
    createFallbackCrypto(backend, random, arena),
    choosePacketCrypto(arena, backend, random).crypto,
  ];
  t.equal(suites.length, 4 + 4 * 5);
  for (const suite of suites) {
    for (const crypto of implementations) {
      t.ok(crypto.supports(suite));
      const keys = makeKeys(suite);
      const spi = 0xc0ffee01;
      const given = [keys(), keys()] as const;
      const sealer = crypto.sealer(suite, spi, given[0]);
      const opener = crypto.opener(suite, given[1]);
      t.ok(
        given.every((k) => k.encryption.wiped && (k.integrity?.wiped ?? true)),
        'keys are wiped',
      );
      t.ok(arena.vault.bytes.subarray(Vaulted.keys, Vaulted.keys + 256).every((octet) => octet === 0));
      const out = new OutboundSa({ spi, suite, keys: keys(), crypto: backend, random });
      const inbound = { spi, suite, crypto: backend, selectors, replayWindow: 64 };
      const into = new InboundSa({ ...inbound, keys: keys() });
      let good = true;
      SIZES.forEach((size, i) => {
        const inner = innerPacket(size);
        arena.bytes.set(inner, innerPacketAt);
        const sequence = 0xfffffff0 + i;
        const length = sealer.seal(innerPacketAt, inner.length, 4, sequence, txPacket(3));
        sealer.complete();
        good &&= length === espLength(sealer.layout, inner.length);
        const packet = arena.bytes.slice(txPacket(3), txPacket(3) + length);
        const opened = into.open(packet);
        good &&= opened.ok && Buffer.compare(opened.value, inner) === 0;

        const sealed = out.seal(inner);
        if (!sealed.ok) throw new Error(sealed.error);
        arena.bytes.set(sealed.value, rxPacket(5));
        arena.bytes.fill(0x66, At.plain - 32, At.plain);
        const body = opener.open(rxPacket(5), sealed.value.length, At.plain);
        good &&= arena.bytes.slice(At.plain - 32, At.plain).every((octet) => octet === 0x66);
        good &&= body === sealed.value.length - sealer.layout.bodyOffset - sealer.layout.icvLength;
        good &&= Buffer.compare(arena.bytes.slice(At.plain, At.plain + inner.length), inner) === 0;
        // One bit anywhere in header, IV, ciphertext or ICV.
        for (const at of [0, 7, 8, sealer.layout.bodyOffset, sealed.value.length - 1]) {
          arena.bytes.fill(0x55, At.plain, At.plain + 9000);
          arena.bytes[rxPacket(5) + at] = arena.bytes[rxPacket(5) + at]! ^ 0x10;
          good &&= opener.open(rxPacket(5), sealed.value.length, At.plain) === -1;
          arena.bytes[rxPacket(5) + at] = arena.bytes[rxPacket(5) + at]! ^ 0x10;
          const scratch = arena.bytes.slice(At.plain, At.plain + body);
          good &&= scratch.every((octet) => octet === 0) || scratch.every((octet) => octet === 0x55);
        }
      });
      t.ok(
        good,
        `${crypto.name}: cipher ${suite.encryption.id}/${suite.encryption.keyBits} MAC ${suite.integrity}`,
      );
      sealer.free();
      sealer.free();
      opener.free();
      opener.free();
    }
  }
  const end = Vaulted.keySlots + 4096;
  t.ok(
    arena.vault.bytes.subarray(Vaulted.keySlots, end).every((octet) => octet === 0),
    'no keyed state is left',
  );
});

t.test('no plaintext is left of packets whose SA goes before they are encrypted', { skip }, async (t) => {
  const arena = createArena();
  for (const crypto of [...withoutEvp(arena), createEvpCrypto(openssl!, arena, byStates(arena))]) {
    for (const suite of suites) {
      const inner = innerPacket(100);
      const sealer = crypto.sealer(suite, 256, makeKeys(suite)());
      arena.bytes.set(inner, innerPacketAt);
      const length = sealer.seal(innerPacketAt, inner.length, 4, 1, txPacket(0));
      sealer.free();
      const left = Buffer.from(arena.bytes.slice(txPacket(0), txPacket(0) + length));
      if (left.includes(Buffer.from(inner.subarray(0, 20))))
        t.fail(`cipher ${suite.encryption.id} left the inner header`);
    }
  }
  t.pass('all suites');
});

t.test('libIPSec_MB can be kept out', async (t) => {
  t.equal(ipsecMbAllowed({}), true);
  t.equal(ipsecMbAllowed({ CULVERT_IPSEC_MB: 'on' }), true);
  t.equal(ipsecMbAllowed({ CULVERT_IPSEC_MB: 'off' }), false);
  t.throws(
    () => ipsecMbAllowed({ CULVERT_IPSEC_MB: 'no' }),
    /CULVERT_IPSEC_MB is "no": set it to "on" or "off"/,
  );
});

t.test('AES-GCM by libIPSec_MB', { skip: skip || skipIpsecMb }, async (t) => {
  const arena = createArena();
  if (!ipsecMb.ok) throw new Error(ipsecMb.error);
  t.match(choosePacketCrypto(arena, backend, random).crypto.name, /^evp, AES-GCM by libIPSec_MB \d/);
  const without = choosePacketCrypto(arena, backend, random, { ipsecMb: false }).crypto;
  t.notMatch(without.name, /IPSec_MB/, 'where it is forbidden something else does it');
  const evp = createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena));
  const both = [...processor].filter((flag) => !flag.includes('avx512'));
  for (const flags of [processor, new Set(both)]) {
    const loaded = loadIpsecMb(flags);
    if (!loaded.ok) throw new Error(loaded.error);
    const library = loaded.value;
    t.comment(library.variant);
    const ours = (): PacketCrypto =>
      createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena), {
        gcm: ipsecMbMaker(library, openssl!, arena),
      });
    t.ok(sealAlike(arena, ours(), evp), `${library.variant} makes the packets that EVP makes`);

    const wiped: number[] = [];
    const watched = {
      ...library,
      cleanse: (address: number, length: number) => {
        library.cleanse(address, length);
        wiped.push(address);
      },
      release: (address: number) => {
        t.equal(wiped.at(-1), address, 'what was derived from a key is wiped before its memory goes back');
        library.release(address);
      },
    };
    const suite = suites.find((one) => one.encryption.id === 20)!;
    const maker = ipsecMbMaker(watched, openssl!, arena);
    const crypto = createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena), { gcm: maker });
    const sealer = crypto.sealer(suite, 256, makeKeys(suite)());
    sealer.free();
    sealer.free();
    t.equal(wiped.length, 1);

    // A library that computes something else is found out.
    const { ciphers } = library;
    const swapped = new Map([...ciphers].map(([bits, each]) => [bits, { ...each, decrypt: each.encrypt }]));
    const wrong = createEvpCrypto(openssl!, arena, hmacMaker(openssl!, arena), {
      gcm: ipsecMbMaker({ ...library, ciphers: swapped }, openssl!, arena),
    });
    t.notOk(sealAlike(arena, wrong, evp));
  }
  t.match(loadIpsecMb(new Set(['aes', 'avx'])), { ok: false, error: /the processor lacks/ });
  t.match(loadIpsecMb(processor, 'libnowhere.so.1'), {
    ok: false,
    error: /libnowhere.so.1 is not installed/,
  });
  t.match(loadIpsecMb(processor, 'libc.so.6'), { ok: false, error: /libc.so.6: .*imb_get_version_str/ });
});

t.test('IVs of CBC do not repeat and never come from the counter', { skip }, async (t) => {
  const arena = createArena();
  const suite = suites.find((s) => s.encryption.id === 12)!;
  const sealer = createEvpCrypto(openssl!, arena, byStates(arena)).sealer(suite, 256, makeKeys(suite)());
  const seen = new Set<string>();
  const inner = innerPacket(20);
  for (let i = 1; i <= 2000; i++) {
    arena.bytes.set(inner, innerPacketAt);
    sealer.seal(innerPacketAt, inner.length, 4, i, txPacket(0));
    sealer.complete();
    seen.add(Buffer.from(arena.bytes.slice(txPacket(0) + 8, txPacket(0) + 24)).toString('hex'));
  }
  t.equal(seen.size, 2000);
  sealer.free();
});

t.test('every way of sealing puts the term into the IV', { skip }, async (t) => {
  const arena = createArena();
  const evp = createEvpCrypto(openssl!, arena, byStates(arena));
  const fallback = createFallbackCrypto(backend, random, arena);
  const best = choosePacketCrypto(arena, backend, random).crypto;
  const inner = innerPacket(20);
  for (const suite of suites.filter((one) => one.integrity === 0)) {
    const keys = makeKeys(suite);
    const sealers = [evp, fallback, best].map((crypto) => crypto.sealer(suite, 256, keys()));
    const packets = (sequence: number): string[] =>
      sealers.map((sealer) => {
        arena.bytes.set(inner, innerPacketAt);
        const length = sealer.seal(innerPacketAt, inner.length, 4, sequence, txPacket(0));
        sealer.complete();
        return Buffer.from(arena.bytes.slice(txPacket(0), txPacket(0) + length)).toString('hex');
      });
    for (const [term, iv] of [
      [0, '0000000000000001'],
      [7, '0000000700000001'],
      [0xfffffffe, 'fffffffe00000001'],
    ] as const) {
      for (const sealer of sealers) sealer.enterTerm(term);
      const [first, ...others] = packets(1);
      t.equal(first!.slice(16, 32), iv);
      for (const other of others) t.equal(other, first, `${suite.encryption.id} in term ${term}`);
    }
    for (const sealer of sealers) sealer.free();
  }
});

t.test('known answers', { skip }, async (t) => {
  const arena = createArena();
  t.same(runSelfTest(openssl!, arena, byStates(arena)).failed, []);
  t.equal(choosePacketCrypto(arena, backend, random).note, undefined);

  const broken: Openssl = {
    ...openssl!,
    EVP_get_cipherbyname: (name) =>
      openssl!.EVP_get_cipherbyname(name === 'AES-256-CBC' ? 'AES-256-ECB' : name),
    EVP_get_digestbyname: (name) => (name === 'MD5' ? 0 : openssl!.EVP_get_digestbyname(name)),
  };
  const { crypto, note } = choosePacketCrypto(arena, backend, random, {
    probe: { ok: true, openssl: broken, library: 'test', hashes: new Map() },
  });
  t.match(note, /AES-256-CBC.*md5/);
  for (const suite of suites) t.ok(crypto.supports(suite), 'what fails is taken over by the fallback');
  t.match(runSelfTest(broken, arena, hmacMaker(broken, arena)).failed, ['AES-256-CBC', 'md5']);

  const none = choosePacketCrypto(arena, backend, random, {
    probe: loadOpenssl(['/nowhere/libcrypto.so.9']),
  });
  t.equal(none.crypto.name, backend.name);
  t.match(none.note, /not reachable.*nowhere/);
});

t.test('refusals', { skip }, async (t) => {
  const arena = createArena();
  const crypto = createEvpCrypto(openssl!, arena, byStates(arena));
  const suite = suites[0]!;
  const short = { encryption: new SecretKey(new Uint8Array(5)) };
  t.throws(() => crypto.opener(suite, short), /encryption key of 5 octets/);
  t.throws(() => crypto.opener({ ...suite, esn: true }, makeKeys(suite)()), /extended sequence/);
  t.notOk(crypto.supports({ ...suite, esn: true }));
  t.notOk(crypto.supports({ ...suite, encryption: { id: 23, keyBits: 128 } }));
});
