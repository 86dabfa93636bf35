import t from 'tap';
import {
  deriveV1EspKeys,
  deriveV1Keys,
  hash1,
  hash2,
  hash3,
  hashI,
  hashR,
  type V1Keys,
} from '../../../src/crypto/keymat-v1.js';
import type { CryptoBackend, IkeSuite } from '../../../src/crypto/types.js';
import { type IvChain, type OpenedV1, V1Protection } from '../../../src/ike/v1/protect.js';
import { equalBytes, fromHex, toHex } from '../../../src/util/bytes.js';
import { SecretKey } from '../../../src/util/secret.js';
import { Encr, Integ, Prf } from '../../../src/wire/ike/registry.js';
import { decodeV1Message, encodeV1Body } from '../../../src/wire/ike/v1/message.js';
import type { V1Payload } from '../../../src/wire/ike/v1/payloads.js';
import { V1Exchange } from '../../../src/wire/ike/v1/registry.js';
import { backends, exchangeWith } from '../../helpers/crypto.js';
import { FIRST_V1_HEADER } from '../../helpers/ike-headers.js';
import { readVectors, skipWithoutVectors } from '../../helpers/vectors.js';

interface Recorded {
  readonly hex?: string;
  readonly ike_message?: string;
  readonly iv?: string;
  readonly plaintext?: string;
  readonly payloads_length?: number;
  readonly from?: string;
  readonly retransmission?: boolean;
}

const AES_SHA1: IkeSuite = {
  encryption: { id: Encr.AES_CBC, keyBits: 128 },
  integrity: Integ.HMAC_SHA1_96,
  prf: Prf.HMAC_SHA1,
  dh: 2,
};

function find<K extends V1Payload['kind']>(payloads: readonly V1Payload[], kind: K) {
  return payloads.find((one): one is V1Payload & { readonly kind: K } => one.kind === kind)!;
}

/** Opens the recorded messages in order and hands each to `check`; the chains move on as in a session. */
function replay(
  protection: V1Protection,
  messages: readonly Recorded[],
  check: (one: Recorded, opened: OpenedV1, messageId: number, n: number) => void,
): number {
  const chains = new Map<number, IvChain>([[0, protection.phase1]]);
  const seen = new Map<number, number>();
  let count = 0;
  for (const one of messages) {
    const message = decodeV1Message(fromHex(one.hex ?? one.ike_message!));
    if (!message.ok) throw new Error(message.error.message);
    const { header, sealed } = message.value;
    // A repetition is known by its octets and moves nothing.
    if (sealed === undefined || one.retransmission === true) continue;
    const { messageId } = header;
    const chain = chains.get(messageId) ?? protection.exchange(messageId);
    chains.set(messageId, chain);
    const before = toHex(chain.iv);
    if (one.iv !== undefined && before !== one.iv) throw new Error(`IV ${before} instead of ${one.iv}`);
    const opened = protection.open(chain, sealed);
    if (!opened.ok) throw new Error(opened.error?.message ?? 'no whole blocks');
    if (toHex(chain.iv) !== before) throw new Error('opening moved the chain');
    const n = (seen.get(messageId) ?? 0) + 1;
    seen.set(messageId, n);
    check(one, opened.value, messageId, n);
    chain.adopt(opened.value.nextIv);
    count++;
  }
  return count;
}

interface Transcript {
  readonly psk: string;
  readonly initiator_dh_private: string;
  readonly CKY_I: string;
  readonly CKY_R: string;
  readonly Ni_b: string;
  readonly Nr_b: string;
  readonly KE_i: string;
  readonly KE_r: string;
  readonly SAi_b: string;
  readonly derived: { readonly g_xy: string; readonly IDii_b: string; readonly IDir_b: string };
  readonly quick_modes: readonly Readonly<Record<string, string>>[];
  readonly messages: readonly Recorded[];
}

