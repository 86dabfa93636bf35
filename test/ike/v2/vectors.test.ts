import t from 'tap';
import { createOpensslBackend, createPortableBackend } from '../../../src/crypto/backend.js';
import { deriveIkeKeys, deriveSkeyseed, type IkeKeys } from '../../../src/crypto/keymat.js';
import type { IkeSuite } from '../../../src/crypto/types.js';
import { Context } from '../../../src/ike/context.js';
import { DEFAULT_LIMITS } from '../../../src/ike/limits.js';
import { natDetectionHash } from '../../../src/ike/path/nat-detection.js';
import { find } from '../../../src/ike/payloads.js';
import { createShared } from '../../../src/ike/sa/world.js';
import { idBody, ownAuth, verifiesPeerAuth } from '../../../src/ike/v2/auth.js';
import { createProtection, type Protection } from '../../../src/ike/v2/protect.js';
import { createWorld } from '../../../src/ike/v2/world.js';
import { fromHex, toHex } from '../../../src/util/bytes.js';
import { SecretKey } from '../../../src/util/secret.js';
import { decodeMessage, encodePayloads } from '../../../src/wire/ike/message.js';
import type { Payload, SkPayload } from '../../../src/wire/ike/payloads.js';
import { Encr, Integ, Prf } from '../../../src/wire/ike/registry.js';
import { connection } from '../../helpers/engine-pair.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { readVectors, skipWithoutVectors } from '../../helpers/vectors.js';

const BACKENDS = [createOpensslBackend(), createPortableBackend()];
const secret = (hex: string): SecretKey => new SecretKey(fromHex(hex));

function open(protection: Protection, hex: string): readonly Payload[] | string {
  const bytes = fromHex(hex);
  const message = decodeMessage(bytes);
  if (!message.ok) return message.error.message;
  const sk = message.value.payloads.at(-1) as SkPayload;
  const opened = protection.open(bytes, sk);
  return opened.ok ? opened.value : opened.error.kind;
}

interface PskTranscript {
  readonly psk: string;
  readonly SPIi: string;
  readonly SPIr: string;
  readonly Ni: string;
  readonly Nr: string;
  readonly IDi_payload_body: string;
  readonly IDr_payload_body: string;
  readonly derived: Readonly<Record<string, string>>;
  readonly messages: readonly { readonly hex: string }[];
}

const PSK_SUITE: IkeSuite = {
  encryption: { id: Encr.AES_CBC, keyBits: 128 },
  integrity: Integ.HMAC_SHA1_96,
  prf: Prf.HMAC_SHA1,
  dh: 2,
};

t.test(
  'a recorded PSK negotiation opens and its AUTH holds, from either end',
  { skip: skipWithoutVectors },
  async (t) => {
    const v = readVectors<PskTranscript>('transcripts/ikev2-psk-aes128-sha1-modp1024.json');
    const bytes = v.messages.map((message) => fromHex(message.hex));
    for (const crypto of BACKENDS) {
      const prf = crypto.prf(PSK_SUITE.prf);
      const nonces = { initiator: fromHex(v.Ni), responder: fromHex(v.Nr) };
      const spis = { initiator: fromHex(v.SPIi), responder: fromHex(v.SPIr) };
      const skeyseed = deriveSkeyseed(prf, nonces, secret(v.derived.g_ir!));
      t.equal(toHex(skeyseed.expose()), v.derived.SKEYSEED);
      for (const role of ['initiator', 'responder'] as const) {
        const keys = deriveIkeKeys(prf, PSK_SUITE, skeyseed, nonces, spis);
        const config = { connections: [connection('east', {})] };
        const ctx = new Context({ crypto, random: new SeededRandom(1), limits: DEFAULT_LIMITS, config });
        const world = createWorld(ctx, createShared(ctx));
        const received = role === 'initiator' ? bytes[3]! : bytes[2]!;
        const protection = createProtection({ crypto, random: new SeededRandom(1) }, PSK_SUITE, keys, role);
        const basis = {
          role,
          keyed: { suite: PSK_SUITE, keys, protection, nonces: [nonces.initiator, nonces.responder] },
          request: bytes[0]!,
          response: bytes[1]!,
          initiatorNonce: nonces.initiator,
          responderNonce: nonces.responder,
          intAuth: undefined,
        };
        const psk = secret(v.psk);
        const payloads = open(protection, toHex(received));
        if (typeof payloads === 'string') {
          t.fail(payloads);
          continue;
        }
        const id = find(payloads, role === 'initiator' ? 'idr' : 'idi')!;
        t.equal(toHex(idBody(id)), role === 'initiator' ? v.IDr_payload_body : v.IDi_payload_body);
        const auth = find(payloads, 'auth')!.data;
        t.ok(verifiesPeerAuth(world, basis, id, auth, psk), `${crypto.name}: the ${role} accepts AUTH`);
        const wrong = Uint8Array.from(auth);
        wrong[0]! ^= 1;
        t.notOk(verifiesPeerAuth(world, basis, id, wrong, psk));
        const own = role === 'initiator' ? v.IDi_payload_body : v.IDr_payload_body;
        const ownId = { idType: fromHex(own)[0]!, data: fromHex(own).subarray(4) };
        t.equal(
          toHex(ownAuth(world, basis, ownId, psk)),
          role === 'initiator' ? v.derived.AUTH_i : v.derived.AUTH_r,
        );
      }
    }
  },
);

