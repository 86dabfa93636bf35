import { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import type { SaRecord } from './record.js';

/** How a point in time is called in a record; lengths of time are called otherwise. */
const POINT_IN_TIME = /(At|Since)$|^(since|notBefore|startedOver|lastInbound|lastMessage)$/;

/**
 * The record with all its points in time later by `by`, which may be negative: the clock of the engine that adopts
 * it less that of the engine that exported it. Without that, an engine on another host would take the lifetimes for
 * over, or for endless. The keys are those of `record`: they are wiped once for both.
 */
export function shiftRecord<R extends SaRecord>(record: R, by: Millis): R {
  return shifted(record, by) as R;
}

function shifted(value: unknown, by: Millis): unknown {
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof SecretKey || ArrayBuffer.isView(value)) return value;
  if (Array.isArray(value)) return value.map((one) => shifted(one, by));
  const fields = Object.entries(value).map(([name, one]) => [
    name,
    typeof one === 'number' && POINT_IN_TIME.test(name) ? one + by : shifted(one, by),
  ]);
  return Object.fromEntries(fields);
}
