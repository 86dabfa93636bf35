import { findEncryption } from '../../crypto/transforms.js';
import type { CipherId } from '../../crypto/types.js';
import type { Proposal, Transform } from '../../wire/ike/payloads.js';
import { Dh, Encr, Esn, Integ, ProtocolId, TransformType } from '../../wire/ike/registry.js';
import type { EspProposalSpec, IkeProposalSpec } from '../config.js';

/** A transform type of which a proposal has one choice. The order is that of preference: the first dominates. */
export type Axis = 'encryption' | 'integrity' | 'prf' | 'dh_group' | 'additional_key_exchange' | 'esn';

/** One acceptable transform: number and key length in bits (0 when the attribute must be absent). */
export interface Choice {
  readonly id: number;
  readonly keyBits: number;
}

/**
 * What one specification accepts of one transform type. `none`: the type may be missing or be NONE, which
 * mean the same for INTEG and DH (RFC 7296 §3.3.3, §3.3.6).
 */
export interface AxisSet {
  readonly axis: Axis;
  readonly type: number;
  readonly choices: readonly Choice[];
  readonly none: boolean;
}

/** A specification as sets a transform type. `aead`: its ciphers bring their own integrity. */
export interface TransformSet {
  readonly protocol: number;
  readonly aead: boolean;
  readonly axes: readonly AxisSet[];
  /** Types of which a proposal may have transforms that are not looked at. */
  readonly ignored: readonly number[];
}

/** Transform types of additional key exchanges, in the order in which these are made (RFC 9370 §2.2.1). */
export const ADDITIONAL_TYPES: readonly number[] = [
  TransformType.ADDKE1,
  TransformType.ADDKE2,
  TransformType.ADDKE3,
  TransformType.ADDKE4,
  TransformType.ADDKE5,
  TransformType.ADDKE6,
  TransformType.ADDKE7,
];

/** Whether the proposal has an additional key exchange that may not be left out. */
export function requiresAdditional({ additional = [] }: Pick<IkeProposalSpec, 'additional'>): boolean {
  return additional.some((methods) => !methods.includes(Dh.NONE));
}

/** GMAC without encryption counts too: it comes without a separate integrity transform (RFC 4543 §7). */
const AEAD_IDS: ReadonlySet<number> = new Set([
  Encr.AES_CCM_8,
  Encr.AES_CCM_12,
  Encr.AES_CCM_16,
  Encr.AES_GCM_8,
  Encr.AES_GCM_12,
  Encr.AES_GCM_16,
  Encr.NULL_AUTH_AES_GMAC,
  Encr.CHACHA20_POLY1305,
]);

/** Whether the encryption transform of this number needs no integrity transform beside it. */
export function isAead(encryptionId: number): boolean {
  return AEAD_IDS.has(encryptionId);
}

/** @throws RangeError when the specification mixes AEAD and other ciphers or lacks a transform type */
export function ikeSet(spec: IkeProposalSpec): TransformSet {
  const aead = aeadOf(spec.encryption, spec.integrity);
  if (spec.prf.length === 0 || spec.dh.length === 0) {
    throw new RangeError('an IKE proposal needs at least one pseudo-random function and one DH group');
  }
  return {
    protocol: ProtocolId.IKE,
    aead,
    axes: [
      { axis: 'encryption', type: TransformType.ENCR, choices: spec.encryption, none: false },
      { axis: 'integrity', type: TransformType.INTEG, choices: plain(spec.integrity), none: aead },
      { axis: 'prf', type: TransformType.PRF, choices: plain(spec.prf), none: false },
      { axis: 'dh_group', type: TransformType.DH, choices: plain(spec.dh), none: false },
      ...additionalAxes(spec.additional),
    ],
    ignored: [],
  };
}

/** @throws RangeError for more additional key exchanges than there are transform types */
function additionalAxes(additional: readonly (readonly number[])[] = []): AxisSet[] {
  return additional.map((methods, index) => {
    const type = ADDITIONAL_TYPES[index];
    if (type === undefined)
      throw new RangeError(`a proposal has ${ADDITIONAL_TYPES.length} additional key exchanges at most`);
    const choices = plain(methods.filter((id) => id !== Dh.NONE));
    return { axis: 'additional_key_exchange', type, choices, none: choices.length < methods.length };
  });
}

/**
 * `withDh` is true in CREATE_CHILD_SA. In IKE_AUTH the child has no exchange of its own: transforms of key exchanges
 * are neither sent nor looked at (RFC 7296 §1.2).
 * @throws RangeError when the specification mixes AEAD and other ciphers or lacks a transform type
 */
export function espSet(spec: EspProposalSpec, withDh: boolean): TransformSet {
  const aead = aeadOf(spec.encryption, spec.integrity);
  const groups = spec.dh.filter((id) => id !== Dh.NONE);
  const axes: AxisSet[] = [
    { axis: 'encryption', type: TransformType.ENCR, choices: spec.encryption, none: false },
    { axis: 'integrity', type: TransformType.INTEG, choices: plain(spec.integrity), none: aead },
  ];
  if (withDh) {
    axes.push({
      axis: 'dh_group',
      type: TransformType.DH,
      choices: plain(groups),
      none: groups.length === 0 || groups.length < spec.dh.length,
    });
    axes.push(...additionalAxes(spec.additional));
  }
  // Mandatory for ESP (RFC 7296 §3.3.3). Peers that leave it out have no extended sequence numbers (`pickAxis`).
  axes.push({ axis: 'esn', type: TransformType.ESN, choices: plain([Esn.NO]), none: false });
  const ignored = withDh ? [] : [TransformType.DH, ...ADDITIONAL_TYPES];
  return { protocol: ProtocolId.ESP, aead, axes, ignored };
}

