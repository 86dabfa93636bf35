import { workerData } from 'node:worker_threads';
import { HandoverWriter } from '../../src/dataplane/ffi/memory/handover-ring.js';
import { addressOf, hostBuffer } from '../../src/linux/ffi.js';

/** What the thread is started with. */
export interface ProducerSetup {
  readonly ring: SharedArrayBuffer;
  readonly packets: number;
  /** Word 0 counts the refusals of a full ring. */
  readonly refusals: SharedArrayBuffer;
}

/** Octets of packet `i`: from 8 up, now and then as long as a super-packet. */
export function lengthOf(i: number): number {
  return i % 97 === 0 ? 60_000 + (i % 5000) : 8 + (Math.imul(i, 2654435761) >>> 21);
}

/** Writes packet `i`: its number in front and at the end, the same octet between. */
export function writePacket(bytes: Uint8Array, i: number): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset);
  const length = lengthOf(i);
  bytes.fill(i & 0xff, 0, length);
  view.setUint32(0, i);
  view.setUint32(length - 4, i);
}

function produce({ ring, packets, refusals }: ProducerSetup): void {
  const writer = new HandoverWriter(ring);
  const bytes = hostBuffer(70_000);
  const name = hostBuffer(32);
  const count = new Int32Array(refusals);
  for (let i = 0; i < packets; i++) {
    writePacket(bytes, i);
    name.fill(i & 0x7f);
    while (!writer.put((i & 1) + 1, addressOf(bytes), lengthOf(i), i & 0xff, addressOf(name))) {
      Atomics.add(count, 0, 1);
    }
  }
}

if (workerData?.ring !== undefined) produce(workerData as ProducerSetup);
