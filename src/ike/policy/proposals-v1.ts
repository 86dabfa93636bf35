import type { EspSuite, IkeSuite } from '../../crypto/types.js';
import { err, ok, type Result } from '../../util/result.js';
import type { Proposal } from '../../wire/ike/payloads.js';
import { Dh, Integ, ProtocolId, TransformType } from '../../wire/ike/registry.js';
import type { V1Proposal, V1Transform } from '../../wire/ike/v1/payloads.js';
import { KEY_IKE, V1Protocol, v1NameOf } from '../../wire/ike/v1/registry.js';
import type { EspProposalSpec, IkeProposalSpec } from '../config.js';
import type { Failure } from '../events.js';
import { byNumber, describeCombined, MAX_DESCRIBED, withoutPlainEsp } from './combined-v1.js';
import { describeSet, mismatch, unofferedAnswer } from './mismatch.js';
import { espSet, pickAxis, requiresAdditional, type TransformSet } from './transform-set.js';
import {
  cipherOf,
  espAttributes,
  espTransformOf,
  type IkeTerms,
  ikeAttributes,
  isTunnel,
  readEspTerms,
  readIkeTerms,
  translatedEsp,
  translatedIke,
  V1_HASHES,
} from './transforms-v1.js';

const NO_SPI = new Uint8Array(0);
/** Transforms in one of our offers: more than peers read, fewer than one octet counts. */
const MAX_TRANSFORMS = 120;

/** How long an SA may live, as far as the negotiation says. */
export interface V1Lifetimes {
  readonly seconds?: number;
  readonly kilobytes?: number;
}

/** A phase 1 transform of the peer's that was taken. */
export interface V1IkeSelection {
  readonly suite: IkeSuite;
  /** The peer's proposal with this transform alone, unchanged (RFC 2409 §5). */
  readonly answer: V1Proposal;
  readonly lifetimes: V1Lifetimes;
}

/** A phase 2 transform that was taken. */
export interface V1EspSelection {
  readonly suite: EspSuite;
  /** The peer's proposal with this transform alone and no SPI: the caller fills it. */
  readonly answer: V1Proposal;
  /** Where the peer receives, 4 octets. */
  readonly peerSpi: Uint8Array;
  /** Encapsulation mode as negotiated (RFC 2407 §4.5, RFC 3947 §5.1). */
  readonly mode: number;
  readonly lifetimes: V1Lifetimes;
}

/** What the phase 2 offer says beside algorithms. */
export interface V1EspOffer {
  readonly spi: Uint8Array;
  /** Group of the KE payload, 0 without PFS: all transforms of one offer share it (RFC 2409 §5.5). */
  readonly group: number;
  readonly mode: number;
  readonly seconds: number;
}

/**
 * The SA payload of main mode: one proposal with one transform a combination, since a transform of version 1
 * has one value per attribute (RFC 2408 §4.2). Combinations that phase 1 cannot say (AEAD ciphers, groups
 * and hashes without a number, a PRF of another hash) are left out; empty when none is left.
 */
export function ikeOfferV1(specs: readonly IkeProposalSpec[], seconds: number): V1Proposal[] {
  const transforms: V1Transform[] = [];
  for (const { encryption, hashes, groups } of specs.map(partsOf)) {
    for (const cipher of encryption) {
      for (const hash of hashes) {
        for (const group of groups) {
          if (transforms.length === MAX_TRANSFORMS) break;
          const attributes = ikeAttributes({ cipher, hash, group }, seconds);
          transforms.push({ number: transforms.length + 1, id: KEY_IKE, attributes });
        }
      }
    }
  }
  if (transforms.length === 0) return [];
  return [{ number: 1, protocol: V1Protocol.ISAKMP, spi: NO_SPI, transforms }];
}

/** The SA payload of quick mode, for the specifications that have the group; empty when none is left. */
export function espOfferV1(specs: readonly EspProposalSpec[], offer: V1EspOffer): V1Proposal[] {
  const transforms: V1Transform[] = [];
  for (const spec of inVersion1(specs)) {
    const allowed = offer.group === Dh.NONE ? allowsNoPfs(spec) : spec.dh.includes(offer.group);
    if (!allowed) continue;
    for (const cipher of spec.encryption) {
      const id = espTransformOf(cipher);
      if (id === undefined) continue;
      for (const integrity of spec.integrity.length === 0 ? [Integ.NONE] : spec.integrity) {
        const attributes = espAttributes({ cipher, integrity, group: offer.group }, offer);
        if (attributes === undefined || transforms.length === MAX_TRANSFORMS) continue;
        transforms.push({ number: transforms.length + 1, id, attributes });
      }
    }
  }
  if (transforms.length === 0) return [];
  return [{ number: 1, protocol: V1Protocol.ESP, spi: offer.spi, transforms }];
}

