import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { LIMITS } from '../limits.js';
import type { ConfigAttribute, ConfigPayload, EapPayload } from '../payloads.js';

/** RFC 7296 §3.15. The top bit of an attribute's type is reserved and ignored. */
export function readConfig(reader: Reader): Omit<ConfigPayload, 'kind'> {
  const cfgType = reader.u8('CFG type');
  reader.skip(3, 'reserved octets');
  const attributes: ConfigAttribute[] = [];
  while (reader.left > 0) {
    if (attributes.length === LIMITS.configAttributes) {
      reader.fail('too_many', `more than ${LIMITS.configAttributes} attributes`);
    }
    const type = reader.u16('attribute type') & 0x7fff;
    const length = reader.u16('attribute length');
    attributes.push({ type, value: reader.take(length, 'attribute value') });
  }
  return { cfgType, attributes };
}

/** @throws RangeError for an attribute type of more than 15 bits */
export function writeConfig(writer: Writer, payload: ConfigPayload): void {
  writer.u8(payload.cfgType);
  writer.u24(0);
  for (const attribute of payload.attributes) {
    if (attribute.type > 0x7fff) throw new RangeError(`attribute type ${attribute.type} exceeds 15 bits`);
    writer.u16(attribute.type);
    writer.u16(attribute.value.length);
    writer.bytes(attribute.value);
  }
}

/** RFC 7296 §3.16: one EAP message, whose own length field covers exactly the payload. */
export function readEap(reader: Reader): Omit<EapPayload, 'kind'> {
  const start = reader.at;
  reader.skip(2, 'EAP code and identifier');
  const lengthOffset = reader.offset;
  const length = reader.u16('EAP length');
  if (length !== reader.end - start) {
    reader.fail(
      'bad_length',
      `EAP length ${length} in a payload of ${reader.end - start} octets`,
      lengthOffset,
    );
  }
  reader.at = start;
  return { data: reader.rest() };
}
