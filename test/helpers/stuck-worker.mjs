// A packet thread that takes its work and then does nothing any more, as one that hangs in a system call.
import { parentPort } from 'node:worker_threads';

parentPort.once('message', (setup) => {
  if (setup === null) return;
  parentPort.postMessage({ kind: 'ready', crypto: 'none' });
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0);
});