/** The group that our quick mode offers with: the first one configured, 0 without PFS. */
export function offeredGroup(specs: readonly EspProposalSpec[]): number {
  return (
    inVersion1(specs).find((spec) => spec.encryption.some((one) => espTransformOf(one) !== undefined))
      ?.dh[0] ?? Dh.NONE
  );
}

function allowsNoPfs(spec: EspProposalSpec): boolean {
  return spec.dh.length === 0 || spec.dh.includes(Dh.NONE);
}

/**
 * As responder: the first combination in our own order that the peer offers. Lifetimes never fail a match:
 * the shorter one counts (RFC 2407 §4.5.4).
 */
export function selectIkeV1(
  specs: readonly IkeProposalSpec[],
  offered: readonly V1Proposal[],
): Result<V1IkeSelection, Failure> {
  const selected = findIkeV1(specs, offered);
  return selected === undefined ? err(ikeMismatchV1(specs, offered)) : ok(selected);
}

/** As `selectIkeV1`, without a reason when there is nothing in common; see `ikeMismatchV1`. */
export function findIkeV1(
  specs: readonly IkeProposalSpec[],
  offered: readonly V1Proposal[],
): V1IkeSelection | undefined {
  const found = best(ikeSets(specs), itemsOf(readIke(offered).filter(({ terms }) => terms.psk)));
  if (found === undefined) return undefined;
  const { number, protocol, spi } = found.proposal;
  return {
    suite: found.terms.suite!,
    answer: { number, protocol, spi: Uint8Array.from(spi), transforms: [found.transform] },
    lifetimes: found.terms.lifetimes,
  };
}

/** Why none of the peer's transforms is taken. */
export function ikeMismatchV1(specs: readonly IkeProposalSpec[], offered: readonly V1Proposal[]): Failure {
  const all = readIke(offered);
  const byPsk = all.filter(({ terms }) => terms.psk);
  if (byPsk.length === 0 && all.length > 0) return otherMethods(all.map(({ terms }) => terms));
  return mismatch(
    ikeSets(specs),
    itemsOf(byPsk).map((one) => one.offer),
  );
}

function readIke(offered: readonly V1Proposal[]) {
  return offered.flatMap((proposal) =>
    proposal.protocol === V1Protocol.ISAKMP
      ? proposal.transforms.map((transform) => ({ proposal, transform, terms: readIkeTerms(transform) }))
      : [],
  );
}

function itemsOf(read: ReturnType<typeof readIke>): Item<IkeTerms>[] {
  return read.map((one, index) => ({ ...one, offer: translatedIke(one.terms, index + 1) }));
}

/** As initiator: exactly one transform out of what we offered (RFC 2408 §4.2, RFC 2409 §5). */
export function acceptIkeAnswerV1(
  specs: readonly IkeProposalSpec[],
  answer: readonly V1Proposal[],
): Result<V1IkeSelection, Failure> {
  const transforms = answer.flatMap((proposal) => proposal.transforms);
  const selected = selectIkeV1(specs, answer);
  if (transforms.length === 1 && selected.ok) return selected;
  if (transforms.length === 1 && !selected.ok && selected.error.cause === 'unsupported') return selected;
  const offers = transforms.map((transform, index) => translatedIke(readIkeTerms(transform), index + 1));
  return err(unofferedAnswer(ikeSets(specs), offers));
}

/** As `selectIkeV1` for quick mode. `group` is that of the peer's KE payload, 0 without one. */
export function selectEspV1(
  specs: readonly EspProposalSpec[],
  offered: readonly V1Proposal[],
): Result<V1EspSelection, Failure> {
  const { single, combined } = byNumber(offered);
  const all = single.flatMap((proposal) =>
    proposal.transforms.map((transform) => ({ proposal, transform, terms: readEspTerms(transform) })),
  );
  const tunnels = all.filter(({ terms }) => isTunnel(terms.mode));
  if (tunnels.length === 0 && all.length > 0) {
    const modes = [...new Set(all.map(({ terms }) => v1NameOf('mode', terms.mode)))].join(', ');
    return err({
      cause: 'unsupported',
      message: `the peer offers ESP in mode ${modes} only; tunnel mode is needed`,
    });
  }
  if (all.length === 0 && offered.length > 0) return err(withoutPlainEsp(specs, offered));
  const items = tunnels.map((one, index) => ({
    ...one,
    offer: translatedEsp(one.terms, index + 1, one.proposal.spi),
  }));
  const sets = inVersion1(specs).map((spec) => espSet(spec, true));
  const found = best(sets, items);
  if (found === undefined) {
    const failure = mismatch(
      sets,
      items.map((one) => one.offer),
    );
    const theirs = [...(failure.details?.theirs ?? []), ...combined.map(describeCombined)];
    return err({ ...failure, details: { ...failure.details, theirs: theirs.slice(0, MAX_DESCRIBED) } });
  }
  const { number, protocol } = found.proposal;
  return ok({
    suite: found.terms.suite!,
    answer: { number, protocol, spi: NO_SPI, transforms: [found.transform] },
    peerSpi: Uint8Array.from(found.proposal.spi),
    mode: found.terms.mode,
    lifetimes: found.terms.lifetimes,
  });
}

