import type { TunDevice } from '../../linux/tun.js';
import type { GatewayFile } from '../../store/model.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../../util/operator-error.js';
import { ControlError } from '../control/protocol.js';
import type { CoreConfig } from '../core/config-in-force.js';
import type { FreshConfig } from '../gateway/fresh-config.js';
import { setupOf } from '../gateway/gateway-options.js';
import { openSharedTun } from '../host/packet-path.js';

/** What a process starts a gateway with that it was made ready for. */
export interface Prepared {
  readonly config: CoreConfig;
  readonly tun: TunDevice;
}

/**
 * What a process holds while another one speaks for its gateway: the configuration with its keys, and the shared TUN
 * device, from which it reads nothing. The device is there before and after the other process, and so are the routes
 * through it.
 */
export class Standby {
  readonly #logger: Logger;
  #fresh: FreshConfig | undefined;
  #tun: { readonly device: TunDevice; readonly made: string } | undefined;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** The configuration it was made ready for last; undefined before. */
  get file(): GatewayFile | undefined {
    return this.#fresh?.config.file;
  }

  /** Makes ready for this configuration in place of the one before. @throws ControlError failed, and it is as before */
  prepare(fresh: FreshConfig): void {
    try {
      this.#open(fresh.config);
    } catch (error) {
      fresh.discard();
      throw new ControlError('failed', oneLine(error));
    }
    this.#fresh?.discard();
    this.#fresh = fresh;
  }

  /** Hands over what it holds. @throws ControlError refused when it was not made ready */
  take(): Prepared {
    const fresh = this.#fresh;
    const tun = this.#tun?.device;
    if (fresh === undefined || tun === undefined) {
      throw new ControlError('refused', 'this process was not prepared: send "prepare" first');
    }
    this.#fresh = this.#tun = undefined;
    return { config: fresh.take(), tun };
  }

  /** Wipes the keys and leaves the device to others. */
  close(): void {
    this.#fresh?.discard();
    this.#tun?.device.close();
    this.#fresh = this.#tun = undefined;
  }

  #open(config: CoreConfig): void {
    const { mtu, workers, offload } = setupOf({ ...config, logger: this.#logger });
    const { interface: device } = config.file.gateway;
    const made = JSON.stringify([device, mtu, workers, offload]);
    if (this.#tun?.made === made) return;
    this.#tun?.device.close();
    this.#tun = undefined;
    this.#tun = { device: openSharedTun({ interface: device, mtu, workers, offload }), made };
  }
}