function keysOf(backend: CryptoBackend, one: Transcript): V1Keys {
  const prf = backend.prf(Prf.HMAC_SHA1);
  const exchange = exchangeWith(backend, 2, fromHex(one.initiator_dh_private));
  const shared = exchange.agree(fromHex(one.KE_r));
  if (!shared.ok) throw new Error(shared.error.message);
  if (toHex(shared.value.expose()) !== one.derived.g_xy) throw new Error('another shared secret');
  return deriveV1Keys(
    prf,
    new SecretKey(fromHex(one.psk)),
    shared.value,
    { initiator: fromHex(one.Ni_b), responder: fromHex(one.Nr_b) },
    { initiator: fromHex(one.CKY_I), responder: fromHex(one.CKY_R) },
    16,
  );
}

/** The octets that a HASH payload in front covers. */
function behindHash({ payloads, plaintext }: OpenedV1): Uint8Array {
  return plaintext.subarray(4 + find(payloads, 'hash').data.length);
}

for (const backend of backends) {
  t.test(`whole sessions with ${backend.name}`, { skip: skipWithoutVectors }, async (t) => {
    for (const name of ['aes128-sha1-modp1024', 'two-datagrams-in-one']) {
      const one = readVectors<Transcript>(`transcripts/ikev1-main-psk-${name}.json`);
      const prf = backend.prf(Prf.HMAC_SHA1);
      const keys = keysOf(backend, one);
      const protection = new V1Protection(backend, AES_SHA1, keys, {
        initiator: fromHex(one.KE_i),
        responder: fromHex(one.KE_r),
      });
      const transcript = {
        initiatorPublic: fromHex(one.KE_i),
        responderPublic: fromHex(one.KE_r),
        cookies: { initiator: fromHex(one.CKY_I), responder: fromHex(one.CKY_R) },
        saBody: fromHex(one.SAi_b),
      };
      const quick = one.quick_modes[0];
      const count = replay(protection, one.messages, (message, opened, messageId, n) => {
        t.equal(toHex(opened.plaintext), message.plaintext!.slice(0, 2 * opened.plaintext.length));
        const hash = find(opened.payloads, 'hash').data;
        const exchange = Number.parseInt((message.hex ?? '').slice(36, 38), 16);
        if (exchange === V1Exchange.MAIN_MODE) {
          const body = encodeV1Body(find(opened.payloads, 'id'));
          const make = message.from === 'initiator' ? hashI : hashR;
          t.ok(
            equalBytes(make(prf, keys.skeyid, transcript, body), hash),
            `${name} phase 1, ${message.from}`,
          );
        } else if (exchange === V1Exchange.INFORMATIONAL || n === 1) {
          t.ok(equalBytes(hash1(prf, keys.skeyidA, messageId, behindHash(opened)), hash), `${name} HASH(1)`);
        } else {
          const nonces = { initiator: fromHex(quick!.Ni_b!), responder: fromHex(quick!.Nr_b!) };
          const made =
            n === 2
              ? hash2(prf, keys.skeyidA, messageId, nonces.initiator, behindHash(opened))
              : hash3(prf, keys.skeyidA, messageId, nonces);
          t.ok(equalBytes(made, hash), `${name} HASH(${n})`);
        }
      });
      t.equal(count, name.startsWith('aes') ? 5 : 3);
      if (quick === undefined) continue;
      const nonces = { initiator: fromHex(quick.Ni_b!), responder: fromHex(quick.Nr_b!) };
      const suite = { encryption: AES_SHA1.encryption, integrity: Integ.HMAC_SHA1_96, dh: 0, esn: false };
      for (const [spi, keymat] of [
        [quick.initiator_SPI, quick.KEYMAT_for_initiator_SPI_inbound_to_initiator],
        [quick.responder_SPI, quick.KEYMAT_for_responder_SPI_inbound_to_responder],
      ]) {
        const esp = deriveV1EspKeys(prf, keys.skeyidD, suite, fromHex(spi!), nonces);
        t.equal(toHex(esp.encryption.expose()) + toHex(esp.integrity!.expose()), keymat);
      }
    }
  });
}

interface KeyedCapture {
  readonly isakmp_sas: readonly {
    readonly CKY_I: string;
    readonly encryption_key: string;
    readonly cipher: string;
    readonly hash: string;
  }[];
  readonly messages: readonly Recorded[];
}

const PRFS: Readonly<Record<string, number>> = {
  md5: Prf.HMAC_MD5,
  sha1: Prf.HMAC_SHA1,
  sha256: Prf.HMAC_SHA2_256,
};

