import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { readAttribute, writeAttribute } from '../attribute.js';
import { LIMITS } from '../limits.js';
import type { Proposal, SaPayload, Transform, TransformAttribute } from '../payloads.js';
import { AttributeType } from '../registry.js';

/** "Last Substruc" of a proposal and of a transform that is not the last (RFC 7296 §3.3.1, §3.3.2). */
const MORE_PROPOSALS = 2;
const MORE_TRANSFORMS = 3;

/** RFC 7296 §3.3: one or more proposals. */
export function readSa(reader: Reader): Pick<SaPayload, 'proposals'> {
  const proposals: Proposal[] = [];
  let transforms = 0;
  let more = true;
  while (more) {
    if (proposals.length === LIMITS.proposals) {
      reader.fail('too_many', `more than ${LIMITS.proposals} proposals`);
    }
    const start = reader.offset;
    const last = reader.u8('last-proposal flag');
    if (last !== 0 && last !== MORE_PROPOSALS) {
      reader.fail('bad_value', `last-proposal flag ${last}: 0 or ${MORE_PROPOSALS} expected`, start);
    }
    reader.skip(1, 'reserved octet');
    const length = reader.u16('proposal length');
    if (length < 8) reader.fail('bad_length', `proposal length ${length} is below 8`, start + 2);
    const proposal = readProposal(reader.sub(length - 4, 'proposal', proposals.length + 1));
    proposals.push(proposal);
    transforms += proposal.transforms.length;
    if (transforms > LIMITS.transformsInAll) {
      reader.fail('too_many', `more than ${LIMITS.transformsInAll} transforms in all proposals`);
    }
    more = last === MORE_PROPOSALS;
  }
  return { proposals };
}

/** RFC 7296 §3.3.1, from the proposal number on. */
function readProposal(reader: Reader): Proposal {
  const number = reader.u8('proposal number');
  const protocol = reader.u8('protocol id');
  const spiSize = reader.u8('SPI size');
  const countOffset = reader.offset;
  const count = reader.u8('number of transforms');
  const spi = reader.take(spiSize, 'SPI');
  if (count > LIMITS.transforms) {
    reader.fail('too_many', `${count} transforms, more than ${LIMITS.transforms}`, countOffset);
  }
  const transforms: Transform[] = [];
  for (let i = 1; i <= count; i++) {
    const start = reader.offset;
    const last = reader.u8('last-transform flag');
    if (last !== (i === count ? 0 : MORE_TRANSFORMS)) {
      reader.fail('bad_value', `last-transform flag ${last} in transform ${i} of ${count}`, start);
    }
    reader.skip(1, 'reserved octet');
    const length = reader.u16('transform length');
    if (length < 8) reader.fail('bad_length', `transform length ${length} is below 8`, start + 2);
    transforms.push(readTransform(reader.sub(length - 4, 'transform', i)));
  }
  reader.done();
  return { number, protocol, spi, transforms };
}

/** RFC 7296 §3.3.2, from the transform type on. */
function readTransform(reader: Reader): Transform {
  const type = reader.u8('transform type');
  reader.skip(1, 'reserved octet');
  const id = reader.u16('transform id');
  if (reader.left === 0) return { type, id };
  let keyBits: number | undefined;
  const attributes: TransformAttribute[] = [];
  let count = 0;
  while (reader.left > 0) {
    if (++count > LIMITS.attributes) reader.fail('too_many', `more than ${LIMITS.attributes} attributes`);
    const attribute = readAttribute(reader);
    // A second key length, or one in the variable form, is left for the policy to refuse (§3.3.6).
    if (
      attribute.type === AttributeType.KEY_LENGTH &&
      typeof attribute.value === 'number' &&
      keyBits === undefined
    ) {
      keyBits = attribute.value;
    } else {
      attributes.push(attribute);
    }
  }
  if (attributes.length === 0) return { type, id, keyBits: keyBits! };
  return keyBits === undefined ? { type, id, attributes } : { type, id, keyBits, attributes };
}

/** Writes the body of SA: proposals with their transforms (RFC 7296 §3.3). Lengths are derived. */
export function writeSa(writer: Writer, payload: SaPayload): void {
  const { proposals } = payload;
  for (const [i, proposal] of proposals.entries()) {
    const start = writer.length;
    writer.u8(i + 1 < proposals.length ? MORE_PROPOSALS : 0);
    writer.u8(0);
    writer.u16(0);
    writer.u8(proposal.number);
    writer.u8(proposal.protocol);
    writer.u8(proposal.spi.length);
    writer.u8(proposal.transforms.length);
    writer.bytes(proposal.spi);
    for (const [j, transform] of proposal.transforms.entries()) {
      writeTransform(writer, transform, j + 1 < proposal.transforms.length);
    }
    writer.setU16(start + 2, writer.length - start);
  }
}

function writeTransform(writer: Writer, transform: Transform, more: boolean): void {
  const start = writer.length;
  writer.u8(more ? MORE_TRANSFORMS : 0);
  writer.u8(0);
  writer.u16(0);
  writer.u8(transform.type);
  writer.u8(0);
  writer.u16(transform.id);
  if (transform.keyBits !== undefined) {
    writeAttribute(writer, { type: AttributeType.KEY_LENGTH, value: transform.keyBits });
  }
  for (const attribute of transform.attributes ?? []) writeAttribute(writer, attribute);
  writer.setU16(start + 2, writer.length - start);
}
