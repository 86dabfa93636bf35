import type { EventDocument } from '../telemetry/events/event-document.js';
import type { Style } from './style.js';

/** One event as a line for people: when, where, what. */
export function eventLine(
  { time, level, gateway, connection, kind, message }: EventDocument,
  style: Style,
): string {
  const member = gateway?.member === undefined || gateway.member === 1 ? '' : `#${gateway.member}`;
  const place = [gateway === undefined ? [] : `${gateway.name}${member}`, connection?.name ?? []]
    .flat()
    .join('/');
  const word = level === 'warn' ? style.warn(level) : level;
  return [time, word, kind, ...(place === '' ? [] : [`${place}:`]), plain(message)].join(' ');
}

/** What peers send may be in it: nothing that moves the cursor of a terminal. */
function plain(text: string): string {
  return text.replace(/[\p{C}\p{Zl}\p{Zp}]/gu, (one) => `\\u{${one.codePointAt(0)!.toString(16)}}`);
}
