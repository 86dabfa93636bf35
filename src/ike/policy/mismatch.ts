import type { Proposal, Transform } from '../../wire/ike/payloads.js';
import { AttributeType, Esn, nameOf, ProtocolId, TransformType } from '../../wire/ike/registry.js';
import type { Failure, FailureDetails } from '../events.js';
import {
  ADDITIONAL_TYPES,
  type Axis,
  type AxisSet,
  foreignTypes,
  isAead,
  pickAxis,
  type TransformSet,
} from './transform-set.js';

/** Bounds on what one datagram can put into an event: the rest is counted, not listed. */
const MAX_PROPOSALS = 16;
const MAX_NAMES = 24;

const LABELS: Readonly<Record<Axis, string>> = {
  encryption: 'encryption',
  integrity: 'integrity',
  prf: 'PRF',
  dh_group: 'DH',
  additional_key_exchange: 'additional key exchange',
  esn: 'ESN',
};

/** Transform types in the order people write them; unknown ones follow by number. */
const WRITTEN_ORDER: readonly number[] = [
  TransformType.ENCR,
  TransformType.INTEG,
  TransformType.PRF,
  TransformType.DH,
  ...ADDITIONAL_TYPES,
  TransformType.ESN,
];

/** One of our specifications: `AES_CBC-256/AES_CBC-128 HMAC_SHA2_256_128 PRF_HMAC_SHA2_256 MODP_2048`. */
export function describeSet(set: TransformSet): string {
  const axes = set.axes.filter((axis) => axis.choices.length > 0);
  return inWrittenOrder(axes).map(allowedNames).join(' ');
}

/** One of the peer's proposals, in the same form. */
export function describeOffer(proposal: Proposal): string {
  const types = [...new Set(proposal.transforms.map(({ type }) => type))];
  const groups = inWrittenOrder(types.map((type) => ({ type }))).map(({ type }) =>
    offeredNames(proposal, type),
  );
  const usual = proposal.protocol === ProtocolId.IKE || proposal.protocol === ProtocolId.ESP;
  const words = usual ? groups : [nameOf('protocol', proposal.protocol), ...groups];
  return words.length === 0 ? 'no transforms' : words.join(' ');
}

/**
 * Why no proposal of the peer's could be taken: both offers, the nearest miss (the offer that differs in
 * the fewest transform types, the earliest on a tie) and what to change, in words.
 */
export function mismatch(sets: readonly TransformSet[], offered: readonly Proposal[]): Failure {
  const protocol = sets[0]?.protocol ?? ProtocolId.IKE;
  const subject = subjectOf(protocol);
  const nearest = nearestMiss(sets, offered);
  const details: FailureDetails = {
    ours: bounded(sets.map(describeSet), MAX_PROPOSALS),
    theirs: bounded(offered.map(describeOffer), MAX_PROPOSALS),
  };
  if (nearest === undefined) {
    const advice =
      offered.length === 0 ? 'the peer offers nothing' : `no offer is for ${nameOf('protocol', protocol)}`;
    return { cause: causeOf(protocol, []), message: `no common ${subject} proposal: ${advice}`, details };
  }
  const differs = nearest.misses.map((miss) => miss.name);
  const advice = adviceOf(nearest.misses);
  return {
    cause: causeOf(protocol, differs),
    message: `no common ${subject} proposal: ${advice}`,
    details: { ...details, nearest: { proposal: nearest.proposal.number, differs, advice } },
  };
}

/** Why the peer's answer to our offer is not acceptable (RFC 7296 §2.7). */
export function unofferedAnswer(sets: readonly TransformSet[], answer: readonly Proposal[]): Failure {
  const protocol = sets[0]?.protocol ?? ProtocolId.IKE;
  const subject = subjectOf(protocol);
  const theirs = bounded(answer.map(describeOffer), MAX_PROPOSALS);
  const ours = bounded(sets.map(describeSet), MAX_PROPOSALS);
  const only = answer[0];
  if (only === undefined || answer.length > 1) {
    const message = `the peer answered ${answer.length} ${subject} proposals where exactly one is due`;
    return { cause: causeOf(protocol, []), message, details: { ours, theirs } };
  }
  const types = only.transforms.map(({ type }) => type);
  const doubled = types.find((type, index) => types.indexOf(type) !== index);
  if (doubled !== undefined) {
    const message = `the peer answered several transforms of type ${nameOf('transformType', doubled)} where it has to choose one: ${theirs[0]}`;
    return { cause: causeOf(protocol, []), message, details: { ours, theirs } };
  }
  const failure = mismatch(sets, answer);
  return { ...failure, message: `the peer chose ${theirs[0]}, which was not offered` };
}

interface Miss {
  readonly name: string;
  /** What the peer offers of the type, and what our side allows. */
  readonly theirs: string;
  readonly ours: string;
}

interface Nearest {
  readonly proposal: Proposal;
  readonly misses: readonly Miss[];
}

function nearestMiss(sets: readonly TransformSet[], offered: readonly Proposal[]): Nearest | undefined {
  let nearest: Nearest | undefined;
  for (const set of sets) {
    for (const proposal of offered) {
      if (proposal.protocol !== set.protocol) continue;
      const misses = missesOf(set, proposal);
      if (nearest === undefined || misses.length < nearest.misses.length) nearest = { proposal, misses };
    }
  }
  return nearest;
}

