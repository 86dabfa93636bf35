import type { Reader } from '../../reader.js';
import type { Writer } from '../../writer.js';
import { LIMITS } from '../limits.js';
import type { DeletePayload, NotifyPayload } from '../payloads.js';
import { ProtocolId } from '../registry.js';

/** RFC 7296 §3.10. */
export function readNotify(reader: Reader): Omit<NotifyPayload, 'kind'> {
  const protocol = reader.u8('protocol id');
  const spiSize = reader.u8('SPI size');
  const type = reader.u16('notify type');
  const spi = reader.take(spiSize, 'SPI');
  return { protocol, spi, type, data: reader.rest() };
}

/** Writes the body of N: protocol, SPI size, type in two octets, SPI, notification data (RFC 7296 §3.10). */
export function writeNotify(writer: Writer, payload: NotifyPayload): void {
  writer.u8(payload.protocol);
  writer.u8(payload.spi.length);
  writer.u16(payload.type);
  writer.bytes(payload.spi);
  writer.bytes(payload.data);
}

/** RFC 7296 §3.11. */
export function readDelete(reader: Reader): Omit<DeletePayload, 'kind'> {
  const protocol = reader.u8('protocol id');
  const sizeOffset = reader.offset;
  const spiSize = reader.u8('SPI size');
  const count = reader.u16('number of SPIs');
  if (count > LIMITS.spis) {
    reader.fail('too_many', `${count} SPIs, more than ${LIMITS.spis}`, sizeOffset + 1);
  }
  const spis: Uint8Array[] = [];
  if (protocol === ProtocolId.IKE) {
    // The SA to delete is the one that protects the message; the count has no meaning then (§3.11).
    if (spiSize !== 0) reader.fail('bad_length', `SPI size ${spiSize} for an IKE SA: 0 expected`, sizeOffset);
  } else if (count > 0) {
    const four = protocol === ProtocolId.ESP || protocol === ProtocolId.AH;
    if (spiSize === 0 || (four && spiSize !== 4)) {
      reader.fail('bad_length', `SPI size ${spiSize} for protocol ${protocol}`, sizeOffset);
    }
    for (let i = 0; i < count; i++) spis.push(reader.take(spiSize, 'SPI'));
  }
  reader.done();
  return { protocol, spis };
}

/** @throws RangeError when the SPIs differ in size */
export function writeDelete(writer: Writer, payload: DeletePayload): void {
  const size = payload.spis[0]?.length ?? (payload.protocol === ProtocolId.IKE ? 0 : 4);
  writer.u8(payload.protocol);
  writer.u8(size);
  writer.u16(payload.spis.length);
  for (const spi of payload.spis) {
    if (spi.length !== size) throw new RangeError('the SPIs of one DELETE payload have one size');
    writer.bytes(spi);
  }
}
