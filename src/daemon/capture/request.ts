import type { ConnectionId } from '../../util/ids.js';
import type { Seconds } from '../../util/units.js';

/** What a capture takes, and when it ends. */
export interface CaptureRequest {
  readonly connection: ConnectionId;
  readonly seconds: Seconds;
  /** Octets of the file. */
  readonly bytes: number;
  /** Octets that are kept of a packet. */
  readonly snap: number;
  /** Inner packets too, which are in the clear. */
  readonly inner: boolean;
  /** Dropped packets too, with the reason. */
  readonly dropped: boolean;
  /** Hand out the keys. */
  readonly keys: boolean;
}

/** Why a capture ended: its time was over, its file was full, or it was stopped. */
export type CaptureEnd = 'time' | 'full' | 'stopped';

/** What became of a capture. */
export interface CaptureReport {
  readonly ended: CaptureEnd;
  /** Packets and octets in the file. */
  readonly packets: number;
  readonly bytes: number;
  /** Packets that passed uncaptured, since they came faster than they were taken. */
  readonly lost: number;
  /** Child SAs that were established when it began: their keys are with the packet path alone. */
  readonly child_sas_without_keys?: number;
  /** SAs with a suite that Wireshark has no name for. */
  readonly sas_wireshark_cannot_decrypt?: number;
}
