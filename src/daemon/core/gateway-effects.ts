import type { ConnectionNames } from '../../connection/connection-names.js';
import { espSuiteNames, suiteWord } from '../../connection/names.js';
import type { ChildCounters, DataPlane } from '../../dataplane/dataplane.js';
import type { EspPair } from '../../esp/params.js';
import type { ChildSa, SendOutput } from '../../ike/outputs.js';
import type { Logger } from '../../telemetry/log.js';
import type { ChildId, Spi } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import type { IkeTap } from '../capture/ike-tap.js';
import type { ConnectionDevices } from '../host/devices.js';
import type { Effects } from './effects.js';
import { LeavingChildren } from './leaving-children.js';

/** The parts of a real gateway that the engine's outputs act on. */
export interface GatewayEffectsDeps {
  readonly plane: DataPlane;
  readonly devices: Pick<ConnectionDevices, 'numberOf'>;
  readonly names: Pick<ConnectionNames, 'nameOf'>;
  readonly sockets: { send(output: SendOutput): void; sendKeepalive(remote: Endpoint): void };
  /** A child SA is about to be removed; its counters, undefined when it is not installed. */
  removing(childId: ChildId, last: ChildCounters | undefined): void;
  /** Hears of what is sent, and of child SAs. */
  readonly tap: IkeTap;
  /** Keeps the way to these addresses of a peer outside its own tunnel. */
  pinBypass(addresses: readonly string[]): void;
  readonly logger: Logger;
}

/** The core's effects on a real gateway: its sockets, its packet path and its routes. */
export class GatewayEffects implements Effects {
  readonly #deps: GatewayEffectsDeps;
  readonly #leaving: LeavingChildren;

  constructor(deps: GatewayEffectsDeps) {
    this.#deps = deps;
    this.#leaving = new LeavingChildren({
      retire: (id) => deps.plane.retire(id),
      remove: (id) => this.#remove(id),
    });
  }

  send(output: SendOutput): void {
    this.#deps.sockets.send(output);
    this.#deps.tap.listener?.sent(output);
  }

  sendKeepalive(remote: Endpoint): void {
    this.#deps.sockets.sendKeepalive(remote);
    this.#deps.tap.listener?.keepalive(remote);
  }

  expectEsp(spi: Spi): void {
    this.#deps.plane.expect(spi);
  }

  forgetEsp(spi: Spi): void {
    this.#deps.plane.forget(spi);
  }

  installChild(child: ChildSa): string | undefined {
    const { plane, devices, names, tap, logger } = this.#deps;
    const { connection, ...pair } = child;
    // Before the packet path takes the keys over.
    tap.listener?.installing(child);
    try {
      const device = devices.numberOf(connection);
      if (device === undefined) throw new RangeError('the connection has no TUN device');
      plane.install({ ...pair, device } satisfies EspPair);
      return undefined;
    } catch (error) {
      const reason = (error as Error).message;
      plane.forget(child.spiIn);
      const suite = suiteWord(espSuiteNames(child.suite));
      logger.error(
        { connection: names.nameOf(connection), suite },
        `a child SA was not installed: ${reason}`,
      );
      return reason;
    }
  }

  activateOutbound(childId: ChildId): void {
    this.#deps.plane.activateOutbound(childId);
  }

  removeChild(childId: ChildId, rekeyed: boolean): void {
    if (rekeyed) this.#leaving.add(childId);
    else this.#remove(childId);
  }

  updatePeer(childId: ChildId, peer: Endpoint): void {
    this.#deps.plane.updatePeer(childId, peer);
  }

  skipOutbound(childId: ChildId, packets: number): void {
    this.#deps.plane.skipOutbound(childId, packets);
  }

  peerResolved(addresses: readonly string[]): void {
    this.#deps.pinBypass(addresses);
  }

  end(): void {
    this.#leaving.end();
  }

  #remove(childId: ChildId): void {
    const { plane, removing } = this.#deps;
    removing(childId, plane.countersOf(childId));
    plane.remove(childId);
  }
}
