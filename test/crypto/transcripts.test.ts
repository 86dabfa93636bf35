import t from 'tap';
import { createOpensslBackend, createPortableBackend } from '../../src/crypto/backend.js';
import { modpArithmetic, modpObjectHalf } from '../../src/crypto/backends/openssl/dh-modp.js';
import { modpKeyHalf } from '../../src/crypto/backends/openssl/dh-modp-key.js';
import { portableModp } from '../../src/crypto/backends/portable/dh-modp.js';
import { startExchange } from '../../src/crypto/dh/exchange.js';
import { MODP_GROUPS } from '../../src/crypto/dh/modp-groups.js';
import { deriveChildKeys, deriveIkeKeys, deriveSkeyseed, type IkeKeys } from '../../src/crypto/keymat.js';
import { computePskAuth, verifyPskAuth } from '../../src/crypto/psk-auth.js';
import type { CryptoBackend, EspSuite, IkeSuite } from '../../src/crypto/types.js';
import { fromHex, toHex } from '../../src/util/bytes.js';
import { SecretKey, wipeSecrets } from '../../src/util/secret.js';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { readFixture } from '../helpers/vectors.js';

/** Whole IKEv2 exchanges with a pre-shared key, AES-CBC-128, HMAC-SHA1 and group 2, recorded by others. */
interface Transcript {
  id: string;
  source: string;
  psk: string;
  SPIi: string;
  SPIr: string;
  Ni: string;
  Nr: string;
  g_ir: string;
  keys: Record<string, string>;
  child_KEYMAT?: string;
  dh?: { initiatorPrivate: string; publicI: string; publicR: string };
  auth: { by: 'initiator' | 'responder'; realMessage: string; idBody: string; auth: string }[];
}

const transcripts = readFixture<Transcript[]>('crypto/ikev2-psk-transcripts.json');
const backends = [createOpensslBackend(), createPortableBackend()];
const suite: IkeSuite = {
  encryption: { id: Encr.AES_CBC, keyBits: 128 },
  integrity: Integ.HMAC_SHA1_96,
  prf: Prf.HMAC_SHA1,
  dh: Dh.MODP_1024,
};
const espSuite: EspSuite = { encryption: suite.encryption, integrity: suite.integrity, dh: 0, esn: false };
const secret = (hex: string): SecretKey => new SecretKey(fromHex(hex));

function ikeKeysOf(backend: CryptoBackend, x: Transcript): { skeyseed: SecretKey; keys: IkeKeys } {
  const prf = backend.prf(suite.prf);
  const nonces = { initiator: fromHex(x.Ni), responder: fromHex(x.Nr) };
  const skeyseed = deriveSkeyseed(prf, nonces, secret(x.g_ir));
  const spis = { initiator: fromHex(x.SPIi), responder: fromHex(x.SPIr) };
  return { skeyseed, keys: deriveIkeKeys(prf, suite, skeyseed, nonces, spis) };
}

for (const backend of backends) {
  t.test(`recorded IKE_AUTH exchanges are recomputed, ${backend.name}`, async (t) => {
    t.ok(transcripts.length >= 4);
    for (const x of transcripts) {
      const prf = backend.prf(suite.prf);
      const { skeyseed, keys } = ikeKeysOf(backend, x);
      const got = {
        SKEYSEED: skeyseed,
        SK_d: keys.skD,
        SK_ai: keys.skAi!,
        SK_ar: keys.skAr!,
        SK_ei: keys.skEi,
        SK_er: keys.skEr,
        SK_pi: keys.skPi,
        SK_pr: keys.skPr,
      };
      for (const [name, key] of Object.entries(got))
        t.equal(toHex(key.expose()), x.keys[name], `${x.id} ${name}`);

      if (x.child_KEYMAT !== undefined) {
        const nonces = { initiator: fromHex(x.Ni), responder: fromHex(x.Nr) };
        const child = deriveChildKeys(prf, keys.skD, espSuite, nonces);
        const all = [child.initiatorToResponder, child.responderToInitiator]
          .flatMap((d) => [d.encryption, d.integrity!])
          .map((key) => toHex(key.expose()))
          .join('');
        t.equal(all, x.child_KEYMAT, `${x.id} KEYMAT`);
        for (const direction of [child.initiatorToResponder, child.responderToInitiator]) {
          wipeSecrets(direction);
          t.ok(direction.encryption.wiped && direction.integrity!.wiped);
        }
      }

      for (const auth of x.auth) {
        const input = {
          realMessage: fromHex(auth.realMessage),
          peerNonce: fromHex(auth.by === 'initiator' ? x.Nr : x.Ni),
          skP: auth.by === 'initiator' ? keys.skPi : keys.skPr,
          idBody: fromHex(auth.idBody),
        };
        const psk = secret(x.psk);
        t.equal(toHex(computePskAuth(prf, psk, input)), auth.auth, `${x.id} AUTH of the ${auth.by}`);
        t.ok(verifyPskAuth(prf, psk, input, fromHex(auth.auth)));
        const forged = fromHex(auth.auth);
        forged[forged.length - 1]! ^= 1;
        t.notOk(verifyPskAuth(prf, psk, input, forged), 'one bit off');
        t.notOk(verifyPskAuth(prf, psk, input, fromHex(auth.auth).slice(0, 12)), 'truncated');
        t.notOk(verifyPskAuth(prf, secret(`${x.psk}01`), input, fromHex(auth.auth)), 'another PSK');
        t.notOk(
          verifyPskAuth(prf, psk, { ...input, idBody: new Uint8Array(8) }, fromHex(auth.auth)),
          'another ID',
        );
      }

      wipeSecrets(keys);
      t.ok(
        Object.values(keys).every((key: SecretKey) => key.wiped),
        'all keys wiped',
      );
    }
  });
}

t.test('recorded group 2 exchanges: public value and g^ir from the private value', async (t) => {
  const group = MODP_GROUPS.find((x) => x.id === Dh.MODP_1024)!;
  const withDh = transcripts.filter((x) => x.dh !== undefined);
  t.ok(withDh.length >= 1);
  for (const x of withDh) {
    for (const arithmetic of [
      modpArithmetic(group, modpObjectHalf),
      modpArithmetic(group, modpKeyHalf),
      portableModp(group),
    ]) {
      const exchange = startExchange(arithmetic, fromHex(x.dh!.initiatorPrivate));
      t.equal(toHex(exchange.publicValue), x.dh!.publicI);
      const outcome = exchange.agree(fromHex(x.dh!.publicR));
      t.equal(outcome.ok && toHex(outcome.value.expose()), x.g_ir);
    }
  }
});
