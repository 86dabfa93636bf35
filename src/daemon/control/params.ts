import type { EventLevel } from '../../connection/event-catalogue.js';
import { CAPTURE_LIMITS } from '../../telemetry/capture/limits.js';
import { isEventId } from '../../telemetry/events/event-hub.js';
import { STEPS } from '../../telemetry/history.js';
import { parseDateTime } from '../../telemetry/rfc3339.js';
import type { Step } from '../../telemetry/series.js';
import { parseIp } from '../../util/ip.js';
import { ControlError } from './protocol.js';

/** One parameter, of which a handler gets a `T`. */
export interface Param<T, Optional extends boolean> {
  /** What it is, for documentation. */
  readonly is: string;
  /** Whether a client may leave it out. */
  readonly optional: Optional;
  /** @throws ControlError bad_request, naming the parameter */
  read(value: unknown, name: string): T;
}

/** A connection. */
export const CONNECTION: Param<string, false> = {
  is: 'name of a connection',
  optional: false,
  read(value, name) {
    if (typeof value === 'string' && value !== '') return value;
    throw new ControlError('bad_request', `"${name}" is missing: name a connection`);
  },
};

/** A connection, or all of them. */
export const ANY_CONNECTION: Param<string | undefined, true> = {
  is: CONNECTION.is,
  optional: true,
  read: (value, name) => (value === undefined ? undefined : CONNECTION.read(value, name)),
};

/** True or false, false when left out. */
export const FLAG: Param<boolean, true> = {
  is: '`true` or `false`',
  optional: true,
  read(value, name) {
    const flag = value ?? false;
    if (typeof flag === 'boolean') return flag;
    throw new ControlError('bad_request', `"${name}" is not true or false`);
  },
};

/** An IP address. */
export const ADDRESS: Param<string | undefined, true> = {
  is: 'IP address',
  optional: true,
  read(value, name) {
    if (value === undefined || (typeof value === 'string' && parseIp(value) !== undefined)) return value;
    throw new ControlError('bad_request', `"${name}" is not an IP address`);
  },
};

/** A whole number within the bounds of captures. */
export function captureNumber(bounds: keyof typeof CAPTURE_LIMITS, what: string): Param<number, true> {
  const { usual, least, most } = CAPTURE_LIMITS[bounds];
  return {
    is: `${what}, ${usual} when left out, ${least} to ${most}`,
    optional: true,
    read(value, name) {
      const number = value ?? usual;
      if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most)
        return number;
      throw new ControlError('bad_request', `"${name}" is not a whole number from ${least} to ${most}`);
    },
  };
}

/** The number of a takeover. */
export const TERM: Param<number, false> = {
  is: 'a whole number from 1',
  optional: false,
  read(value, name) {
    if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 1) return value;
    throw new ControlError('bad_request', `"${name}" is not a whole number from 1`);
  },
};

/** How long a client may wait, in seconds, and how long it does unless it says so. */
const MAX_WAIT_SECONDS = 3600;
const DEFAULT_WAIT_SECONDS = 60;

/** How long to wait. */
export const WAIT_SECONDS: Param<number, true> = {
  is: `seconds, ${DEFAULT_WAIT_SECONDS} when left out, at most ${MAX_WAIT_SECONDS}`,
  optional: true,
  read(value, name) {
    const seconds = value ?? DEFAULT_WAIT_SECONDS;
    if (typeof seconds === 'number' && seconds > 0 && seconds <= MAX_WAIT_SECONDS) return seconds;
    throw new ControlError('bad_request', `"${name}" is not a number of seconds up to ${MAX_WAIT_SECONDS}`);
  },
};

/** The resolution of a history. */
export const STEP: Param<Step | undefined, true> = {
  is: `seconds: ${STEPS.join(', ')}; left out, the finest that reaches back to \`from\``,
  optional: true,
  read(value, name) {
    const step = STEPS.find((one) => one === value);
    if (value === undefined || step !== undefined) return step;
    throw new ControlError('bad_request', `"${name}" is none of ${STEPS.join(', ')} (seconds)`);
  },
};

/** A point in time. */
export const TIME: Param<string | undefined, true> = {
  is: 'RFC 3339; left out, as far back as they are kept',
  optional: true,
  read(value, name) {
    if (value === undefined) return undefined;
    if (typeof value === 'string' && parseDateTime(value) !== undefined) return value;
    throw new ControlError('bad_request', `"${name}" is no time: write it as 2026-11-30T12:00:00Z`);
  },
};

/** Items of a list that a client sends. */
const MAX_ITEMS = 100;

/** A list of texts, of those that are known where only these are taken. */
export function textList(is: string, known?: readonly string[]): Param<readonly string[] | undefined, true> {
  return {
    is,
    optional: true,
    read(value, name) {
      if (value === undefined) return undefined;
      const isList = Array.isArray(value) && value.length > 0 && value.length <= MAX_ITEMS;
      if (!isList || !value.every((item): item is string => typeof item === 'string')) {
        throw new ControlError('bad_request', `"${name}" is no list of 1 to ${MAX_ITEMS} texts`);
      }
      const wrong = known === undefined ? undefined : value.find((item) => !known.includes(item));
      if (wrong === undefined) return value;
      throw new ControlError(
        'bad_request',
        `"${name}" does not take "${wrong}": it takes ${known!.join(', ')}`,
      );
    },
  };
}

/** Where a stream of events begins. */
export const FROM: Param<string | undefined, true> = {
  is: '`oldest` for all that are kept, or the id of the event to go on after; only those that come when left out',
  optional: true,
  read(value, name) {
    if (value === undefined || value === 'oldest') return value;
    if (typeof value === 'string' && isEventId(value)) return value;
    throw new ControlError('bad_request', `"${name}" is neither "oldest" nor the id of an event`);
  },
};

/** The least level of events. */
export const LEVEL: Param<EventLevel | undefined, true> = {
  is: '`info` or `warn`: events of this level at least',
  optional: true,
  read(value, name) {
    if (value === undefined || value === 'info' || value === 'warn') return value;
    throw new ControlError('bad_request', `"${name}" is neither "info" nor "warn"`);
  },
};