function missesOf(set: TransformSet, proposal: Proposal): Miss[] {
  const misses: Miss[] = [];
  for (const axis of inWrittenOrder(set.axes)) {
    if (pickAxis(axis, proposal) !== undefined) continue;
    // The wrong kind of cipher brings the wrong integrity with it: one difference to an operator, not two.
    const follows = axis.axis === 'integrity' && misses.length > 0 && holdsAead(proposal) !== set.aead;
    if (follows) continue;
    misses.push({ name: axis.axis, theirs: offeredOf(axis, proposal), ours: allowedOf(axis, set.protocol) });
  }
  for (const type of foreignTypes(set, proposal)) {
    const name = nameOf('transformType', type);
    if (ADDITIONAL_TYPES.includes(type)) {
      const theirs = `${LABELS.additional_key_exchange} ${offeredNames(proposal, type)}`;
      misses.push({ name: 'additional_key_exchange', theirs, ours: 'none' });
    } else misses.push({ name, theirs: `transform type ${name}`, ours: 'none of that type' });
  }
  if (misses.length === 0) {
    const theirs = `an SPI of ${proposal.spi.length} octets`;
    misses.push({
      name: 'spi',
      theirs,
      ours: proposal.protocol === ProtocolId.IKE ? '0 or 8' : '4, above 255',
    });
  }
  return misses;
}

/** `DH MODP_1024`; names of PRFs and of ESN say themselves what they are. */
function offeredOf({ axis, type }: AxisSet, proposal: Proposal): string {
  const names = offeredNames(proposal, type);
  if (names === '') return `no ${LABELS[axis]}`;
  return axis === 'prf' || axis === 'esn' ? names : `${LABELS[axis]} ${names}`;
}

function allowedOf(axis: AxisSet, protocol: number): string {
  const names = allowedNames(axis);
  if (names !== '') return names;
  return axis.axis === 'dh_group' && protocol === ProtocolId.ESP ? 'none (PFS is disabled)' : 'none';
}

function holdsAead(proposal: Proposal): boolean {
  return proposal.transforms.some(({ type, id }) => type === TransformType.ENCR && isAead(id));
}

function adviceOf(misses: readonly Miss[]): string {
  const [first, ...rest] = misses;
  if (first === undefined) return '';
  if (rest.length === 0) return `peer offers ${first.theirs}; this policy allows ${first.ours}`;
  return `peer offers ${misses.map((miss) => `${miss.theirs} (this policy allows ${miss.ours})`).join(', ')}`;
}

function causeOf(protocol: number, differs: readonly string[]): Failure['cause'] {
  if (protocol === ProtocolId.IKE) return 'ike_proposal_mismatch';
  return differs.length === 1 && differs[0] === 'dh_group' ? 'pfs_mismatch' : 'child_proposal_mismatch';
}

function subjectOf(protocol: number): string {
  return protocol === ProtocolId.IKE ? 'IKE' : 'ESP';
}

function allowedNames(axis: AxisSet): string {
  const names = axis.choices.map((choice) =>
    nameTransform(choice.keyBits === 0 ? { type: axis.type, id: choice.id } : { type: axis.type, ...choice }),
  );
  return list(axis.none && names.length > 0 ? [...names, 'NONE'] : names);
}

function offeredNames(proposal: Proposal, type: number): string {
  return list(proposal.transforms.filter((transform) => transform.type === type).map(nameTransform));
}

function nameTransform(transform: Transform): string {
  const odd = (transform.attributes ?? []).map((attribute) =>
    attribute.type === AttributeType.KEY_LENGTH ? '+KEY_LENGTH' : `+attribute(${attribute.type})`,
  );
  const bits = transform.keyBits === undefined ? '' : `-${transform.keyBits}`;
  return `${baseName(transform)}${bits}${[...new Set(odd)].join('')}`;
}

function baseName({ type, id }: Transform): string {
  switch (type) {
    case TransformType.ENCR:
      return nameOf('encr', id);
    case TransformType.INTEG:
      return nameOf('integ', id);
    case TransformType.PRF:
      return `PRF_${nameOf('prf', id)}`;
    case TransformType.DH:
      return nameOf('dh', id);
    case TransformType.ESN:
      return id === Esn.NO ? 'NO_ESN' : id === Esn.YES ? 'ESN' : nameOf('esn', id);
    default:
      return ADDITIONAL_TYPES.includes(type) ? nameOf('dh', id) : `${nameOf('transformType', type)}:${id}`;
  }
}

function list(names: readonly string[]): string {
  return bounded([...new Set(names)], MAX_NAMES).join('/');
}

function bounded(items: readonly string[], most: number): string[] {
  if (items.length <= most) return [...items];
  return [...items.slice(0, most), `and ${items.length - most} more`];
}

function inWrittenOrder<T extends { readonly type: number }>(items: readonly T[]): T[] {
  const place = (type: number) => {
    const at = WRITTEN_ORDER.indexOf(type);
    return at < 0 ? WRITTEN_ORDER.length : at;
  };
  return [...items].sort((a, b) => place(a.type) - place(b.type) || a.type - b.type);
}
