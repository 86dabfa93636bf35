import { createOpensslBackend, createPortableBackend } from '../../src/crypto/backend.js';
import { opensslEcp } from '../../src/crypto/backends/openssl/dh-ecp.js';
import { opensslModp } from '../../src/crypto/backends/openssl/dh-modp.js';
import { opensslX25519 } from '../../src/crypto/backends/openssl/dh-x25519.js';
import { portableEcp } from '../../src/crypto/backends/portable/dh-ecp.js';
import { portableModp } from '../../src/crypto/backends/portable/dh-modp.js';
import { portableX25519 } from '../../src/crypto/backends/portable/dh-x25519.js';
import { ECP_GROUPS } from '../../src/crypto/dh/ecp-groups.js';
import { type DhArithmetic, startExchange } from '../../src/crypto/dh/exchange.js';
import { MODP_GROUPS } from '../../src/crypto/dh/modp-groups.js';
import { SUBGROUP_GROUPS } from '../../src/crypto/dh/subgroup-groups.js';
import type { CryptoBackend, DhExchange } from '../../src/crypto/types.js';
import type { Random } from '../../src/util/random.js';

export const openssl = createOpensslBackend();
export const portable = createPortableBackend();
/** Every backend, for `for (const backend of backends)`. */
export const backends: readonly CryptoBackend[] = [openssl, portable];

const MODP = [...MODP_GROUPS, ...SUBGROUP_GROUPS];
const ARITHMETICS: Readonly<Record<string, readonly DhArithmetic[]>> = {
  openssl: [...MODP.map(opensslModp), ...ECP_GROUPS.map(opensslEcp), opensslX25519()],
  portable: [...MODP.map(portableModp), ...ECP_GROUPS.map(portableEcp), portableX25519()],
};

/** An exchange with a private value of the test's choice (copied), which `DhGroup.generate` does not offer. */
export function exchangeWith(backend: CryptoBackend, group: number, privateValue: Uint8Array): DhExchange {
  const arithmetic = ARITHMETICS[backend.name]?.find((x) => x.id === group);
  if (arithmetic === undefined) throw new Error(`no arithmetic for ${backend.name}, group ${group}`);
  return startExchange(arithmetic, Uint8Array.from(privateValue));
}

/** Octets from a small generator (mulberry32): the same seed gives the same octets. Not for secrets. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return {
    bytes: (length) => {
      const out = new Uint8Array(length);
      for (let i = 0; i < length; i++) {
        state = (state + 0x6d2b79f5) >>> 0;
        let x = Math.imul(state ^ (state >>> 15), state | 1);
        x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
        out[i] = (x ^ (x >>> 14)) >>> 24;
      }
      return out;
    },
  };
}

/** Gives the scripted values one after the other, each once; a length that does not fit or one too many throws. */
export function scriptedRandom(...values: readonly Uint8Array[]): Random {
  const left = [...values];
  return {
    bytes: (length) => {
      const next = left.shift();
      if (next?.length !== length)
        throw new Error(`the script has ${next?.length} octets, ${length} were asked for`);
      return Uint8Array.from(next);
    },
  };
}