interface KeysFile {
  readonly SK_ei: string;
  readonly SK_er: string;
  readonly SK_ai: string;
  readonly SK_ar: string;
  readonly messages: readonly {
    readonly from_initiator: boolean;
    readonly ike_message: string;
    readonly inner_payloads?: string;
  }[];
}

const CAPTURES: readonly { readonly file: string; readonly suite: IkeSuite }[] = [
  {
    file: 'wireshark/ikev2-decrypt-aes256cbc.pcapng.keys.json',
    suite: {
      encryption: { id: Encr.AES_CBC, keyBits: 256 },
      integrity: Integ.HMAC_SHA2_256_128,
      prf: Prf.HMAC_SHA2_256,
      dh: 14,
    },
  },
  {
    file: 'wireshark/ikev2-decrypt-aes256gcm16.pcap.keys.json',
    suite: {
      encryption: { id: Encr.AES_GCM_16, keyBits: 256 },
      integrity: 0,
      prf: Prf.HMAC_SHA2_256,
      dh: 14,
    },
  },
];

function keysOf(v: Pick<KeysFile, 'SK_ei' | 'SK_er' | 'SK_ai' | 'SK_ar'>): IkeKeys {
  return {
    skD: secret('00'),
    skEi: secret(v.SK_ei),
    skEr: secret(v.SK_er),
    ...(v.SK_ai === '' ? {} : { skAi: secret(v.SK_ai), skAr: secret(v.SK_ar) }),
    skPi: secret('00'),
    skPr: secret('00'),
  };
}

t.test('captures of other implementations open', { skip: skipWithoutVectors }, async (t) => {
  for (const crypto of BACKENDS) {
    for (const { file, suite } of CAPTURES) {
      const v = readVectors<KeysFile>(file);
      let opened = 0;
      for (const message of v.messages) {
        if (message.inner_payloads === undefined) continue;
        const role = message.from_initiator ? 'responder' : 'initiator';
        const protection = createProtection({ crypto, random: new SeededRandom(1) }, suite, keysOf(v), role);
        const payloads = open(protection, message.ike_message);
        if (typeof payloads === 'string') {
          t.fail(`${file}: ${payloads}`);
          continue;
        }
        opened++;
        t.equal(toHex(encodePayloads(payloads).bytes), message.inner_payloads, 'octet by octet');
        const broken = fromHex(message.ike_message);
        broken[broken.length - 1]! ^= 1;
        t.equal(open(protection, toHex(broken)), 'unauthentic');
        const header = fromHex(message.ike_message);
        header[20]! ^= 1;
        t.equal(open(protection, toHex(header)), 'unauthentic', 'the header is covered');
      }
      t.ok(opened >= 2, `${opened} messages of ${file}`);
    }
  }
});

interface SkCase {
  readonly payload: string;
  readonly ike_message: string;
  readonly encr: string;
  readonly SK_e: string;
  readonly SK_a?: string;
  readonly body: string;
}

t.test('SK payloads of Android', { skip: skipWithoutVectors }, async (t) => {
  const { cases } = readVectors<{ cases: SkCase[] }>('transcripts/aosp-sk-skf.json');
  const [crypto] = BACKENDS;
  let opened = 0;
  for (const one of cases.filter((each) => each.payload.startsWith('SK '))) {
    const aead = one.SK_a === undefined || one.SK_a === '';
    const keyBits = aead ? (one.SK_e.length / 2 - 4) * 8 : 0;
    const suite: IkeSuite = {
      encryption: { id: aead ? Encr.AES_GCM_16 : Encr.TRIPLE_DES, keyBits },
      integrity: aead ? 0 : Integ.HMAC_SHA1_96,
      prf: Prf.HMAC_SHA1,
      dh: 2,
    };
    const a = one.SK_a ?? '';
    const keys = keysOf({ SK_ei: one.SK_e, SK_er: one.SK_e, SK_ai: a, SK_ar: a });
    const payloads = open(
      createProtection({ crypto: crypto!, random: new SeededRandom(1) }, suite, keys, 'initiator'),
      one.ike_message,
    );
    if (typeof payloads === 'string') t.fail(`${one.encr}: ${payloads}`);
    else t.equal(toHex(encodePayloads(payloads).bytes), one.body);
    opened++;
  }
  t.ok(opened > 0);
});