/** As `acceptIkeAnswerV1` for quick mode. */
export function acceptEspAnswerV1(
  specs: readonly EspProposalSpec[],
  answer: readonly V1Proposal[],
): Result<V1EspSelection, Failure> {
  const transforms = answer.flatMap((proposal) => proposal.transforms);
  const selected = selectEspV1(specs, answer);
  if (transforms.length === 1 && selected.ok) return selected;
  if (transforms.length === 1 && !selected.ok && selected.error.cause === 'unsupported') return selected;
  const offers = answer.flatMap((proposal) =>
    proposal.transforms.map((one, index) => translatedEsp(readEspTerms(one), index + 1, proposal.spi)),
  );
  return err(
    unofferedAnswer(
      inVersion1(specs).map((spec) => espSet(spec, true)),
      offers,
    ),
  );
}

/** Our phase 1 specifications in readable form, for `FailureDetails.ours`. */
export function describeIkeSpecsV1(specs: readonly IkeProposalSpec[]): string[] {
  return ikeSets(specs).map(describeSet);
}

interface Parts {
  readonly encryption: IkeProposalSpec['encryption'];
  readonly hashes: readonly number[];
  readonly groups: readonly number[];
}

/** The hash of phase 1 is both integrity and PRF: those a specification has as both. */
function partsOf(spec: IkeProposalSpec): Parts {
  return {
    encryption: spec.encryption.filter((cipher) => cipherOf(cipher) !== undefined),
    hashes: spec.integrity.filter((id) =>
      V1_HASHES.some((one) => one.integrity === id && spec.prf.includes(one.prf)),
    ),
    // What IKEv1 cannot say is not agreed on without it: that would be a downgrade.
    groups: requiresAdditional(spec) ? [] : spec.dh,
  };
}

/** ESP specifications without what IKEv1 cannot say, and without those that cannot do without it. */
function inVersion1(specs: readonly EspProposalSpec[]): EspProposalSpec[] {
  return specs
    .filter((spec) => !requiresAdditional(spec))
    .map(({ encryption, integrity, dh }) => ({ encryption, integrity, dh }));
}

/** Sets without a PRF axis of their own: the hash decides it. */
function ikeSets(specs: readonly IkeProposalSpec[]): TransformSet[] {
  const plain = (ids: readonly number[]) => ids.map((id) => ({ id, keyBits: 0 }));
  return specs
    .map(partsOf)
    .filter((parts) => parts.encryption.length > 0 && parts.hashes.length > 0 && parts.groups.length > 0)
    .map(({ encryption, hashes, groups }) => ({
      protocol: ProtocolId.IKE,
      aead: false,
      axes: [
        { axis: 'encryption', type: TransformType.ENCR, choices: encryption, none: false },
        { axis: 'integrity', type: TransformType.INTEG, choices: plain(hashes), none: false },
        { axis: 'dh_group', type: TransformType.DH, choices: plain(groups), none: false },
      ],
      ignored: [],
    }));
}

interface Item<T> {
  readonly proposal: V1Proposal;
  readonly transform: V1Transform;
  readonly terms: T;
  /** The same in the terms of version 2, so that both versions match and explain alike. */
  readonly offer: Proposal;
}

function best<T extends { readonly suite: unknown }>(
  sets: readonly TransformSet[],
  items: readonly Item<T>[],
): Item<T> | undefined {
  for (const set of sets) {
    let found: { readonly item: Item<T>; readonly ranks: readonly number[] } | undefined;
    for (const item of items) {
      if (item.terms.suite === undefined || !usableSpi(item.offer)) continue;
      const ranks = ranksOf(set, item.offer);
      if (ranks !== undefined && (found === undefined || precedes(ranks, found.ranks)))
        found = { item, ranks };
    }
    if (found !== undefined) return found.item;
  }
  return undefined;
}

/** RFC 4303 §2.1: ESP SPIs have 4 octets and are above 255. Those of phase 1 mean nothing (RFC 2407 §4.4.1). */
function usableSpi({ protocol, spi }: Proposal): boolean {
  return protocol !== ProtocolId.ESP || (spi.length === 4 && (spi[0] !== 0 || spi[1] !== 0 || spi[2] !== 0));
}

function ranksOf(set: TransformSet, offer: Proposal): number[] | undefined {
  const ranks: number[] = [];
  for (const axis of set.axes) {
    const pick = pickAxis(axis, offer);
    if (pick === undefined) return undefined;
    ranks.push(pick.rank);
  }
  return ranks;
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return false;
}

function otherMethods(terms: readonly IkeTerms[]): Failure {
  const methods = [...new Set(terms.map(({ method }) => v1NameOf('authMethod', method)))].join(', ');
  return {
    cause: 'unsupported',
    message: `the peer wants to authenticate by ${methods}; only pre-shared keys are supported here`,
  };
}
