import { ECP_GROUPS } from '../../dh/ecp-groups.js';
import { dhGroup } from '../../dh/exchange.js';
import { MODP_GROUPS } from '../../dh/modp-groups.js';
import { SUBGROUP_GROUPS } from '../../dh/subgroup-groups.js';
import { kemMethod } from '../../kem/method.js';
import { ML_KEM_SETS } from '../../kem/ml-kem-sets.js';
import { ENCRYPTION_TRANSFORMS, HASH_LENGTHS } from '../../transforms.js';
import type { CryptoBackend, HashName } from '../../types.js';
import { assembleBackend } from '../assemble.js';
import { portableCipher } from './cipher.js';
import { portableEcp } from './dh-ecp.js';
import { portableModp } from './dh-modp.js';
import { portableX25519 } from './dh-x25519.js';
import { portableHash } from './hash.js';
import { portableMlKem } from './ml-kem.js';

/**
 * The backend in plain JavaScript: @noble/hashes, @noble/ciphers, @noble/curves, @noble/post-quantum and bn.js. It lacks 3DES and
 * is much slower than OpenSSL (a MODP exchange takes tens of milliseconds), but has the same answers anywhere.
 */
export function createPortableBackend(): CryptoBackend {
  const names = Object.keys(HASH_LENGTHS) as HashName[];
  return assembleBackend('portable', {
    hashes: new Map(names.map((name) => [name, portableHash(name)])),
    ciphers: ENCRYPTION_TRANSFORMS.flatMap((transform) => {
      const cipher = portableCipher(transform);
      return cipher === undefined ? [] : [{ keyBits: transform.keyBits, cipher }];
    }),
    groups: [
      ...[...MODP_GROUPS, ...SUBGROUP_GROUPS].map(portableModp),
      ...ECP_GROUPS.map(portableEcp),
      portableX25519(),
    ].map(dhGroup),
    kems: ML_KEM_SETS.map(portableMlKem).map(kemMethod),
  });
}
