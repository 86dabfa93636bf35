import type { TransformNeed } from '../../crypto/types.js';
import type { ConnectionId } from '../../util/ids.js';
import { nameOf } from '../../wire/ike/registry.js';
import type { IkeEvent } from '../events.js';

/** Less than what is configured is carried, whichever end said so. */
export const TS_NARROWED = {
  code: 'ts_narrowed',
  message: 'the peers agreed on fewer networks than are configured here: compare the CIDRs of both ends',
} as const;

/** Registries that name the transforms of a kind. */
const REGISTRIES = {
  encryption: 'encr',
  integrity: 'integ',
  prf: 'prf',
  dh: 'dh',
  key_exchange: 'dh',
} as const;

/** Reports legal but weak algorithms in a negotiated suite: `weak`, by `weakTransforms`. */
export function adviseWeak(
  ctx: { event(event: IkeEvent): void },
  connection: ConnectionId,
  what: 'IKE' | 'ESP',
  weak: readonly TransformNeed[],
): void {
  if (weak.length === 0) return;
  const names = weak.map((need) => nameOf(REGISTRIES[need.kind], need.id)).join(', ');
  ctx.event({
    kind: 'advisory',
    connection,
    code: 'weak_algorithm',
    message: `${what} was negotiated with ${names}: choose stronger algorithms at both ends`,
  });
}

/** What was advised about one connection. */
interface Advised {
  readonly ikes: Set<number>;
  /** Codes with the messages that were given, by both. */
  readonly said: Map<string, string>;
}

/**
 * Every rekey finds the same weak algorithm or narrowed network again. An advisory is news once per connection, until
 * it is withdrawn, says something else, or the connection has lost its last IKE SA.
 */
export class AdviceMemory {
  readonly #connections = new Map<string, Advised>();

  /** Whether the event is to be reported. All events pass through here, in order. */
  isNews(event: IkeEvent): boolean {
    switch (event.kind) {
      case 'ike-established': {
        const { ikes, said } = this.#of(event.connection);
        ikes.add(event.ike.ikeId);
        if (event.ike.replaces !== undefined) forget(said, 'rekey_refused');
        return true;
      }
      case 'ike-closed': {
        const { ikes } = this.#of(event.connection);
        ikes.delete(event.ikeId);
        if (ikes.size === 0) this.#connections.delete(event.connection);
        return true;
      }
      case 'advisory-withdrawn':
        forget(this.#of(event.connection).said, event.code);
        return true;
      case 'advisory': {
        const { said } = this.#of(event.connection);
        const key = `${event.code} ${event.message}`;
        const known = said.has(key);
        said.set(key, event.code);
        return !known;
      }
      default:
        return true;
    }
  }

  #of(connection: ConnectionId): Advised {
    const known = this.#connections.get(connection);
    if (known !== undefined) return known;
    const made: Advised = { ikes: new Set(), said: new Map() };
    this.#connections.set(connection, made);
    return made;
  }
}

function forget(said: Map<string, string>, code: string): void {
  for (const [key, one] of said) if (one === code) said.delete(key);
}
