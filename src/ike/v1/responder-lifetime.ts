import type { Seconds } from '../../util/units.js';
import { readAttribute, writeAttribute } from '../../wire/ike/attribute.js';
import type { TransformAttribute } from '../../wire/ike/payloads.js';
import type { V1Payload } from '../../wire/ike/v1/payloads.js';
import {
  V1IkeAttribute,
  V1IpsecAttribute,
  V1LifeType,
  V1Notify,
  V1Protocol,
} from '../../wire/ike/v1/registry.js';
import { Reader, WireFault } from '../../wire/reader.js';
import { Writer } from '../../wire/writer.js';
import type { V1Lifetimes } from '../policy/proposals-v1.js';
import { duration, lifetimesOf } from '../policy/transforms-v1.js';

/** Phase 1 and phase 2 have different numbers for the same two attributes. */
const NUMBERS = {
  isakmp: { type: V1IkeAttribute.LIFE_TYPE, duration: V1IkeAttribute.LIFE_DURATION },
  ipsec: { type: V1IpsecAttribute.LIFE_TYPE, duration: V1IpsecAttribute.LIFE_DURATION },
} as const;

/** Data of RESPONDER-LIFETIME: the lifetime that the responder keeps (RFC 2407 §4.6.3.1). */
export function encodeLifetime(phase: keyof typeof NUMBERS, life: Seconds): Uint8Array {
  const writer = new Writer();
  writeAttribute(writer, { type: NUMBERS[phase].type, value: V1LifeType.SECONDS });
  writeAttribute(writer, { type: NUMBERS[phase].duration, value: duration(life) });
  return writer.finish();
}

/** The same read; empty when it is not well-formed, since a lifetime never fails anything. */
export function decodeLifetime(phase: keyof typeof NUMBERS, data: Uint8Array): V1Lifetimes {
  const attributes: TransformAttribute[] = [];
  try {
    const reader = new Reader(data, 'RESPONDER-LIFETIME');
    while (reader.left > 0) attributes.push(readAttribute(reader));
  } catch (fault) {
    if (fault instanceof WireFault) return {};
    throw fault;
  }
  return lifetimesOf(attributes, NUMBERS[phase].type, NUMBERS[phase].duration);
}

/** The shortest lifetime announced by the peer that counts as it is. */
export const MIN_LIFETIME: Seconds = 60;

/** How long the responder keeps the ISAKMP SA, where a payload says so and is long enough to be believed. */
export function announcedLifetime(payload: V1Payload): Seconds | undefined {
  if (payload.kind !== 'notify' || payload.type !== V1Notify.RESPONDER_LIFETIME) return undefined;
  if (payload.protocol !== V1Protocol.ISAKMP) return undefined;
  const { seconds } = decodeLifetime('isakmp', payload.data);
  return seconds === undefined ? undefined : Math.max(MIN_LIFETIME, seconds);
}
