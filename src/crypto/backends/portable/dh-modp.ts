import BN from 'bn.js';
import { checkModpPublic } from '../../dh/checks.js';
import type { DhArithmetic } from '../../dh/exchange.js';
import type { ModpGroup } from '../../dh/modp-groups.js';
import { drawModpPrivate } from '../../dh/private-value.js';

/** The Montgomery context of a prime and the generator in it. */
interface Context {
  readonly reduction: BN.ReductionContext;
  readonly generator: ReturnType<BN['toRed']>;
}

/** One context per group for the life of the process, made when the group is first used. */
const contexts = new Map<number, Context>();

function contextOf(group: ModpGroup): Context {
  let context = contexts.get(group.id);
  if (context === undefined) {
    const reduction = BN.mont(new BN(group.prime));
    context = { reduction, generator: new BN(group.generator).toRed(reduction) };
    contexts.set(group.id, context);
  }
  return context;
}

/**
 * base^exponent mod p, `length` octets. bn.js does not run in constant time: this backend is for machines
 * without OpenSSL and for checking the other one.
 */
function power(base: Context['generator'], exponent: Uint8Array, length: number): Uint8Array {
  const value = new BN(exponent);
  const result = base.redPow(value).fromRed();
  const octets = Uint8Array.from(result.toArray('be', length));
  wipe(value);
  wipe(result);
  return octets;
}

/** bn.js keeps its digits in `words`, which its types leave out. */
function wipe(value: BN): void {
  (value as unknown as { words: number[] }).words.fill(0);
}

/** A MODP group by bn.js. */
export function portableModp(group: ModpGroup): DhArithmetic {
  const length = group.prime.length;
  const ofPeer = (base: Uint8Array, exponent: Uint8Array): Uint8Array =>
    power(new BN(base).toRed(contextOf(group).reduction), exponent, length);
  return {
    id: group.id,
    publicLength: length,
    sharedLength: length,
    draw: (random) => drawModpPrivate(group, random),
    check: (peer) => checkModpPublic(group, peer, ofPeer),
    begin: (value) => ({
      publicValue: power(contextOf(group).generator, value, length),
      combine: (peer) => ofPeer(peer, value),
    }),
  };
}
