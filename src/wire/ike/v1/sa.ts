import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { readAttribute, writeAttribute } from '../attribute.js';
import { LIMITS } from '../limits.js';
import type { TransformAttribute } from '../payloads.js';
import type { V1Proposal, V1SaPayload, V1Transform } from './payloads.js';
import { IPSEC_DOI, SIT_IDENTITY_ONLY, V1PayloadType } from './registry.js';

/** RFC 2408 §3.4 with the situation of RFC 2407 §4.2. Labelled situations are refused. */
export function readV1Sa(reader: Reader): V1SaPayload {
  const start = reader.offset;
  const from = reader.at;
  const doi = reader.u32('DOI');
  if (doi !== IPSEC_DOI) reader.fail('bad_value', `DOI ${doi}: ${IPSEC_DOI} (IPsec) expected`, start);
  const situation = reader.u32('situation');
  if (situation !== SIT_IDENTITY_ONLY) {
    reader.fail(
      'bad_value',
      `situation ${situation}: ${SIT_IDENTITY_ONLY} (identity only) expected`,
      start + 4,
    );
  }
  const proposals: V1Proposal[] = [];
  let transforms = 0;
  let more = true;
  while (more) {
    if (proposals.length === LIMITS.proposals) {
      reader.fail('too_many', `more than ${LIMITS.proposals} proposals`);
    }
    const index = proposals.length + 1;
    const { part, next } = substructure(reader, 'proposal', index, V1PayloadType.PROPOSAL);
    const proposal = readProposal(part);
    proposals.push(proposal);
    transforms += proposal.transforms.length;
    if (transforms > LIMITS.transformsInAll) {
      reader.fail('too_many', `more than ${LIMITS.transformsInAll} transforms in all proposals`);
    }
    more = next !== 0;
  }
  return { kind: 'sa', proposals, body: reader.bytes.subarray(from, reader.end) };
}

/** Generic header of a proposal or transform; its next-payload field is 0 or its own type. */
function substructure(reader: Reader, label: string, index: number, type: number) {
  const start = reader.offset;
  const next = reader.u8('next payload');
  if (next !== 0 && next !== type) {
    reader.fail('bad_value', `next payload ${next} in ${label} ${index}: 0 or ${type} expected`, start);
  }
  reader.skip(1, 'reserved octet');
  const length = reader.u16('length');
  if (length < 8) reader.fail('bad_length', `${label} ${index} with length ${length}, below 8`, start + 2);
  return { part: reader.sub(length - 4, label, index), next };
}

function readProposal(reader: Reader): V1Proposal {
  const number = reader.u8('proposal number');
  const protocol = reader.u8('protocol id');
  const spiSize = reader.u8('SPI size');
  const countOffset = reader.offset;
  const count = reader.u8('number of transforms');
  const spi = reader.take(spiSize, 'SPI');
  if (count > LIMITS.transforms) {
    reader.fail('too_many', `${count} transforms, more than ${LIMITS.transforms}`, countOffset);
  }
  const transforms: V1Transform[] = [];
  for (let i = 1; i <= count; i++) {
    const start = reader.offset;
    const { part, next } = substructure(reader, 'transform', i, V1PayloadType.TRANSFORM);
    if ((next === 0) !== (i === count)) {
      reader.fail('bad_value', `next payload ${next} in transform ${i} of ${count}`, start);
    }
    transforms.push(readTransform(part));
  }
  reader.done();
  return { number, protocol, spi, transforms };
}

function readTransform(reader: Reader): V1Transform {
  const number = reader.u8('transform number');
  const id = reader.u8('transform id');
  reader.skip(2, 'reserved octets');
  const attributes: TransformAttribute[] = [];
  while (reader.left > 0) {
    if (attributes.length === LIMITS.attributes) {
      reader.fail('too_many', `more than ${LIMITS.attributes} attributes`);
    }
    attributes.push(readAttribute(reader));
  }
  return { number, id, attributes };
}

/** The SA payload after its generic header: what `SAi_b` of RFC 2409 §5 is for our own proposals too. */
export function writeV1Sa(writer: Writer, payload: V1SaPayload): void {
  writer.u32(IPSEC_DOI);
  writer.u32(SIT_IDENTITY_ONLY);
  const { proposals } = payload;
  for (const [i, proposal] of proposals.entries()) {
    const start = writer.length;
    writer.u8(i + 1 < proposals.length ? V1PayloadType.PROPOSAL : 0);
    writer.u24(0);
    writer.u8(proposal.number);
    writer.u8(proposal.protocol);
    writer.u8(proposal.spi.length);
    writer.u8(proposal.transforms.length);
    writer.bytes(proposal.spi);
    for (const [j, transform] of proposal.transforms.entries()) {
      const at = writer.length;
      writer.u8(j + 1 < proposal.transforms.length ? V1PayloadType.TRANSFORM : 0);
      writer.u24(0);
      writer.u8(transform.number);
      writer.u8(transform.id);
      writer.u16(0);
      for (const attribute of transform.attributes) writeAttribute(writer, attribute);
      writer.setU16(at + 2, writer.length - at);
    }
    writer.setU16(start + 2, writer.length - start);
  }
}

/**
 * An attribute's value as a number: basic ones as they are, variable ones of up to six octets, as peers send
 * lifetimes (RFC 2407 §4.5). Undefined when it is empty or longer.
 */
export function attributeNumber({ value }: TransformAttribute): number | undefined {
  if (typeof value === 'number') return value;
  if (value.length === 0 || value.length > 6) return undefined;
  let out = 0;
  for (const octet of value) out = out * 256 + octet;
  return out;
}
