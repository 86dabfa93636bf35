import type { ConnectionNames } from '../../connection/connection-names.js';
import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import type { ConnectionId } from '../../util/ids.js';
import type { GatewayCore } from '../core/core.js';
import type { ReloadReport } from '../gateway/reload.js';
import { ControlError } from './protocol.js';
import type { ControlHandler } from './server.js';

/** What clients of the control socket may ask. */
export class ControlCommands implements ControlHandler {
  readonly #core: GatewayCore;
  readonly #names: ConnectionNames;
  readonly #status: () => StatusDocument;
  readonly reload: (dryRun: boolean) => ReloadReport;
  readonly stop: () => void;

  constructor(parts: {
    readonly core: GatewayCore;
    readonly names: ConnectionNames;
    readonly status: () => StatusDocument;
    readonly reload: (dryRun: boolean) => ReloadReport;
    readonly stop: () => void;
  }) {
    this.#core = parts.core;
    this.#names = parts.names;
    this.#status = parts.status;
    this.reload = parts.reload;
    this.stop = parts.stop;
  }

  status(name?: string): StatusDocument {
    const document = this.#status();
    return name === undefined ? document : { ...document, connections: [this.#document(name)] };
  }

  up(name: string): ConnectionStatusDocument {
    const { id, admin_state_up } = this.#document(name);
    if (!admin_state_up) {
      throw new ControlError('refused', `${name} is administratively down: set admin_state_up to true`);
    }
    this.#core.up(id);
    return this.#document(name);
  }

  down(name: string): ConnectionStatusDocument {
    this.#core.down(this.#find(name));
    return this.#document(name);
  }

  explain(name: string): Explanation {
    const explanation = this.#core.statuses.explain(this.#find(name));
    if (explanation === undefined) throw this.#unknown(name);
    return explanation;
  }

  subscribe(changed: () => void): () => void {
    return this.#core.watchers.subscribe(changed);
  }

  async waitUp(
    name: string,
    progress: (line: string) => void,
    signal: AbortSignal,
  ): Promise<ConnectionStatusDocument> {
    const result = await this.#core.watchers.waitUp(this.#find(name), progress, signal);
    if (!result.ok) throw new ControlError('failed', result.error);
    return result.value;
  }

  #document(name: string): ConnectionStatusDocument {
    const found = this.#core.statuses.of(this.#find(name));
    if (found === undefined) throw this.#unknown(name);
    return found;
  }

  #find(name: string): ConnectionId {
    const id = this.#names.find(name);
    if (id === undefined) throw this.#unknown(name);
    return id;
  }

  #unknown(name: string): ControlError {
    const known = this.#names.all().join(', ');
    return new ControlError('not_found', `there is no connection ${name}: configured are ${known || 'none'}`);
  }
}
