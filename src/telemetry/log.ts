import { type DestinationStream, type Logger, pino } from 'pino';
import type { LogLevel } from './log-levels.js';
import { textLine } from './text-format.js';

export type { Logger } from 'pino';

/** `json`: one object per line. `text`: one line for people. */
export type LogFormat = 'json' | 'text';

/** What a logger writes, in which form, and where to. */
export interface LogOptions {
  readonly level?: LogLevel;
  /** Text when the destination is a terminal, JSON when not, unless given. */
  readonly format?: LogFormat;
  /** Where lines go; standard error unless given. */
  readonly destination?: LogDestination;
}

/** Takes the lines of a log, whole ones. */
export interface LogDestination {
  write(line: string): unknown;
  readonly isTTY?: boolean;
}

/** Names under which a secret could be handed to the logger by mistake, at the top and one level down. */
const SECRET_FIELDS = ['psk', 'secret', 'password', 'token', 'keys', 'keysIn', 'keysOut', 'skeyseed'];

/**
 * A logger. Fields that could contain a secret are replaced by `[redacted]`, octet strings by their length; keys
 * proper are `SecretKey` objects, which show no octets in any form.
 */
export function createLogger(options: LogOptions = {}): Logger {
  const destination = options.destination ?? process.stderr;
  const format = options.format ?? (destination.isTTY === true ? 'text' : 'json');
  const stream: DestinationStream = {
    write: (line: string) => void destination.write(format === 'text' ? textLine(line) : line),
  };
  return pino(
    {
      level: options.level ?? 'info',
      base: null,
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: {
        paths: SECRET_FIELDS.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]),
        censor: '[redacted]',
      },
      formatters: { log: (fields) => withoutOctets(fields, 0) as Record<string, unknown> },
    },
    stream,
  );
}

/** A copy in which octet strings are shown by their length only; four levels deep, like the records we log. */
function withoutOctets(value: unknown, depth: number): unknown {
  if (ArrayBuffer.isView(value)) return `[${value.byteLength} octets]`;
  if (typeof value !== 'object' || value === null || depth > 3 || value instanceof Error) return value;
  if (Array.isArray(value)) return value.map((item) => withoutOctets(item, depth + 1));
  // An object with a form of its own (SecretKey, Date) knows best how to be shown.
  if (Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [key, withoutOctets(item, depth + 1)]),
  );
}
