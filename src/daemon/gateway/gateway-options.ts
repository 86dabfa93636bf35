import { isIP } from 'node:net';
import { availableParallelism } from 'node:os';
import { createOpensslBackend } from '../../crypto/backends/openssl/backend.js';
import type { CryptoBackend } from '../../crypto/types.js';
import { defaultWorkers, type PreparedWorkers } from '../../dataplane/ffi/loop/worker-group.js';
import { DEFAULT_OFFLOAD, type Offload } from '../../dataplane/offload.js';
import type { PacketDevice } from '../../dataplane/packet-device.js';
import { DEFAULT_LIMITS, type EngineLimits } from '../../ike/limits.js';
import type { TunDevice } from '../../linux/tun.js';
import type { GatewayFile } from '../../store/model.js';
import type { Logger } from '../../telemetry/log.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Random } from '../../util/random.js';
import type { SecretKey } from '../../util/secret.js';
import type { Term } from '../../util/term.js';
import type { ControlServer } from '../control/server.js';
import type { StandbyLink } from '../core/active-side.js';
import { linuxFilter } from '../host/clear-guard.js';
import { linuxNetwork } from '../host/host-network.js';
import type { Host } from '../host/host-side.js';
import type { DataPlaneChoice } from '../host/packet-path.js';
import { type Clock, systemClock } from '../system/clock.js';
import { type Resolve, systemResolve } from '../system/names-service.js';
import { type Ports, STANDARD_PORTS } from '../system/ports.js';
import { systemRandom } from '../system/random.js';
import type { Reread } from './reload.js';

/** What a gateway is started with. All but the file, the keys and the logger has a default: see `setupOf`. */
export interface GatewayOptions {
  readonly file: GatewayFile;
  /** By connection id, from `readPsks`. The caller wipes them after `stop`. */
  readonly psks: ReadonlyMap<ConnectionId, SecretKey>;
  readonly logger: Logger;
  /** Default `auto`. */
  readonly dataPlane?: DataPlaneChoice;
  /** For the portable data plane, in place of a TUN device. */
  readonly device?: PacketDevice;
  /** Worker threads of the data plane, a power of two, in place of the number in the file. */
  readonly workers?: number;
  /** Worker threads that were made before the number was known; the caller closes those that are not taken. */
  readonly prepared?: PreparedWorkers;
  /** The TUN device, made before and shared with the process of another member; the gateway closes it. */
  readonly tun?: TunDevice;
  /** Kernel offloads of the data plane, in place of those in the file. */
  readonly offload?: Offload;
  /** Octets of the longest inner packet; chosen to fit every suite on a path of 1500 when left out. */
  readonly mtu?: number;
  /** Where another host has copies of the keys: the term in which this one seals, and the way to its image. */
  readonly copied?: { readonly term: Term; readonly link: StandbyLink };
  /** Called when a client asks the daemon to end. */
  readonly onStopRequest?: () => void;
  /**
   * Reads the configuration again for a reload. Left out where a supervisor hands over configurations
   * (`reconfigure`), so that nothing is read again here.
   */
  readonly reread?: Reread;
  /** In place of one at `gateway.control`: listens already, and is closed by the caller. */
  readonly control?: ControlServer;

  // What tests put in the place of the machine.
  readonly ports?: Ports;
  readonly clock?: Clock;
  readonly random?: Random;
  readonly crypto?: CryptoBackend;
  readonly limits?: EngineLimits;
  readonly resolve?: Resolve;
  /** `none`: routing and packet filter of the host stay as they are. */
  readonly host?: Host | 'none';
}

/**
 * What becomes of the networks behind the peers when the gateway has stopped. `open`: the host is as it was before,
 * as an operator wants it who stops the gateway. `closed`: they stay unreachable, and clear packets from them are
 * discarded, until the next start takes both over: for a restart, and where no operator asked for the end. `handed`: a
 * process that is ready takes over at once: address, routes and the rest stay as they are, and only peers that have
 * to initiate themselves hear of the end.
 */
export type AfterStop = 'open' | 'closed' | 'handed';

/**
 * Inner MTU when nothing else is said: fits a path of 1500 octets with every suite, UDP encapsulation included
 * (AES-CBC with a 32-octet ICV leaves 1406 after IPv4 and 1390 after IPv6).
 */
const INNER_MTU = { 4: 1400, 6: 1380 } as const;

/** The options with all that was left out filled in, and `host` undefined for a host that stays as it is. */
export type GatewaySetup = Required<Omit<GatewayOptions, Optional | 'host'>> &
  Pick<GatewayOptions, Optional> & { readonly host: Host | undefined };
type Optional = 'device' | 'reread' | 'control' | 'prepared' | 'tun' | 'copied';

/** Fills in the defaults. Where several sources state a value, the options win over the file. */
export function setupOf(options: GatewayOptions): GatewaySetup {
  const { file, dataPlane = 'auto' } = options;
  const { gateway } = file;
  return {
    clock: systemClock,
    random: systemRandom,
    crypto: options.crypto ?? createOpensslBackend(),
    ports: STANDARD_PORTS,
    limits: { ...DEFAULT_LIMITS, ...file.limits },
    resolve: systemResolve,
    offload: { ...DEFAULT_OFFLOAD, ...gateway.offload },
    mtu: INNER_MTU[isIP(gateway.address) === 6 ? 6 : 4],
    onStopRequest: () => undefined,
    ...options,
    dataPlane,
    workers: workersOf(options),
    host: hostOf(options),
  };
}

function hostOf({ host, device }: GatewayOptions): Host | undefined {
  if (host === 'none') return undefined;
  return host ?? (device === undefined ? { network: linuxNetwork, filter: linuxFilter } : undefined);
}

/** The portable path has the main thread alone. */
function workersOf({ dataPlane, workers, file }: GatewayOptions): number {
  if (dataPlane === 'portable') return 1;
  return workers ?? file.gateway.workers ?? defaultWorkers(availableParallelism());
}