t.test('captures of which the cipher key is known', { skip: skipWithoutVectors }, async (t) => {
  const names = [
    'wireshark/ikev1-bug-12610.pcapng.gz.keys.json',
    'wireshark/ikev1-certs.pcap.keys.json',
    'more/wireshark/ikev1-bug-12620.pcapng.gz.keys.json',
  ];
  for (const name of names) {
    const { isakmp_sas, messages } = readVectors<KeyedCapture>(name);
    for (const sa of isakmp_sas) {
      const own = messages.filter((one) => one.ike_message!.startsWith(sa.CKY_I));
      const publicValues = own
        .map((one) => decodeV1Message(fromHex(one.ike_message!)))
        .flatMap((one) => (one.ok ? one.value.payloads : []))
        .flatMap((one) => (one.kind === 'ke' ? [one.data] : []));
      const key = fromHex(sa.encryption_key);
      const aes = sa.cipher.startsWith('AES');
      const suite: IkeSuite = {
        encryption: aes ? { id: Encr.AES_CBC, keyBits: 8 * key.length } : { id: Encr.TRIPLE_DES, keyBits: 0 },
        integrity: Integ.HMAC_SHA1_96,
        prf: PRFS[sa.hash]!,
        dh: 2,
      };
      for (const backend of backends) {
        if (!backend.supports({ kind: 'encryption', ...suite.encryption })) continue;
        const unused = new SecretKey(new Uint8Array(16));
        const keys = {
          skeyid: unused,
          skeyidD: unused,
          skeyidA: unused,
          encryption: new SecretKey(key.slice()),
        };
        const protection = new V1Protection(backend, suite, keys, {
          initiator: publicValues[0]!,
          responder: publicValues[1]!,
        });
        const count = replay(protection, own, (message, opened) => {
          t.equal(toHex(opened.plaintext), message.plaintext!.slice(0, 2 * opened.plaintext.length), name);
          if (message.payloads_length !== undefined)
            t.equal(opened.plaintext.length, message.payloads_length);
        });
        t.ok(count > 0, `${backend.name} ${name}: ${count} messages`);
      }
    }
  }
});

t.test('a session of our own: chains, padding, rubbish', async (t) => {
  for (const backend of backends) {
    const key = (n: number): SecretKey => new SecretKey(new Uint8Array(16).fill(n));
    const make = (n: number) =>
      new V1Protection(
        backend,
        AES_SHA1,
        { skeyid: key(1), skeyidD: key(2), skeyidA: key(3), encryption: key(n) },
        { initiator: new Uint8Array(128).fill(5), responder: new Uint8Array(128).fill(6) },
      );
    const [ours, theirs, stranger] = [make(4), make(4), make(9)];
    const header = {
      ...FIRST_V1_HEADER,
      responderCookie: fromHex('1112131415161718'),
      exchangeType: V1Exchange.QUICK_MODE,
      encrypted: true,
      messageId: 77,
    };
    const out = ours.exchange(77);
    const inward = theirs.exchange(77);
    for (const length of [1, 12, 28, 29, 100]) {
      const payload = { kind: 'hash', data: new Uint8Array(length).fill(length) } as const;
      const bytes = ours.seal(out, header, [payload]);
      const message = decodeV1Message(bytes);
      if (!message.ok || message.value.sealed === undefined) throw new Error('our own message is not read');
      t.equal(message.value.sealed.body.length % 16, 0);
      const rubbish = { ...message.value.sealed, body: message.value.sealed.body.subarray(1) };
      t.notOk(theirs.open(inward, rubbish).ok, 'no whole blocks');
      const wrong = stranger.open(stranger.exchange(77), message.value.sealed);
      t.notOk(
        wrong.ok && equalBytes(find(wrong.value.payloads, 'hash')?.data ?? new Uint8Array(0), payload.data),
      );
      const opened = theirs.open(inward, message.value.sealed);
      if (!opened.ok) throw new Error('the peer cannot read it');
      t.same(find(opened.value.payloads, 'hash').data, payload.data);
      inward.adopt(opened.value.nextIv);
      t.same(inward.iv, out.iv);
    }
  }
});
