import type { EngineConfig } from '../../ike/config.js';
import type { IkeEvent } from '../../ike/events.js';
import type { Input } from '../../ike/inputs.js';
import type { Output } from '../../ike/outputs.js';
import type { EngineLike } from './engine-driver.js';

/**
 * The engine knows a connection by a key that never changes, people by a name that may. The key is the first
 * name a connection had, so the two differ only after a rename.
 */
export class ConnectionKeys {
  readonly #keyOf = new Map<string, string>();
  readonly #nameOf = new Map<string, string>();

  /** Takes over the names that are configured now. */
  configure(names: readonly string[]): void {
    const wanted = new Set(names);
    for (const [name, key] of this.#keyOf) {
      if (wanted.has(name)) continue;
      this.#keyOf.delete(name);
      this.#nameOf.delete(key);
    }
    for (const name of names) {
      if (this.#keyOf.has(name)) continue;
      let key = name;
      // The name may be the key of a connection that has another name by now.
      for (let n = 2; this.#nameOf.has(key); n++) key = `${name}~${n}`;
      this.#keyOf.set(name, key);
      this.#nameOf.set(key, name);
    }
  }

  rename(from: string, to: string): void {
    const key = this.#keyOf.get(from);
    if (key === undefined) return;
    this.#keyOf.delete(from);
    this.#keyOf.set(to, key);
    this.#nameOf.set(key, to);
  }

  /** The key of a name, the name itself when it is not configured. */
  key(name: string): string {
    return this.#keyOf.get(name) ?? name;
  }

  name(key: string): string {
    return this.#nameOf.get(key) ?? key;
  }

  /** The configuration as the engine is to have it. */
  keyed(config: EngineConfig): EngineConfig {
    return { connections: config.connections.map((one) => ({ ...one, id: this.key(one.id) })) };
  }

  /** The engine, with inputs and outputs by the names that people know. */
  named(engine: EngineLike): EngineLike {
    return {
      handle: (input, now) => engine.handle(this.#input(input), now).map((output) => this.#output(output)),
      nextDeadline: () => engine.nextDeadline(),
      get closing() {
        return engine.closing === true;
      },
    };
  }

  #input(input: Input): Input {
    if (input.kind === 'configure') return { ...input, config: this.keyed(input.config) };
    return 'connection' in input ? { ...input, connection: this.key(input.connection) } : input;
  }

  #output(output: Output): Output {
    if (output.kind === 'install-child') {
      const { child } = output;
      return { ...output, child: { ...child, connection: this.name(child.connection) } };
    }
    return output.kind === 'event' ? { ...output, event: this.#event(output.event) } : output;
  }

  /** The event with the name that people know. */
  #event(event: IkeEvent): IkeEvent {
    if (!('connection' in event) || event.connection === undefined) return event;
    const name = this.name(event.connection);
    return name === event.connection ? event : { ...event, connection: name };
  }
}
