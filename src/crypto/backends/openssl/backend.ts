import { getCiphers, getCurves, getFips, getHashes } from 'node:crypto';
import type { Random } from '../../../util/random.js';
import { ECP_GROUPS } from '../../dh/ecp-groups.js';
import { type DhArithmetic, dhGroup } from '../../dh/exchange.js';
import { MODP_GROUPS } from '../../dh/modp-groups.js';
import { SUBGROUP_GROUPS } from '../../dh/subgroup-groups.js';
import { type KemArithmetic, kemMethod } from '../../kem/method.js';
import { ML_KEM_SETS, type MlKemSet, SEED_LENGTH, SHARED_LENGTH } from '../../kem/ml-kem-sets.js';
import { ENCRYPTION_TRANSFORMS, HASH_LENGTHS } from '../../transforms.js';
import type { Cipher, CryptoBackend, HashName } from '../../types.js';
import { assembleBackend, type HashFunctions } from '../assemble.js';
import { opensslCipher, opensslCipherName } from './cipher.js';
import { opensslCurveName, opensslEcp } from './dh-ecp.js';
import { opensslModp } from './dh-modp.js';
import { opensslX25519 } from './dh-x25519.js';
import { opensslHash } from './hash.js';
import { lazyMlKem, opensslMlKem } from './ml-kem.js';

/** What the OpenSSL inside Node says it has. FIPS and distribution builds may lack MD5, 3DES or curves. */
export interface OpensslInventory {
  readonly ciphers: readonly string[];
  readonly hashes: readonly string[];
  readonly curves: readonly string[];
  /** In FIPS mode each DH group is tried out, since no list says which ones are left. */
  readonly fips: boolean;
}

/** The inventory of the running process. */
export function opensslInventory(): OpensslInventory {
  return { ciphers: getCiphers(), hashes: getHashes(), curves: getCurves(), fips: getFips() === 1 };
}

/**
 * The backend over node:crypto. What the inventory lacks, or what fails when tried out here, is denied by
 * `supports()`: it never throws later, in the middle of a negotiation.
 */
export function createOpensslBackend(inventory: OpensslInventory = opensslInventory()): CryptoBackend {
  return assembleBackend('openssl', {
    hashes: probeHashes(inventory),
    ciphers: probeCiphers(inventory),
    groups: probeGroups(inventory).map(dhGroup),
    kems: ML_KEM_SETS.map(probeKem).map(kemMethod),
  });
}

/** OpenSSL where it has ML-KEM, which that in Node 20 and 22 has not; @noble/post-quantum does the rest. */
function probeKem(set: MlKemSet): KemArithmetic {
  const other = lazyMlKem(set);
  const own = opensslMlKem(set);
  return own !== undefined && works(() => tryOutKem(set, own)) ? { ...other, ...own } : other;
}

/** Any ciphertext has a secret (FIPS 203 §6.3), so that nothing has to be encapsulated for the trial. */
function tryOutKem(set: MlKemSet, own: Pick<KemArithmetic, 'keyPair' | 'decapsulate'>): void {
  const { encapsulationKey, decapsulationKey } = own.keyPair(TRIAL_RANDOM.bytes(SEED_LENGTH));
  const shared = own.decapsulate(new Uint8Array(set.ciphertextLength), decapsulationKey);
  if (encapsulationKey.length !== set.encapsulationKeyLength || shared.length !== SHARED_LENGTH)
    throw new Error('a key or a secret of ML-KEM has another length than it should');
}

function probeHashes(inventory: OpensslInventory): Map<HashName, HashFunctions> {
  const listed = lowerCased(inventory.hashes);
  const out = new Map<HashName, HashFunctions>();
  for (const name of Object.keys(HASH_LENGTHS) as HashName[]) {
    const functions = opensslHash(name);
    const key = new Uint8Array(HASH_LENGTHS[name].digest);
    if (listed.has(name) && works(() => functions.hmac(key, [key]))) out.set(name, functions);
  }
  return out;
}

function probeCiphers(inventory: OpensslInventory): { keyBits: number; cipher: Cipher }[] {
  const listed = lowerCased(inventory.ciphers);
  const out: { keyBits: number; cipher: Cipher }[] = [];
  for (const transform of ENCRYPTION_TRANSFORMS) {
    const name = opensslCipherName(transform);
    if (name === undefined || !listed.has(name)) continue;
    const cipher = opensslCipher(transform, name);
    if (works(() => tryOut(cipher))) out.push({ keyBits: transform.keyBits, cipher });
  }
  return out;
}

function tryOut(cipher: Cipher): void {
  // Three different DES keys: a FIPS module refuses to work with equal ones.
  const key = Uint8Array.from({ length: cipher.keyLength }, (_, i) => 1 + i * 2);
  if (cipher.aead) cipher.seal(key, new Uint8Array(cipher.saltLength + cipher.ivLength), key, key);
  else cipher.encrypt(key, new Uint8Array(cipher.ivLength), new Uint8Array(cipher.blockLength));
}

function probeGroups(inventory: OpensslInventory): DhArithmetic[] {
  const curves = lowerCased(inventory.curves);
  const ecp = ECP_GROUPS.filter((group) => curves.has(opensslCurveName(group).toLowerCase()));
  // Only FIPS mode takes MODP groups away. Elsewhere they are not tried out: making the object of group 2
  // takes some 30 ms, which a process that never meets that group need not spend.
  const modp = [...MODP_GROUPS, ...SUBGROUP_GROUPS]
    .map(opensslModp)
    .filter((group) => !inventory.fips || canAgree(group));
  return [...modp, ...[...ecp.map(opensslEcp), opensslX25519()].filter(canAgree)];
}

/** Fixed private values: enough to see whether a group works, and of no use for anything else. */
const TRIAL_RANDOM: Random = { bytes: (length) => new Uint8Array(length).fill(1) };

function canAgree(arithmetic: DhArithmetic): boolean {
  return works(() => {
    const exchange = dhGroup(arithmetic).generate(TRIAL_RANDOM);
    const outcome = exchange.agree(exchange.publicValue);
    if (!outcome.ok) throw new Error(outcome.error.message);
  });
}

function works(attempt: () => unknown): boolean {
  try {
    attempt();
    return true;
  } catch {
    return false;
  }
}

function lowerCased(names: readonly string[]): Set<string> {
  return new Set(names.map((name) => name.toLowerCase()));
}
