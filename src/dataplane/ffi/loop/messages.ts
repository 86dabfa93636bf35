import type { DeviceNumber } from '../../../util/ids.js';
import type { Offload } from '../../offload.js';
import type { SharedMemory } from '../memory/arena.js';

/** What one of several workers needs to hand packets over to the others, and to take theirs. */
export interface GroupSetup {
  /** This one's number: it owns the SAs with inbound SPI mod workers = index. */
  readonly index: number;
  readonly workers: number;
  /** The eventfd of every worker. */
  readonly wakeFds: readonly number[];
  /** Rings by the number of the worker at the other end; none where it is this one. */
  readonly inbox: readonly (SharedArrayBuffer | undefined)[];
  readonly outbox: readonly (SharedArrayBuffer | undefined)[];
  /** One i32 per worker: 1 as long as it has been woken and has not looked into its inbox since. */
  readonly alarms: SharedArrayBuffer;
}

/** What a thread is made with, before it is known what for: it loads its code and tries out its cryptography. */
export interface WorkerMemory {
  readonly memory: SharedMemory;
  /** Where keys and calls are. */
  readonly vault: SharedMemory;
  readonly wakeFd: number;
}

/** The one message to a worker: what it begins to work on. Everything later goes through the arena. */
export interface WorkerSetup {
  readonly tunFd: number;
  readonly espFds: readonly number[];
  /** Socket for ESP without UDP. */
  readonly rawFd?: number;
  /** Whether packets on TUN carry the virtio-net header. */
  readonly virtioHeader?: boolean;
  /** Left out: none. */
  readonly offload?: Offload;
  /** Left out for a worker that is alone. */
  readonly group?: GroupSetup;
}

/** What the worker reports to main. `socket` is the index of the ESP socket; addresses are canonical text. */
export type WorkerReport =
  /** `thread`: as the kernel numbers it; undefined where that cannot be learned. */
  | {
      readonly kind: 'ready';
      readonly crypto: string;
      readonly note?: string;
      readonly thread?: number | undefined;
    }
  /** The control ring has room again. */
  | { readonly kind: 'space' }
  | {
      readonly kind: 'ike';
      readonly socket: number;
      readonly address: string;
      readonly port: number;
      readonly bytes: Uint8Array;
    }
  | { readonly kind: 'moved'; readonly id: number; readonly address: string; readonly port: number }
  | { readonly kind: 'acquire'; readonly destination: Uint8Array; readonly device: DeviceNumber }
  /** A further TUN device is not used any more: its descriptor may be closed. */
  | { readonly kind: 'released'; readonly device: DeviceNumber }
  /** The kernel spoke of another path MTU: to the peer of this child SA, or of any. */
  | { readonly kind: 'path'; readonly id?: number }
  /** An offload turned itself off. */
  | { readonly kind: 'offload'; readonly name: keyof Offload; readonly errno: number }
  | { readonly kind: 'failed'; readonly reason: string };
