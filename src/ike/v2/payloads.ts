import { readU16 } from '../../util/bytes.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { FIRST_STATUS_NOTIFY, NotifyType } from '../../wire/ike/registry.js';
import { notification } from '../payloads.js';

/** Returns the first notify of this type. */
export function findNotify(payloads: readonly Payload[], type: number): NotifyPayload | undefined {
  return payloads.find((p): p is NotifyPayload => p.kind === 'notify' && p.type === type);
}

/** Whether the sender takes IKE_INTERMEDIATE (RFC 9242 §3.1). */
export function takesIntermediate(payloads: readonly Payload[]): boolean {
  return findNotify(payloads, NotifyType.INTERMEDIATE_EXCHANGE_SUPPORTED) !== undefined;
}

/** The first notification that reports an error (RFC 7296 §3.10.1). Unknown status types are ignored. */
export function findError(payloads: readonly Payload[]): NotifyPayload | undefined {
  return payloads.find((p): p is NotifyPayload => p.kind === 'notify' && p.type < FIRST_STATUS_NOTIFY);
}

/** A notification about no SA in particular: protocol 0 and no SPI (RFC 7296 §3.10). */
export function notify(type: number, data?: Uint8Array): NotifyPayload {
  return notification(type, data === undefined ? {} : { data });
}

/** INVALID_KE_PAYLOAD with the group that is wanted (RFC 7296 §1.3). */
export function invalidKe(group: number): NotifyPayload {
  return notify(NotifyType.INVALID_KE_PAYLOAD, Uint8Array.of(group >>> 8, group & 0xff));
}

/** The group that an INVALID_KE_PAYLOAD asks for; undefined when its data are not two octets. */
export function wantedGroup(payload: NotifyPayload): number | undefined {
  return payload.data.length === 2 ? readU16(payload.data, 0) : undefined;
}
