import { readU16 } from '../../util/bytes.js';
import type { NotifyPayload, Payload } from '../../wire/ike/payloads.js';
import { FIRST_STATUS_NOTIFY, NotifyType, ProtocolId } from '../../wire/ike/registry.js';

const EMPTY = new Uint8Array(0);

/** The first payload of a kind. */
export function find<K extends Payload['kind']>(
  payloads: readonly Payload[],
  kind: K,
): PayloadOf<K> | undefined {
  return payloads.find((p): p is PayloadOf<K> => p.kind === kind);
}

/** The record of a kind: some records serve two kinds (`idi` and `idr`, `tsi` and `tsr`). */
type PayloadOf<K extends Payload['kind']> = Payload extends infer P
  ? P extends { readonly kind: infer Kind }
    ? K extends Kind
      ? P
      : never
    : never
  : never;

/** Returns the first notify of this type. */
export function findNotify(payloads: readonly Payload[], type: number): NotifyPayload | undefined {
  return payloads.find((p): p is NotifyPayload => p.kind === 'notify' && p.type === type);
}

/** The first notification that reports an error (RFC 7296 §3.10.1). Unknown status types are ignored. */
export function findError(payloads: readonly Payload[]): NotifyPayload | undefined {
  return payloads.find((p): p is NotifyPayload => p.kind === 'notify' && p.type < FIRST_STATUS_NOTIFY);
}

/** A notification about no SA in particular: protocol 0 and no SPI (RFC 7296 §3.10). */
export function notify(type: number, data: Uint8Array = EMPTY): NotifyPayload {
  return { kind: 'notify', protocol: ProtocolId.NONE, spi: EMPTY, type, data };
}

/** INVALID_KE_PAYLOAD with the group that is wanted (RFC 7296 §1.3). */
export function invalidKe(group: number): NotifyPayload {
  return notify(NotifyType.INVALID_KE_PAYLOAD, Uint8Array.of(group >>> 8, group & 0xff));
}

/** The group that an INVALID_KE_PAYLOAD asks for; undefined when its data are not two octets. */
export function wantedGroup(payload: NotifyPayload): number | undefined {
  return payload.data.length === 2 ? readU16(payload.data, 0) : undefined;
}

/**
 * What an exchange needs, by kind, when the message has each of these payloads exactly once; undefined when not.
 */
export function exactlyOne<K extends Payload['kind']>(
  payloads: readonly Payload[],
  ...kinds: readonly K[]
): { readonly [Kind in K]: PayloadOf<Kind> } | undefined {
  const found: Partial<Record<K, Payload>> = {};
  for (const kind of kinds) {
    const [first, second] = payloads.filter((p) => p.kind === kind);
    if (first === undefined || second !== undefined) return undefined;
    found[kind] = first;
  }
  return found as { readonly [Kind in K]: PayloadOf<Kind> };
}
