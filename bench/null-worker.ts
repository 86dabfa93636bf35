import { parentPort, workerData } from 'node:worker_threads';
import type { PacketCrypto } from '#culvert/dataplane/ffi/crypto/packet-crypto.js';
import type { WorkerMemory, WorkerReport, WorkerSetup } from '#culvert/dataplane/ffi/loop/messages.js';
import { PacketLoop } from '#culvert/dataplane/ffi/loop/packet-loop.js';
import { useArena } from '#culvert/dataplane/ffi/memory/arena.js';
import { operationsOf } from '#culvert/dataplane/ffi/memory/operations.js';
import { ESP_TRAILER_LENGTH, type EspLayout, espLayout, padLength } from '#culvert/esp/layout.js';
import { splitKeys, wipeKeys } from '#culvert/esp/sa-keys.js';
import { writeTrailer } from '#culvert/esp/trailer.js';
import { writeU32 } from '#culvert/util/bytes.js';

/**
 * The packet thread without cryptography, to see what everything else costs: packets as long as those of the
 * suite, copied instead of sealed. It exists in the benchmarks only and nothing can negotiate it.
 */
function main({ memory, vault, wakeFd }: WorkerMemory, setup: WorkerSetup): void {
  const report = (message: WorkerReport): void => parentPort?.postMessage(message);
  const arena = useArena(memory, vault);
  const { copy } = operationsOf(arena);
  const { bytes } = arena;
  const crypto: PacketCrypto = {
    name: 'null',
    supports: () => true,
    sealer(suite, spi, keys) {
      const layout: EspLayout = espLayout(suite);
      wipeKeys(splitKeys(layout, keys));
      return {
        layout,
        seal(innerAt, innerLength, nextHeader, sequence, outAt) {
          const padding = padLength(layout, innerLength);
          writeTrailer(bytes, innerAt + innerLength, padding, nextHeader);
          writeU32(bytes, outAt, spi);
          writeU32(bytes, outAt + 4, sequence);
          const body = innerLength + padding + ESP_TRAILER_LENGTH;
          copy(outAt + layout.bodyOffset, innerAt, body);
          return layout.bodyOffset + body + layout.icvLength;
        },
        complete() {},
        enterTerm() {},
        free() {},
      };
    },
    opener(suite, keys) {
      const layout: EspLayout = espLayout(suite);
      wipeKeys(splitKeys(layout, keys));
      return {
        layout,
        open(packetAt, length, outAt) {
          const body = length - layout.bodyOffset - layout.icvLength;
          copy(outAt, packetAt + layout.bodyOffset, body);
          return body;
        },
        free() {},
      };
    },
  };
  const loop = new PacketLoop(arena, crypto, { ...setup, wakeFd }, report);
  report({ kind: 'ready', crypto: crypto.name });
  while (loop.turn(1000));
  loop.free();
}

parentPort?.once('message', (setup: WorkerSetup | null) => {
  if (setup !== null) main(workerData as WorkerMemory, setup);
});
