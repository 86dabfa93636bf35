import t from 'tap';
import { createOpensslBackend } from '../../src/crypto/backend.js';
import type { EspProposalSpec, IkeProposalSpec } from '../../src/ike/config.js';
import { Dh, Encr, Integ, Prf } from '../../src/wire/ike/registry.js';
import { establishedPair, faults } from '../helpers/engine-pair.js';

const crypto = createOpensslBackend();

const CIPHERS = [
  { id: Encr.AES_CBC, keyBits: 256 },
  { id: Encr.AES_CBC, keyBits: 128 },
  { id: Encr.TRIPLE_DES, keyBits: 0 },
];
const HASHES = [
  { integrity: Integ.HMAC_SHA2_256_128, prf: Prf.HMAC_SHA2_256 },
  { integrity: Integ.HMAC_SHA1_96, prf: Prf.HMAC_SHA1 },
  { integrity: Integ.HMAC_MD5_96, prf: Prf.HMAC_MD5 },
];
const AEADS = [
  { id: Encr.AES_GCM_16, keyBits: 128 },
  { id: Encr.AES_GCM_16, keyBits: 256 },
  { id: Encr.CHACHA20_POLY1305, keyBits: 0 },
];

function ike(
  cipher: { id: number; keyBits: number },
  integrity: number[],
  prf: number,
  dh: number,
): IkeProposalSpec {
  return { encryption: [cipher], integrity, prf: [prf], dh: [dh] };
}

/** One end has only this combination, the other the whole matrix: the combination must be found and work. */
function negotiates(seed: number, ikeSpec: IkeProposalSpec, espSpec?: EspProposalSpec): string | undefined {
  const narrow = { ikeProposals: [ikeSpec], ...(espSpec === undefined ? {} : { espProposals: [espSpec] }) };
  const wide = seed % 2 === 0 ? {} : narrow;
  const made = establishedPair({ seed, crypto, east: narrow, west: wide });
  return faults(made);
}

t.test('every combination of the IKE matrix, with real cryptography', async (t) => {
  let seed = 0;
  for (const cipher of CIPHERS) {
    for (const hash of HASHES) {
      for (const dh of [Dh.MODP_2048, Dh.MODP_1536, Dh.MODP_1024]) {
        seed += 2;
        const spec = ike(cipher, [hash.integrity], hash.prf, dh);
        t.equal(
          negotiates(seed, spec),
          undefined,
          `${cipher.id}-${cipher.keyBits}, PRF ${hash.prf}, DH ${dh}`,
        );
      }
    }
  }
});

t.test('AEAD ciphers and elliptic curves', async (t) => {
  let seed = 1001;
  for (const cipher of AEADS) {
    for (const dh of [Dh.CURVE25519, Dh.ECP_256, Dh.ECP_384, Dh.ECP_521]) {
      const esp = { encryption: [cipher], integrity: [], dh: [dh] };
      seed += 2;
      t.equal(negotiates(seed, ike(cipher, [], Prf.HMAC_SHA2_384, dh), esp), undefined);
    }
  }
});

t.test('every combination of the ESP matrix', async (t) => {
  let seed = 2001;
  for (const cipher of CIPHERS) {
    for (const hash of HASHES) {
      const esp = { encryption: [cipher], integrity: [hash.integrity], dh: [] };
      const spec = ike(CIPHERS[0]!, [Integ.HMAC_SHA2_512_256], Prf.HMAC_SHA2_512, Dh.CURVE25519);
      seed += 2;
      t.equal(negotiates(seed, spec, esp), undefined);
    }
  }
});
