import type { CipherId, EspSuite, IkeSuite, TransformNeed } from '../../crypto/types.js';
import { err, ok, type Result } from '../../util/result.js';
import type { Proposal, Transform } from '../../wire/ike/payloads.js';
import { Dh, Integ, ProtocolId, TransformType } from '../../wire/ike/registry.js';
import type { EspProposalSpec, IkeProposalSpec } from '../config.js';
import type { Failure } from '../events.js';
import type { QuirkCode } from '../quirks.js';
import { describeSet, mismatch, unofferedAnswer } from './mismatch.js';
import {
  ADDITIONAL_TYPES,
  declinedTypes,
  espSet,
  foreignTypes,
  ikeSet,
  isNeedlessKeyLength,
  pickAxis,
  type TransformSet,
  transformOf,
} from './transform-set.js';

const NO_SPI = new Uint8Array(0);

/** The peer's proposal that was taken, reduced to one transform a type. `spi` is empty: the caller fills it. */
export interface IkeSelection {
  readonly suite: IkeSuite;
  readonly answer: Proposal;
  /** SPI in the peer's proposal: 8 octets when an IKE SA is rekeyed, else empty (RFC 7296 §3.3.1). */
  readonly peerSpi: Uint8Array;
}

/** As `IkeSelection` for ESP. `peerSpi`: 4 octets, where the peer receives. */
export interface EspSelection {
  readonly suite: EspSuite;
  readonly answer: Proposal;
  readonly peerSpi: Uint8Array;
}

/**
 * The SA payload of an IKE_SA_INIT request, or with our new SPI of an IKE SA rekey: one proposal a
 * specification, numbered from 1 (RFC 7296 §3.3).
 */
export function ikeOffer(specs: readonly IkeProposalSpec[], spi: Uint8Array = NO_SPI): Proposal[] {
  return specs.map((spec, index) => offer(ikeSet(spec), index + 1, spi));
}

/** The SA payload for a child SA. `withDh`: false in IKE_AUTH, true in CREATE_CHILD_SA. */
export function espOffer(specs: readonly EspProposalSpec[], spi: Uint8Array, withDh: boolean): Proposal[] {
  return specs.map((spec, index) => offer(espSet(spec, withDh), index + 1, spi));
}

function offer(set: TransformSet, number: number, spi: Uint8Array): Proposal {
  const transforms: Transform[] = [];
  for (const { type, choices, none } of set.axes) {
    for (const choice of choices) transforms.push(transformOf(type, choice));
    // A key exchange that may be left out is said so by NONE beside the others; alone, the type is omitted (§3.3.2).
    if (none && choices.length > 0) transforms.push({ type, id: Dh.NONE });
  }
  return { number, protocol: set.protocol, spi, transforms };
}

/**
 * As responder: the first combination in our own order that any proposal of the peer includes. Our
 * specification order comes first, then encryption, integrity, PRF and DH group in this order; among equal
 * matches the peer's earlier proposal wins. `suite.dh` is the group to ask for by INVALID_KE_PAYLOAD when
 * the KE payload is of another one (RFC 7296 §1.3).
 */
export function selectIke(
  specs: readonly IkeProposalSpec[],
  offered: readonly Proposal[],
): Result<IkeSelection, Failure> {
  const selected = findIke(specs, offered);
  return selected === undefined ? err(ikeMismatch(specs, offered)) : ok(selected);
}

/** As `selectIke`, without a reason when there is nothing in common: `ikeMismatch` says why, where that is reported. */
export function findIke(
  specs: readonly IkeProposalSpec[],
  offered: readonly Proposal[],
): IkeSelection | undefined {
  const found = select(specs.map(ikeSet), offered);
  return found === undefined ? undefined : { suite: ikeSuite(found.transforms), ...selection(found) };
}

/** Why none of the peer's proposals is taken. */
export function ikeMismatch(specs: readonly IkeProposalSpec[], offered: readonly Proposal[]): Failure {
  return mismatch(specs.map(ikeSet), offered);
}

/** As `selectIke` for a child SA. @see espSet for `withDh` */
export function selectEsp(
  specs: readonly EspProposalSpec[],
  offered: readonly Proposal[],
  withDh: boolean,
): Result<EspSelection, Failure> {
  const sets = specs.map((spec) => espSet(spec, withDh));
  const found = select(sets, offered);
  if (found === undefined) return err(mismatch(sets, offered));
  return ok({ suite: espSuite(found.transforms), ...selection(found) });
}

/**
 * As initiator: the peer's answer must be one proposal with one transform a type out of what we offered,
 * else the exchange ends (RFC 7296 §2.7). The proposal number is not held against a peer that answers a
 * combination we did offer under another one.
 */
export function acceptIkeAnswer(
  specs: readonly IkeProposalSpec[],
  answer: readonly Proposal[],
): Result<IkeSuite, Failure> {
  const sets = specs.map(ikeSet);
  const chosen = accepted(sets, answer);
  return chosen === undefined ? err(unofferedAnswer(sets, answer)) : ok(ikeSuite(chosen.transforms));
}

