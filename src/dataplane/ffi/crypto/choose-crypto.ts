import { INTEGRITY_TRANSFORMS } from '../../../crypto/transforms.js';
import type { CryptoBackend } from '../../../crypto/types.js';
import type { Random } from '../../../util/random.js';
import { err } from '../../../util/result.js';
import type { Arena } from '../memory/arena.js';
import { KeySlots } from '../memory/key-slots.js';
import type { GcmMaker } from './aead-calls.js';
import { createEvpCrypto, type EvpOptions } from './evp.js';
import { createFallbackCrypto } from './fallback-crypto.js';
import { gcm128Maker, loadGcm128 } from './gcm128.js';
import { ipsecMbMaker, loadIpsecMb } from './ipsec-mb.js';
import { loadMultiCbc } from './multi-cbc.js';
import { loadOpenssl, type Openssl, type OpensslProbe } from './openssl.js';
import type { PacketCrypto } from './packet-crypto.js';
import { hmacMaker, type MacMaker, stateMaker } from './packet-mac.js';
import { processorFlags } from './processor.js';
import { macHolds, runSelfTest, sealAlike, sealsBatches } from './self-test.js';

/** The cryptography that a packet worker uses. */
export interface CryptoChoice {
  readonly crypto: PacketCrypto;
  /** Why EVP is not used, or not for everything; undefined when all is well. */
  readonly note?: string;
}

/** What of this machine may be used. */
export interface CryptoSources {
  /** Where OpenSSL is; looked for when left out. */
  readonly probe?: OpensslProbe;
  /** Whether libIPSec_MB may be loaded where it is installed; true when left out. */
  readonly ipsecMb?: boolean;
}

const IPSEC_MB = 'CULVERT_IPSEC_MB';

/**
 * Whether libIPSec_MB, a library of the system that is loaded by its name, may come into this process.
 * @throws RangeError for a value that is neither `on` nor `off`
 */
export function ipsecMbAllowed(environment: Readonly<Record<string, string | undefined>>): boolean {
  const value = environment[IPSEC_MB] ?? 'on';
  if (value === 'on' || value === 'off') return value === 'on';
  throw new RangeError(`${IPSEC_MB} is "${value}": set it to "on" or "off", or leave it out`);
}

/**
 * EVP for every suite that passes its known answers, the fallback for the others. Run once per thread, before
 * the arena carries packets.
 */
export function choosePacketCrypto(
  arena: Arena,
  backend: CryptoBackend,
  random: Random,
  { probe = loadOpenssl(), ipsecMb = true }: CryptoSources = {},
): CryptoChoice {
  const fallback = createFallbackCrypto(backend, random, arena);
  if (!probe.ok) return { crypto: fallback, note: `OpenSSL is not reachable by FFI: ${probe.reason}` };
  const slots = new KeySlots(arena);
  const macs = chooseMacs(probe, arena, slots);
  const { openssl } = probe;
  const processor = processorFlags();
  const gcm = chooseGcm(openssl, arena, macs, gcmChoices({ openssl, arena, slots, processor, ipsecMb }));
  const multiCbc = chooseMultiCbc(openssl, arena, macs, slots, processor);
  const evp = createEvpCrypto(openssl, arena, macs, { gcm: gcm?.maker, multiCbc });
  const test = runSelfTest(openssl, arena, macs);
  const crypto: PacketCrypto = {
    name: gcm === undefined ? evp.name : `${evp.name}, AES-GCM by ${gcm.name}`,
    supports: (suite) => test.holds(suite) || fallback.supports(suite),
    sealer: (suite, spi, keys) => (test.holds(suite) ? evp : fallback).sealer(suite, spi, keys),
    opener: (suite, keys) => (test.holds(suite) ? evp : fallback).opener(suite, keys),
  };
  if (test.failed.length === 0) return { crypto };
  return { crypto, note: `OpenSSL by FFI does not give the known answers of ${test.failed.join(', ')}` };
}

/** By hash states when they give the known answers of all hashes, else by HMAC_CTX. */
function chooseMacs(probe: Extract<OpensslProbe, { ok: true }>, arena: Arena, slots: KeySlots): MacMaker {
  const { hashes, openssl } = probe;
  const fast = stateMaker(hashes, arena, slots, openssl.native.memcpy);
  const holds = INTEGRITY_TRANSFORMS.every(({ hash }) => hashes.has(hash) && macHolds(arena, fast, hash));
  return holds ? fast : hmacMaker(openssl, arena);
}

/** A way to do AES-GCM without EVP, and its name for the log. */
interface GcmChoice {
  readonly name: string;
  readonly maker: GcmMaker;
}

/** The fastest AES-GCM that makes the same packets as EVP, or undefined for EVP itself. */
function chooseGcm(
  openssl: Openssl,
  arena: Arena,
  macs: MacMaker,
  choices: Iterable<GcmChoice>,
): GcmChoice | undefined {
  const evp = createEvpCrypto(openssl, arena, macs);
  for (const choice of choices) {
    const crypto = createEvpCrypto(openssl, arena, macs, { gcm: choice.maker });
    if (withoutError(() => sealAlike(arena, crypto, evp))) return choice;
  }
  return undefined;
}

/** What this machine has, the fastest first; the next is loaded only when the one before does not do. */
function* gcmChoices(on: {
  readonly openssl: Openssl;
  readonly arena: Arena;
  readonly slots: KeySlots;
  readonly processor: ReadonlySet<string>;
  readonly ipsecMb: boolean;
}): Generator<GcmChoice> {
  const { openssl, arena, slots, processor } = on;
  const library = on.ipsecMb ? loadIpsecMb(processor) : err('it is forbidden');
  if (library.ok) {
    const name = `${library.value.name}, ${library.value.variant}`;
    yield { name, maker: ipsecMbMaker(library.value, openssl, arena) };
  }
  const functions = loadGcm128(processor);
  if (functions.ok) {
    yield { name: 'CRYPTO_gcm128', maker: gcm128Maker(functions.value, arena, slots) };
  }
}

/** A test that throws has failed: some other way of doing it remains. */
function withoutError(test: () => boolean): boolean {
  try {
    return test();
  } catch {
    return false;
  }
}

/** AES-CBC of several packets at a time, when EVP reads them. */
function chooseMultiCbc(
  openssl: Openssl,
  arena: Arena,
  macs: MacMaker,
  slots: KeySlots,
  processor: ReadonlySet<string>,
): EvpOptions['multiCbc'] {
  const functions = loadMultiCbc(processor);
  if (!functions.ok) return undefined;
  const multiCbc = { functions: functions.value, slots };
  const crypto = createEvpCrypto(openssl, arena, macs, { multiCbc });
  return withoutError(() => sealsBatches(arena, crypto)) ? multiCbc : undefined;
}
