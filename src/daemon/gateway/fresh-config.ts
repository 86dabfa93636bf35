import type { CoreConfig } from '../core/config-in-force.js';

/**
 * A configuration that was read and is not in force. It owns its keys: they pass to the gateway that takes it, or are
 * wiped with it. What is in force was taken before and cannot be one of these, so that discarding one never wipes a key
 * in use.
 */
export class FreshConfig {
  #config: CoreConfig | undefined;

  constructor(config: CoreConfig) {
    this.#config = config;
  }

  /** To look at, until it is taken or discarded. @throws Error afterwards: that is a bug */
  get config(): CoreConfig {
    if (this.#config === undefined) throw new Error('this configuration was handed over already');
    return this.#config;
  }

  /** Hands it over with its keys, once. @throws Error the second time: that is a bug */
  take(): CoreConfig {
    const { config } = this;
    this.#config = undefined;
    return config;
  }

  /** Wipes its keys. Nothing happens when it was taken. */
  discard(): void {
    for (const key of this.#config?.psks.values() ?? []) key.wipe();
    this.#config = undefined;
  }
}
