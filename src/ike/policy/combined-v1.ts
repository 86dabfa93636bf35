import type { V1Proposal } from '../../wire/ike/v1/payloads.js';
import { V1Protocol, v1NameOf } from '../../wire/ike/v1/registry.js';
import type { EspProposalSpec } from '../config.js';
import type { Failure } from '../events.js';
import { describeOffer, describeSet } from './mismatch.js';
import { espSet } from './transform-set.js';
import { readEspTerms, translatedEsp } from './transforms-v1.js';

/** Offers that an explanation lists. */
export const MAX_DESCRIBED = 16;

/**
 * Proposals of the same number are protocols that are wanted together, such as ESP with IPCOMP; those of different
 * numbers are a choice (RFC 2408 §4.2). `single`: ESP by itself.
 */
export function byNumber(offered: readonly V1Proposal[]): { single: V1Proposal[]; combined: V1Proposal[][] } {
  const bundles = new Map<number, V1Proposal[]>();
  for (const one of offered) bundles.set(one.number, [...(bundles.get(one.number) ?? []), one]);
  const all = [...bundles.values()];
  return {
    single: all.flatMap((bundle) =>
      bundle.length === 1 && bundle[0]!.protocol === V1Protocol.ESP ? bundle : [],
    ),
    combined: all.filter((bundle) => bundle.length > 1),
  };
}

/** `ESP AES_CBC-256 HMAC_SHA2_256_128 NO_ESN with IPCOMP`: one proposal of a bundle represents the others. */
export function describeCombined(bundle: readonly V1Proposal[]): string {
  return bundle
    .map(({ protocol, transforms, spi }) => {
      const name = v1NameOf('protocol', protocol);
      const [first] = transforms;
      return protocol === V1Protocol.ESP && first !== undefined
        ? `${name} ${describeOffer(translatedEsp(readEspTerms(first), 1, spi))}`
        : name;
    })
    .join(' with ');
}

/** Nothing that the peer offers is ESP by itself: why no algorithm is to blame. */
export function withoutPlainEsp(specs: readonly EspProposalSpec[], offered: readonly V1Proposal[]): Failure {
  const { combined } = byNumber(offered);
  const bundle = combined[0];
  const names = (list: readonly V1Proposal[]) =>
    [...new Set(list.map(({ protocol }) => v1NameOf('protocol', protocol)))].join(' and ');
  const compressed = bundle?.some(({ protocol }) => protocol === V1Protocol.IPCOMP) === true;
  const remedy = compressed ? 'turn IP compression (IPComp) off at the peer' : 'let the peer offer ESP alone';
  const wants =
    bundle === undefined
      ? `the peer offers ${names(offered)}, and no ESP`
      : `the peer wants ${names(bundle)} together`;
  return {
    cause: 'unsupported',
    message: `${wants}; only ESP by itself is supported here: ${remedy}`,
    details: {
      ours: specs.map((spec) => describeSet(espSet(spec, true))).slice(0, MAX_DESCRIBED),
      theirs: (bundle === undefined ? [names(offered)] : combined.map(describeCombined)).slice(
        0,
        MAX_DESCRIBED,
      ),
    },
  };
}
