/** State of the pair of threads that share a TUN device, in one Int32 of shared memory. */
export const TunGate = {
  /** The thread waits for packets. */
  WATCH: 0,
  /** There are packets: the main thread reads, the thread pauses. */
  DRAIN: 1,
  /** The thread ends. */
  STOP: 2,
} as const;

/** What the thread that waits for a TUN device is made with: the descriptor, and the gate it shares with main. */
export interface TunWatchData {
  readonly fd: number;
  readonly gate: SharedArrayBuffer;
}

/** What that thread reports: there are packets, or the device is gone. */
export type TunWatchReport = 'readable' | 'gone';
