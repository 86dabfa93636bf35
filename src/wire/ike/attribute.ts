import type { Reader } from '../reader.js';
import type { Writer } from '../writer.js';
import type { TransformAttribute } from './payloads.js';

/** Attribute format bit: set when the value takes the length field's place (RFC 7296 §3.3.5). */
const FIXED_FORM = 0x8000;

/** One attribute in fixed or variable form: RFC 7296 §3.3.5, RFC 2408 §3.3. */
export function readAttribute(reader: Reader): TransformAttribute {
  const head = reader.u16('attribute type');
  const lengthOrValue = reader.u16('attribute value');
  if ((head & FIXED_FORM) !== 0) return { type: head & ~FIXED_FORM, value: lengthOrValue };
  return { type: head, value: reader.take(lengthOrValue, 'attribute value') };
}

/** @throws RangeError for a type of more than 15 bits or a value that does not fit */
export function writeAttribute(writer: Writer, attribute: TransformAttribute): void {
  if (attribute.type >= FIXED_FORM) throw new RangeError(`attribute type ${attribute.type} exceeds 15 bits`);
  if (typeof attribute.value === 'number') {
    writer.u16(FIXED_FORM | attribute.type);
    writer.u16(attribute.value);
  } else {
    writer.u16(attribute.type);
    writer.u16(attribute.value.length);
    writer.bytes(attribute.value);
  }
}
