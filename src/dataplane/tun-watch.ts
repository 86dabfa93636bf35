import { parentPort, workerData } from 'node:worker_threads';
import { addressOf, hostBuffer } from '../linux/ffi.js';
import { POLLFD_SIZE, POLLIN, poll, pollEvents, writePollFd } from '../linux/poll.js';
import { TunGate, type TunWatchData, type TunWatchReport } from './tun-gate.js';

/**
 * Thread that waits until a TUN device has packets, for the main thread, which must not block. It reads
 * nothing itself: after a report it pauses until the main thread has emptied the device.
 */
const { fd, gate } = workerData as TunWatchData;
const state = new Int32Array(gate);
const request = hostBuffer(POLLFD_SIZE);
const view = new DataView(request.buffer);
const address = addressOf(request);
const report = (message: TunWatchReport): void => parentPort!.postMessage(message);

while (Atomics.load(state, 0) !== TunGate.STOP) {
  writePollFd(view, 0, fd, POLLIN);
  // The bound on the wait is what a stop may take.
  if (poll(address, 1, 100) <= 0) continue;
  const events = pollEvents(view, 0);
  if ((events & POLLIN) === 0) {
    report('gone');
    break;
  }
  if (Atomics.compareExchange(state, 0, TunGate.WATCH, TunGate.DRAIN) !== TunGate.WATCH) break;
  report('readable');
  Atomics.wait(state, 0, TunGate.DRAIN);
}