/** As `acceptIkeAnswer` for a child SA. @see espSet for `withDh` */
export function acceptEspAnswer(
  specs: readonly EspProposalSpec[],
  answer: readonly Proposal[],
  withDh: boolean,
): Result<{ readonly suite: EspSuite; readonly peerSpi: Uint8Array }, Failure> {
  const sets = specs.map((spec) => espSet(spec, withDh));
  const chosen = accepted(sets, answer);
  if (chosen === undefined) return err(unofferedAnswer(sets, answer));
  return ok({ suite: espSuite(chosen.transforms), peerSpi: Uint8Array.from(chosen.proposal.spi) });
}

/** Whether the specifications allow this suite, DH group aside. */
export function isOffered(specs: readonly EspProposalSpec[], { encryption, integrity }: EspSuite): boolean {
  return specs.some(
    (spec) =>
      spec.encryption.some((one) => one.id === encryption.id && one.keyBits === encryption.keyBits) &&
      (integrity === Integ.NONE ? spec.integrity.length === 0 : spec.integrity.includes(integrity)),
  );
}

/** Our specifications in readable form, one string each, for `FailureDetails.ours`. */
export function describeIkeSpecs(specs: readonly IkeProposalSpec[]): string[] {
  return specs.map((spec) => describeSet(ikeSet(spec)));
}

/** As `describeIkeSpecs` for a child SA, with its PFS groups. */
export function describeEspSpecs(specs: readonly EspProposalSpec[]): string[] {
  return specs.map((spec) => describeSet(espSet(spec, spec.dh.length > 0)));
}

/**
 * The specifications without the transforms that a backend lacks (3DES with the portable one). A
 * specification that loses all of one type is dropped.
 */
export function supportedIkeSpecs(
  specs: readonly IkeProposalSpec[],
  supports: (need: TransformNeed) => boolean,
): IkeProposalSpec[] {
  return specs
    .map((spec) => ({
      encryption: spec.encryption.filter((cipher) => supports(cipherNeed(cipher))),
      integrity: spec.integrity.filter((id) => supports({ kind: 'integrity', id })),
      prf: spec.prf.filter((id) => supports({ kind: 'prf', id })),
      dh: spec.dh.filter((id) => supports({ kind: 'dh', id })),
      ...supportedAdditional(spec, supports),
    }))
    .filter(
      (left, index) =>
        left.encryption.length > 0 &&
        left.prf.length > 0 &&
        left.dh.length > 0 &&
        canBeMade(left) &&
        (left.integrity.length > 0 || specs[index]!.integrity.length === 0),
    );
}

/** The additional key exchanges without the methods that a backend lacks. */
function supportedAdditional(
  { additional }: Pick<IkeProposalSpec, 'additional'>,
  supports: (need: TransformNeed) => boolean,
): Pick<IkeProposalSpec, 'additional'> {
  if (additional === undefined) return {};
  const has = (id: number): boolean => id === Dh.NONE || supports({ kind: 'key_exchange', id });
  return { additional: additional.map((methods) => methods.filter(has)) };
}

/** Whether each additional key exchange has a method left, or may be left out. */
function canBeMade({ additional }: Pick<IkeProposalSpec, 'additional'>): boolean {
  return additional?.every((methods) => methods.length > 0) ?? true;
}

/** As `supportedIkeSpecs` for ESP. */
export function supportedEspSpecs(
  specs: readonly EspProposalSpec[],
  supports: (need: TransformNeed) => boolean,
): EspProposalSpec[] {
  return specs
    .map((spec) => ({
      encryption: spec.encryption.filter((cipher) => supports(cipherNeed(cipher))),
      integrity: spec.integrity.filter((id) => supports({ kind: 'integrity', id })),
      dh: spec.dh.filter((id) => id === Dh.NONE || supports({ kind: 'dh', id })),
      ...supportedAdditional(spec, supports),
    }))
    .filter((left, index) => {
      const spec = specs[index]!;
      return (
        left.encryption.length > 0 &&
        canBeMade(left) &&
        (left.integrity.length > 0 || spec.integrity.length === 0) &&
        (left.dh.length > 0 || spec.dh.length === 0)
      );
    });
}

function cipherNeed(cipher: CipherId): TransformNeed {
  return { kind: 'encryption', id: cipher.id, keyBits: cipher.keyBits };
}

interface Found {
  readonly proposal: Proposal;
  readonly transforms: readonly Transform[];
}

function select(sets: readonly TransformSet[], offered: readonly Proposal[]): Found | undefined {
  for (const set of sets) {
    let best: { readonly ranks: readonly number[]; readonly found: Found } | undefined;
    for (const proposal of offered) {
      const match = matchProposal(set, proposal);
      if (match !== undefined && (best === undefined || precedes(match.ranks, best.ranks))) best = match;
    }
    if (best !== undefined) return best.found;
  }
  return undefined;
}

