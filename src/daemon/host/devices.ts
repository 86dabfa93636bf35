import type { ConnectionProblem } from '../../connection/document.js';
import type { DataPlane } from '../../dataplane/dataplane.js';
import type { GatewayConnection, GatewaySettings } from '../../store/model.js';
import type { ConnectionId, DeviceNumber, WorkerIndex } from '../../util/ids.js';
import { oneLine } from '../../util/operator-error.js';

/** Longest name of a device (IFNAMSIZ without the final zero). */
const MAX_NAME = 15;

interface Device {
  readonly name: string;
  /** Its number in the data plane. */
  readonly number: DeviceNumber;
}

/**
 * Which TUN device each connection has. In policy mode all share the gateway's. In route mode each has one of
 * its own, named by its `interface`; the first that names none has the gateway's, the others get the next free
 * number after its letters (culvert1, culvert2, …) and keep it as long as they are configured.
 */
export class ConnectionDevices {
  readonly #plane: Pick<DataPlane, 'addDevice' | 'removeDevice'>;
  readonly #settings: Pick<GatewaySettings, 'mode' | 'interface'>;
  readonly #workerOf: (connection: ConnectionId) => WorkerIndex;
  readonly #byConnection = new Map<ConnectionId, Device>();

  /** @param workerOf the packet worker that a connection's child SAs belong to */
  constructor(
    plane: Pick<DataPlane, 'addDevice' | 'removeDevice'>,
    settings: Pick<GatewaySettings, 'mode' | 'interface'>,
    workerOf: (connection: ConnectionId) => WorkerIndex = () => 0,
  ) {
    this.#plane = plane;
    this.#settings = settings;
    this.#workerOf = workerOf;
  }

  /** Opens the devices that are missing. @returns what went wrong, by connection */
  open(connections: readonly GatewayConnection[]): Map<ConnectionId, ConnectionProblem> {
    const problems = new Map<ConnectionId, ConnectionProblem>();
    if (this.#settings.mode === 'policy') return problems;
    const taken = new Set(connections.flatMap((one) => one.interface ?? []));
    // Names that the operator chose come first: the others count around them.
    const ordered = [...connections].sort(
      (a, b) => Number(b.interface !== undefined) - Number(a.interface !== undefined),
    );
    for (const { id, interface: wanted } of ordered) {
      if (this.#byConnection.has(id)) continue;
      try {
        this.#byConnection.set(id, this.#make(id, wanted ?? this.#freeName(taken)));
      } catch (error) {
        problems.set(id, { cause: 'tun_error', message: oneLine(error) });
      }
    }
    return problems;
  }

  /** Closes the devices of connections that are not configured any more. Their child SAs are gone by now. */
  close(connections: readonly GatewayConnection[]): void {
    const wanted = new Set(connections.map(({ id }) => id));
    for (const [id, { number }] of this.#byConnection) {
      if (wanted.has(id)) continue;
      this.#byConnection.delete(id);
      if (number !== 0) this.#plane.removeDevice(number);
    }
  }

  /** The device's name; undefined when it could not be opened. */
  nameOf(connection: ConnectionId): string | undefined {
    return this.#settings.mode === 'policy'
      ? this.#settings.interface
      : this.#byConnection.get(connection)?.name;
  }

  /** The device's number in the data plane; undefined when it could not be opened. */
  numberOf(connection: ConnectionId): DeviceNumber | undefined {
    return this.#settings.mode === 'policy' ? 0 : this.#byConnection.get(connection)?.number;
  }

  /** The one connection that has this device; undefined in policy mode, where its networks decide. */
  connectionOf(number: DeviceNumber): ConnectionId | undefined {
    for (const [id, device] of this.#byConnection) if (device.number === number) return id;
    return undefined;
  }

  #make(connection: ConnectionId, name: string): Device {
    if (name === this.#settings.interface) return { name, number: 0 };
    return { name, number: this.#plane.addDevice(name, this.#workerOf(connection)) };
  }

  #freeName(taken: ReadonlySet<string>): string {
    const used = new Set([...taken, ...[...this.#byConnection.values()].map(({ name }) => name)]);
    const first = this.#settings.interface;
    if (!used.has(first)) return first;
    const letters = first.replace(/[0-9]+$/, '');
    for (let n = 1; ; n++) {
      const name = `${letters.slice(0, MAX_NAME - String(n).length)}${n}`;
      if (!used.has(name) && name !== first) return name;
    }
  }
}
