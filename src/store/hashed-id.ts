import { createHash } from 'node:crypto';
import type { ConnectionId } from '../util/ids.js';

/** The same id in the form of a UUID for the same text, wherever and whenever it is asked for. */
export function hashedId(text: string): string {
  const hex = createHash('sha256').update(text).digest('hex');
  return [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20), hex.slice(20, 32)].join(
    '-',
  );
}

/**
 * The id of a connection that was read from where it has only a name. It looks like no name, so that none is mistaken
 * for the other, and it is the same at every start. A gateway that runs keeps the first one through a change of the
 * name.
 */
export function connectionIdOf(name: string): ConnectionId {
  return hashedId(`culvert connection ${name}`);
}