/** A proposal means all combinations of its transforms, so the best of each type make the best of all. */
function matchProposal(
  set: TransformSet,
  proposal: Proposal,
): { readonly ranks: readonly number[]; readonly found: Found } | undefined {
  if (!usable(set, proposal)) return undefined;
  const ranks: number[] = [];
  const transforms: Transform[] = [];
  for (const axis of set.axes) {
    const taken = axis.axis === 'additional_key_exchange' ? methodsOf(transforms) : [];
    const pick = pickAxis(axis, proposal, taken);
    if (pick === undefined) return undefined;
    ranks.push(pick.rank);
    if (pick.transform !== undefined) transforms.push(pick.transform);
  }
  for (const type of declinedTypes(set, proposal)) transforms.push({ type, id: Dh.NONE });
  return { ranks, found: { proposal, transforms } };
}

function precedes(a: readonly number[], b: readonly number[]): boolean {
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return a[i]! < b[i]!;
  return false;
}

function usable(set: TransformSet, proposal: Proposal): boolean {
  return (
    proposal.protocol === set.protocol &&
    usableSpi(set.protocol, proposal.spi) &&
    foreignTypes(set, proposal).length === 0
  );
}

/**
 * IKE: a rekey has 8 octets, a first proposal none, which is not held against a peer. ESP: 4 octets, not one of the
 * reserved 0 to 255 (RFC 4303 §2.1).
 */
function usableSpi(protocol: number, spi: Uint8Array): boolean {
  if (protocol === ProtocolId.IKE) return true;
  return spi.length === 4 && (spi[0] !== 0 || spi[1] !== 0 || spi[2] !== 0);
}

function accepted(sets: readonly TransformSet[], answer: readonly Proposal[]): Found | undefined {
  const proposal = answer[0];
  if (proposal === undefined || answer.length !== 1) return undefined;
  const types = proposal.transforms.map((transform) => transform.type);
  if (new Set(types).size !== types.length) return undefined;
  return select(sets, answer);
}

function selection(found: Found): { readonly answer: Proposal; readonly peerSpi: Uint8Array } {
  const { number, protocol, spi } = found.proposal;
  return {
    answer: { number, protocol, spi: NO_SPI, transforms: found.transforms },
    peerSpi: Uint8Array.from(spi),
  };
}

function ikeSuite(transforms: readonly Transform[]): IkeSuite {
  return {
    encryption: cipherOf(transforms),
    integrity: idOf(transforms, TransformType.INTEG) ?? Integ.NONE,
    prf: idOf(transforms, TransformType.PRF)!,
    dh: idOf(transforms, TransformType.DH)!,
    ...additionalPart(transforms),
  };
}

function espSuite(transforms: readonly Transform[]): EspSuite {
  return {
    encryption: cipherOf(transforms),
    integrity: idOf(transforms, TransformType.INTEG) ?? Integ.NONE,
    dh: idOf(transforms, TransformType.DH) ?? Dh.NONE,
    esn: false,
    ...additionalPart(transforms),
  };
}

/** Absent rather than empty: most suites have none. */
function additionalPart(transforms: readonly Transform[]): { readonly additional?: readonly number[] } {
  const additional = additionalOf(transforms);
  return additional.length === 0 ? {} : { additional };
}

/** All key exchanges that were agreed on. */
function methodsOf(transforms: readonly Transform[]): number[] {
  return [idOf(transforms, TransformType.DH) ?? Dh.NONE, ...additionalOf(transforms)];
}

/** The additional key exchanges that were agreed on, in the order of their types (RFC 9370 §2.2.1). */
function additionalOf(transforms: readonly Transform[]): number[] {
  return ADDITIONAL_TYPES.map((type) => idOf(transforms, type) ?? Dh.NONE).filter((id) => id !== Dh.NONE);
}

function cipherOf(transforms: readonly Transform[]): CipherId {
  const transform = transforms.find(({ type }) => type === TransformType.ENCR)!;
  return { id: transform.id, keyBits: isNeedlessKeyLength(transform) ? 0 : (transform.keyBits ?? 0) };
}

function idOf(transforms: readonly Transform[], type: number): number | undefined {
  return transforms.find((transform) => transform.type === type)?.id;
}

/** What is forgiven in proposals of a peer. `first`: they are those of its first message. */
export function proposalQuirks(proposals: readonly Proposal[], first: boolean): QuirkCode[] {
  const out = new Set<QuirkCode>();
  for (const { protocol, spi, transforms } of proposals) {
    if (first && spi.length > 0) out.add('spi_in_first_proposal');
    if (transforms.some(isNeedlessKeyLength)) out.add('chacha20_key_length');
    const hasEsn = transforms.some(({ type }) => type === TransformType.ESN);
    if (protocol === ProtocolId.ESP && !hasEsn) out.add('esp_without_esn');
  }
  return [...out];
}
