import type { TrackedConnection } from '../../connection/projection.js';
import type { EngineConfig } from '../../ike/config.js';
import { toEngineConfig } from '../../store/engine-config.js';
import type { GatewayConnection, GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import type { SecretKey } from '../../util/secret.js';

/** What the gateway is to do: a configuration that was read, and its keys by connection id. */
export interface CoreConfig {
  readonly file: GatewayFile;
  readonly psks: ReadonlyMap<ConnectionId, SecretKey>;
}

/** What the engine and the others are given of one configuration. */
export interface Views {
  /** As it was read, with the addresses that are known now. */
  readonly wanted: EngineConfig;
  /** The same, but what an operator holds down is administratively down. */
  readonly effective: EngineConfig;
  readonly tracked: readonly TrackedConnection[];
}

/**
 * The configuration in force, with what comes to it while it is: the addresses of host names, and the connections
 * that an operator holds down.
 */
export class ConfigInForce {
  #config: CoreConfig;
  readonly #addresses: () => ReadonlyMap<ConnectionId, readonly string[]>;
  readonly #stopped = new Set<ConnectionId>();

  /** @param addresses those of peers configured by host name, as far as they are resolved, by connection */
  constructor(first: CoreConfig, addresses: () => ReadonlyMap<ConnectionId, readonly string[]>) {
    this.#config = first;
    this.#addresses = addresses;
  }

  get gatewayName(): string {
    return this.#config.file.gateway.name;
  }

  get connections(): readonly GatewayConnection[] {
    return this.#config.file.connections;
  }

  find(connection: ConnectionId): GatewayConnection | undefined {
    return this.connections.find(({ id }) => id === connection);
  }

  replace(config: CoreConfig): void {
    this.#config = config;
    for (const id of this.#stopped) if (this.find(id) === undefined) this.#stopped.delete(id);
  }

  /** Whether an operator holds it down. */
  isStopped(connection: ConnectionId): boolean {
    return this.#stopped.has(connection);
  }

  setStopped(connection: ConnectionId, stopped: boolean): void {
    if (stopped) this.#stopped.add(connection);
    else this.#stopped.delete(connection);
  }

  /** The host names of peers of connections that are administratively up, by connection. */
  hostNames(): ReadonlyMap<ConnectionId, string> {
    return new Map(
      this.connections.flatMap(({ id, adminStateUp, peer: { fqdn } }) =>
        adminStateUp && fqdn !== undefined ? [[id, fqdn] as const] : [],
      ),
    );
  }

  /** A configuration in the engine's terms, with the addresses that are known now. */
  engineConfig({ file, psks }: CoreConfig): EngineConfig {
    return toEngineConfig(file, psks, this.#addresses());
  }

  views(): Views {
    const wanted = this.engineConfig(this.#config);
    return {
      wanted,
      effective: {
        connections: wanted.connections.map((one) =>
          this.isStopped(one.id) ? { ...one, adminUp: false } : one,
        ),
      },
      tracked: wanted.connections.map((config, i) => {
        const { peer } = this.connections[i]!;
        return { config, peer: peer.address ?? peer.fqdn ?? '' };
      }),
    };
  }
}
