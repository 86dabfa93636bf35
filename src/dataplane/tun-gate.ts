/** State of the pair of threads that share a TUN device, in one Int32 of shared memory. */
export const TunGate = {
  /** The thread waits for packets. */
  WATCH: 0,
  /** There are packets: the main thread reads, the thread stands still. */
  DRAIN: 1,
  /** The thread ends. */
  STOP: 2,
} as const;

export interface TunWatchData {
  readonly fd: number;
  readonly gate: SharedArrayBuffer;
}

export type TunWatchReport = 'readable' | 'gone';
