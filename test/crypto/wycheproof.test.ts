import t from 'tap';
import { prfFromName } from '../../src/crypto/names.js';
import { INTEGRITY_TRANSFORMS } from '../../src/crypto/transforms.js';
import type { CryptoBackend } from '../../src/crypto/types.js';
import { concat, fromHex, toHex } from '../../src/util/bytes.js';
import { Dh, Encr } from '../../src/wire/ike/registry.js';
import { backends, exchangeWith } from '../helpers/crypto.js';
import { readVectors, skipWithoutVectors } from '../helpers/vectors.js';

/** Project Wycheproof, both halves of each file. Flags tell what an attacker tries in the case. */
interface Case {
  tcId: number;
  comment: string;
  flags: string[];
  result: 'valid' | 'invalid' | 'acceptable';
}
interface Group<C> {
  keySize: number;
  ivSize: number;
  tagSize: number;
  tests: (Case & C)[];
}

function groupsOf<C>(name: string): Group<C>[] {
  return ['wycheproof', 'more/wycheproof'].flatMap(
    (folder) => readVectors<{ testGroups: Group<C>[] }>(`${folder}/${name}_test.json`).testGroups,
  );
}

type Aead = { key: string; iv: string; aad: string; msg: string; ct: string; tag: string };

function runAead(
  t: Tap,
  backend: CryptoBackend,
  file: string,
  id: number,
  bitsOf: (group: Group<Aead>) => number,
) {
  let ran = 0;
  for (const group of groupsOf<Aead>(file)) {
    if (group.ivSize !== 96 || group.tagSize !== 128) continue;
    const cipher = backend.cipher(id, bitsOf(group));
    if (!cipher.aead) throw new Error('unreachable');
    for (const x of group.tests) {
      ran++;
      const [key, nonce, aad] = [fromHex(x.key), fromHex(x.iv), fromHex(x.aad)];
      const opened = cipher.open(key, nonce, aad, fromHex(x.ct + x.tag));
      const got = opened === undefined ? undefined : toHex(opened);
      const want = x.result === 'valid' ? x.msg : undefined;
      if (got !== want) t.fail(`${file} ${x.tcId} ${x.comment}: open`);
      if (x.result === 'valid' && toHex(cipher.seal(key, nonce, aad, fromHex(x.msg))) !== x.ct + x.tag) {
        t.fail(`${file} ${x.tcId} ${x.comment}: seal`);
      }
    }
  }
  t.ok(ran > 100, `${ran} cases of ${file}`);
}

type Tap = Pick<typeof t, 'ok' | 'fail'>;

for (const backend of backends) {
  t.test(`AEAD, ${backend.name}`, { skip: skipWithoutVectors }, async (t) => {
    runAead(t, backend, 'aes_gcm', Encr.AES_GCM_16, (group) => group.keySize);
    runAead(t, backend, 'chacha20_poly1305', Encr.CHACHA20_POLY1305, () => 0);
  });

  t.test(`HMAC, ${backend.name}`, { skip: skipWithoutVectors }, async (t) => {
    let icvs = 0;
    for (const hash of ['sha1', 'sha256', 'sha384', 'sha512']) {
      const prf = backend.prf(prfFromName(hash)!);
      const transform = INTEGRITY_TRANSFORMS.find((x) => x.hash === hash)!;
      const mac = backend.integrity(transform.id);
      for (const group of groupsOf<{ key: string; msg: string; tag: string }>(`hmac_${hash}`)) {
        for (const x of group.tests) {
          const [key, data, tag] = [fromHex(x.key), fromHex(x.msg), fromHex(x.tag)];
          const holds = toHex(prf.compute(key, data)).slice(0, group.tagSize / 4) === x.tag;
          if (holds !== (x.result === 'valid')) t.fail(`${hash} ${x.tcId} ${x.comment}`);
          if (key.length !== mac.keyLength || tag.length !== mac.icvLength) continue;
          icvs++;
          if (mac.verify(key, tag, data) !== (x.result === 'valid')) t.fail(`${hash} ${x.tcId}: ICV`);
        }
      }
    }
    t.ok(icvs > 50, `${icvs} of them with the truncation of RFC 4868`);
  });

  t.test(`X25519, ${backend.name}`, { skip: skipWithoutVectors }, async (t) => {
    let refused = 0;
    for (const group of groupsOf<{ public: string; private: string; shared: string }>('x25519')) {
      for (const x of group.tests) {
        const outcome = exchangeWith(backend, Dh.CURVE25519, fromHex(x.private)).agree(fromHex(x.public));
        if (/^0+$/.test(x.shared)) {
          // "Acceptable" to Wycheproof, refused by us as RFC 7748 section 6.1 allows.
          refused++;
          t.equal(!outcome.ok && outcome.error.code, 'weak_result', `x25519 ${x.tcId} ${x.comment}`);
        } else if (!outcome.ok || toHex(outcome.value.expose()) !== x.shared) {
          t.fail(`x25519 ${x.tcId} ${x.comment}`);
        }
      }
    }
    t.ok(refused > 5, `${refused} of small order refused`);
  });

  for (const [file, group, length] of [
    ['ecdh_secp256r1_ecpoint', Dh.ECP_256, 32],
    ['ecdh_secp384r1_ecpoint', Dh.ECP_384, 48],
    ['ecdh_secp521r1_ecpoint', Dh.ECP_521, 66],
  ] as const) {
    t.test(`${file}, ${backend.name}`, { skip: skipWithoutVectors }, async (t) => {
      let agreed = 0;
      let refused = 0;
      const all = groupsOf<{ public: string; private: string; shared: string }>(file).flatMap((x) => x.tests);
      // @noble/curves takes up to 20 ms for a case: a sample of the valid ones, and every attack.
      const step = backend.name === 'portable' && length > 32 ? 9 : 1;
      for (const [i, x] of all.entries()) {
        if (x.result === 'valid' && i % step !== 0) continue;
        const point = fromHex(x.public);
        // Only uncompressed points have a form in IKE; the others must fail by their length.
        const peer = point[0] === 4 ? point.subarray(1) : point;
        const scalar = fromHex(x.private);
        const trimmed = scalar.subarray(Math.max(0, scalar.length - length));
        const own = concat(new Uint8Array(length - trimmed.length), trimmed);
        const outcome = exchangeWith(backend, group, own).agree(peer);
        const uncompressed = point[0] === 4 && point.length === 2 * length + 1;
        if (x.result === 'valid' && uncompressed) {
          agreed++;
          if (!outcome.ok || toHex(outcome.value.expose()) !== x.shared) t.fail(`${x.tcId} ${x.comment}`);
        } else {
          refused++;
          if (outcome.ok) t.fail(`${x.tcId} ${x.comment} was accepted`);
        }
      }
      t.ok(agreed > 20 && refused > 3, `${agreed} agreed, ${refused} refused`);
    });
  }
}
