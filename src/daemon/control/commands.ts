import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import { describeEvent } from '../../telemetry/event-log.js';
import type { GatewayCore } from '../core/core.js';
import type { ReloadReport } from '../gateway/reload.js';
import { ControlError } from './protocol.js';
import type { ControlHandler } from './server.js';

/** What clients of the control socket may ask. */
export class ControlCommands implements ControlHandler {
  readonly #core: GatewayCore;
  readonly #status: () => StatusDocument;
  readonly reload: (dryRun: boolean) => ReloadReport;
  readonly stop: () => void;

  constructor(parts: {
    readonly core: GatewayCore;
    readonly status: () => StatusDocument;
    readonly reload: (dryRun: boolean) => ReloadReport;
    readonly stop: () => void;
  }) {
    this.#core = parts.core;
    this.#status = parts.status;
    this.reload = parts.reload;
    this.stop = parts.stop;
  }

  status(name?: string): StatusDocument {
    const document = this.#status();
    return name === undefined ? document : { ...document, connections: [this.#document(name)] };
  }

  up(name: string): ConnectionStatusDocument {
    const { admin_state_up } = this.#document(name);
    if (!admin_state_up) {
      throw new ControlError('refused', `${name} is administratively down: set admin_state_up to true`);
    }
    this.#core.up(name);
    return this.#document(name);
  }

  down(name: string): ConnectionStatusDocument {
    this.#document(name);
    this.#core.down(name);
    return this.#document(name);
  }

  explain(name: string): Explanation {
    this.#document(name);
    return this.#core.explain(name)!;
  }

  subscribe(changed: () => void): () => void {
    return this.#core.subscribe(changed);
  }

  waitUp(
    name: string,
    progress: (line: string) => void,
    signal: AbortSignal,
  ): Promise<ConnectionStatusDocument> {
    const before = this.#core.failures(name);
    return new Promise((resolve, reject) => {
      const end = (finish: () => void): void => {
        unsubscribe();
        signal.removeEventListener('abort', over);
        finish();
      };
      const over = (): void => end(() => reject(new ControlError('failed', this.#whyNot(name))));
      const look = (): void => {
        const document = this.#document(name);
        if (document.status === 'up') end(() => resolve(document));
        else if (this.#core.failures(name) > before) over();
      };
      const unsubscribe = this.#core.subscribe((events) => {
        for (const event of events) {
          const about = 'connection' in event && event.connection === name;
          const line = about ? describeEvent(event) : undefined;
          if (line !== undefined && line.level !== 'debug') progress(line.text);
        }
        look();
      });
      signal.addEventListener('abort', over, { once: true });
      look();
    });
  }

  #whyNot(name: string): string {
    const reasons = this.#document(name).status_reasons.map((reason) => reason.message);
    return `${name} is not up. ${reasons.join(' ')}`.trim();
  }

  #document(name: string): ConnectionStatusDocument {
    const { connections } = this.#status();
    const found = connections.find((one) => one.name === name);
    if (found !== undefined) return found;
    const known = connections.map((one) => one.name).join(', ');
    throw new ControlError('not_found', `there is no connection ${name}: configured are ${known || 'none'}`);
  }
}