t.test('an SKF payload of Android: one fragment opened', { skip: skipWithoutVectors }, async (t) => {
  const { cases } = readVectors<{ cases: SkCase[] }>('transcripts/aosp-sk-skf.json');
  const one = cases.find((each) => each.payload.startsWith('SKF'))!;
  const suite: IkeSuite = {
    encryption: { id: Encr.TRIPLE_DES, keyBits: 0 },
    integrity: Integ.HMAC_SHA1_96,
    prf: Prf.HMAC_SHA1,
    dh: 2,
  };
  const keys = keysOf({ SK_ei: one.SK_e, SK_er: one.SK_e, SK_ai: one.SK_a!, SK_ar: one.SK_a! });
  const protection = createProtection(
    { crypto: BACKENDS[0]!, random: new SeededRandom(1) },
    suite,
    keys,
    'initiator',
  );
  const bytes = fromHex(one.ike_message);
  const message = decodeMessage(bytes);
  const skf = message.ok ? message.value.payloads.at(-1) : undefined;
  if (skf?.kind !== 'skf') throw new Error('not an SKF payload');
  t.match(skf, { fragment: 5, total: 5, first: 0 });
  const opened = protection.openText(bytes, skf);
  t.equal(opened.ok && toHex(opened.value), one.body);
  bytes[40]! ^= 1;
  t.match(protection.openText(bytes, skf), { ok: false, error: { kind: 'unauthentic' } });
});

interface NatCase {
  readonly ike: string;
  readonly SPIi: string;
  readonly SPIr: string;
  readonly address: string;
  readonly port: number;
  readonly notification_data: string;
}

t.test('NAT detection hashes seen on the wire', { skip: skipWithoutVectors }, async (t) => {
  const { cases } = readVectors<{ cases: NatCase[] }>('kdf/nat-detection.json');
  const v2 = cases.filter((one) => one.ike === 'IKEv2');
  for (const one of v2) {
    const spis = { initiatorSpi: fromHex(one.SPIi), responderSpi: fromHex(one.SPIr) };
    const hash = natDetectionHash(BACKENDS[0]!, spis, { address: one.address, port: one.port });
    t.equal(toHex(hash), one.notification_data);
  }
  t.ok(v2.length > 20);
});

t.test('what is sealed opens again, with every IV its own', async (t) => {
  const [crypto] = BACKENDS;
  const header = {
    initiatorSpi: new Uint8Array(8).fill(1),
    responderSpi: new Uint8Array(8).fill(2),
    majorVersion: 2,
    minorVersion: 0,
    exchangeType: 37,
    fromInitiator: true,
    higherVersion: false,
    response: false,
    messageId: 5,
  };
  for (const cipher of [
    { id: Encr.AES_GCM_16, keyBits: 128, key: 20, mac: 0, iv: 8 },
    { id: Encr.CHACHA20_POLY1305, keyBits: 0, key: 36, mac: 0, iv: 8 },
    { id: Encr.AES_CBC, keyBits: 192, key: 24, mac: 48, iv: 16 },
    { id: Encr.TRIPLE_DES, keyBits: 0, key: 24, mac: 48, iv: 8 },
  ]) {
    const suite: IkeSuite = {
      encryption: cipher,
      integrity: cipher.mac === 0 ? 0 : Integ.HMAC_SHA2_384_192,
      prf: Prf.HMAC_SHA2_384,
      dh: 31,
    };
    const key = (octet: string, length: number): string => octet.repeat(length);
    const v = {
      SK_ei: key('11', cipher.key),
      SK_er: key('22', cipher.key),
      SK_ai: key('33', cipher.mac),
      SK_ar: key('44', cipher.mac),
    };
    const random = new SeededRandom(8);
    const sender = createProtection({ crypto: crypto!, random }, suite, keysOf(v), 'initiator');
    const receiver = createProtection({ crypto: crypto!, random }, suite, keysOf(v), 'responder');
    const ivs = new Set<string>();
    for (let length = 0; length < 40; length++) {
      const payloads: Payload[] = length === 0 ? [] : [{ kind: 'vendor', data: random.bytes(length) }];
      const bytes = sender.seal(header, payloads);
      ivs.add(toHex(bytes.subarray(32, 32 + cipher.iv)));
      t.strictSame(open(receiver, toHex(bytes)), payloads);
      t.equal(open(sender, toHex(bytes)), 'unauthentic', 'each direction has keys of its own');
    }
    t.equal(ivs.size, 40);
  }
});
