import type { DataPlaneListener } from '../../dataplane/dataplane.js';
import type { Logger } from '../../telemetry/log.js';
import type { DeviceNumber } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { GatewayCore } from '../core/core.js';

/**
 * What the packet path reports. It is there before the core, which needs the path: until the core is there too,
 * nothing but a failure counts, since there are no SAs yet.
 */
export class PathReports implements DataPlaneListener {
  /** Resolves with the reason when the path cannot go on. */
  readonly failure: Promise<string>;
  readonly #logger: Logger;
  #fail: (reason: string) => void = () => undefined;
  #core: GatewayCore | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
    this.failure = new Promise((resolve) => {
      this.#fail = resolve;
    });
  }

  /** From now on they go to this core. */
  connect(core: GatewayCore): void {
    this.#core = core;
  }

  ikeDatagram(local: Endpoint, remote: Endpoint, bytes: Uint8Array): void {
    this.#core?.input({ kind: 'datagram', local, remote, natTraversalPort: true, bytes });
  }

  acquire(destination: Uint8Array, device: DeviceNumber): void {
    this.#core?.acquire(destination, device);
  }

  peerMoved(id: number, from: Endpoint): void {
    this.#core?.peerMoved(id, from);
  }

  failed(reason: string): void {
    this.#logger.fatal(`the data plane cannot continue: ${reason}`);
    this.#fail(reason);
  }
}
