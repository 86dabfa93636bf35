import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import type { TrafficSelector, TsPayload } from '../payloads.js';
import { TsType } from '../registry.js';

const NONE = new Uint8Array(0);

/** Octets of an address in a selector of this type; undefined when the type is not known here. */
function addressLength(tsType: number): 4 | 16 | undefined {
  return tsType === TsType.IPV4_ADDR_RANGE ? 4 : tsType === TsType.IPV6_ADDR_RANGE ? 16 : undefined;
}

/** RFC 7296 §3.13. The count is one octet, so it needs no other bound. */
export function readTs(reader: Reader): Omit<TsPayload, 'kind'> {
  const count = reader.u8('number of selectors');
  reader.skip(3, 'reserved octets');
  const selectors: TrafficSelector[] = [];
  for (let i = 1; i <= count; i++) selectors.push(readSelector(reader, i));
  reader.done();
  return { selectors };
}

/** RFC 7296 §3.13.1: 16 octets for IPv4, 40 for IPv6. Other types are carried as they are. */
function readSelector(reader: Reader, index: number): TrafficSelector {
  const start = reader.offset;
  const tsType = reader.u8('selector type');
  const protocol = reader.u8('IP protocol');
  const length = reader.u16('selector length');
  const size = addressLength(tsType);
  if (size === undefined ? length < 4 : length !== 8 + 2 * size) {
    reader.fail('bad_length', `selector ${index} of type ${tsType} with length ${length}`, start + 2);
  }
  const body = reader.sub(length - 4, 'selector', index);
  if (size === undefined) {
    const other = body.rest();
    return { tsType, protocol, startPort: 0, endPort: 0, startAddress: NONE, endAddress: NONE, other };
  }
  return {
    tsType,
    protocol,
    startPort: body.u16('start port'),
    endPort: body.u16('end port'),
    startAddress: body.take(size, 'start address'),
    endAddress: body.take(size, 'end address'),
  };
}

/** @throws RangeError for more than 255 selectors or addresses that do not fit the type */
export function writeTs(writer: Writer, payload: TsPayload): void {
  writer.u8(payload.selectors.length);
  writer.u24(0);
  for (const selector of payload.selectors) writeSelector(writer, selector);
}

function writeSelector(writer: Writer, selector: TrafficSelector): void {
  writer.u8(selector.tsType);
  writer.u8(selector.protocol);
  if (selector.other !== undefined) {
    writer.u16(4 + selector.other.length);
    writer.bytes(selector.other);
    return;
  }
  const size = addressLength(selector.tsType);
  if (selector.startAddress.length !== size || selector.endAddress.length !== size) {
    throw new RangeError(`the addresses of a selector of type ${selector.tsType} have the wrong length`);
  }
  writer.u16(8 + 2 * size);
  writer.u16(selector.startPort);
  writer.u16(selector.endPort);
  writer.bytes(selector.startAddress);
  writer.bytes(selector.endAddress);
}