function aeadOf(encryption: readonly CipherId[], integrity: readonly number[]): boolean {
  const aead = encryption.filter(
    (cipher) => findEncryption(cipher.id, cipher.keyBits)?.aead ?? isAead(cipher.id),
  );
  if (encryption.length === 0 || (aead.length > 0 && aead.length < encryption.length)) {
    throw new RangeError('a proposal needs ciphers that are all AEAD or all not (RFC 7296 §3.3)');
  }
  if (aead.length > 0 !== (integrity.length === 0)) {
    throw new RangeError('a proposal has integrity algorithms exactly when its ciphers are not AEAD');
  }
  return aead.length > 0;
}

function plain(ids: readonly number[]): Choice[] {
  return ids.map((id) => ({ id, keyBits: 0 }));
}

/**
 * Whether the transform is this choice. An attribute that is unknown, doubled or out of place makes the
 * transform unacceptable (RFC 7296 §3.3.6): Key Length must be there for AES and must not be there for
 * ciphers of fixed key length, hashes and groups (§3.3.5).
 */
function isChoice(transform: Transform, choice: Choice): boolean {
  if (transform.id !== choice.id || (transform.attributes?.length ?? 0) > 0) return false;
  if (choice.keyBits !== 0) return transform.keyBits === choice.keyBits;
  return transform.keyBits === undefined || isNeedlessKeyLength(transform);
}

/** ChaCha20-Poly1305 has one key length and no attribute for it (RFC 7634 §4); that of 256 says nothing else. */
export function isNeedlessKeyLength({ type, id, keyBits }: Transform): boolean {
  return type === TransformType.ENCR && id === Encr.CHACHA20_POLY1305 && keyBits === 256;
}

function keyLengthOf({ keyBits }: Transform): { readonly keyBits?: number } {
  return keyBits === undefined ? {} : { keyBits };
}

/** The wire form of a choice. */
export function transformOf(type: number, choice: Choice): Transform {
  return choice.keyBits === 0 ? { type, id: choice.id } : { type, id: choice.id, keyBits: choice.keyBits };
}

/** What a proposal gives for one axis: how far down our list the match is, and the transform to answer. */
export interface AxisMatch {
  readonly rank: number;
  /** Absent when both sides leave the type out. */
  readonly transform?: Transform;
}

/**
 * Our most preferred match of one transform type in a proposal, or undefined when there is none. `taken`: key
 * exchange methods that were picked for earlier types; none is used twice (RFC 9370 §2.2.1).
 */
export function pickAxis(
  set: AxisSet,
  proposal: Proposal,
  taken: readonly number[] = [],
): AxisMatch | undefined {
  const offered = proposal.transforms.filter((transform) => transform.type === set.type);
  if (set.axis === 'esn' && offered.length === 0) return { rank: 0 };
  for (const [rank, choice] of set.choices.entries()) {
    if (taken.includes(choice.id)) continue;
    // The answer repeats what was offered, a key length that has no place there too.
    const found = offered.find((transform) => isChoice(transform, choice));
    if (found !== undefined)
      return { rank, transform: { ...transformOf(set.type, choice), ...keyLengthOf(found) } };
  }
  if (!set.none) return undefined;
  const rank = set.choices.length;
  if (offered.length === 0) return { rank };
  // One transform of every offered type is answered, NONE too (RFC 7296 §3.3.6). INTEG and DH NONE are 0.
  const none = Integ.NONE;
  return offered.some((transform) => isChoice(transform, { id: none, keyBits: 0 }))
    ? { rank, transform: { type: set.type, id: none } }
    : undefined;
}

/**
 * Transform types in the proposal that we do not have: they make it unacceptable (RFC 7296 §3.3.6), but for an
 * additional key exchange that may be left out.
 */
export function foreignTypes(set: TransformSet, proposal: Proposal): number[] {
  return unknownTypes(set, proposal).filter((type) => !mayBeLeftOut(type, proposal));
}

/** Types of additional key exchanges in the proposal that we do not make, and are answered with NONE. */
export function declinedTypes(set: TransformSet, proposal: Proposal): number[] {
  return unknownTypes(set, proposal).filter((type) => mayBeLeftOut(type, proposal));
}

function unknownTypes(set: TransformSet, proposal: Proposal): number[] {
  const known = new Set([...set.axes.map((axis) => axis.type), ...set.ignored]);
  return [...new Set(proposal.transforms.map((transform) => transform.type))].filter(
    (type) => !known.has(type),
  );
}

/** RFC 9370 §2.2.1: NONE beside methods means that the responder may leave the exchange out. */
function mayBeLeftOut(type: number, { transforms }: Proposal): boolean {
  return (
    ADDITIONAL_TYPES.includes(type) &&
    transforms.some((transform) => transform.type === type && isChoice(transform, NONE))
  );
}

const NONE: Choice = { id: Dh.NONE, keyBits: 0 };
