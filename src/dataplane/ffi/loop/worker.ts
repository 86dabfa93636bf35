import { randomBytes } from 'node:crypto';
import { parentPort, workerData } from 'node:worker_threads';
import { createOpensslBackend } from '../../../crypto/backends/openssl/backend.js';
import { choosePacketCrypto, ipsecMbAllowed } from '../crypto/choose-crypto.js';
import { useArena } from '../memory/arena.js';
import type { WorkerReport, WorkerSetup } from './messages.js';
import { PacketLoop } from './packet-loop.js';

/**
 * The longest sleep. Orders wake the thread by the eventfd; this is only for a forced end, which shows when a
 * system call returns.
 */
const IDLE_MILLIS = 1000;

/** The longest rehearsal: half of it is enough on a quiet machine, and peers are still negotiating then. */
const REHEARSAL_MILLIS = 200;

/**
 * The thread of the packet path. It never returns to its event loop before it ends: messages to main leave
 * at once all the same, and nothing is sent to it but orders in the arena.
 */
function main(setup: WorkerSetup): void {
  const report = (message: WorkerReport): void => parentPort?.postMessage(message);
  let loop: PacketLoop | undefined;
  try {
    const arena = useArena(setup.memory, setup.vault);
    const random = { bytes: (length: number): Uint8Array => Uint8Array.from(randomBytes(length)) };
    const { crypto, note } = choosePacketCrypto(arena, createOpensslBackend(), random, {
      ipsecMb: ipsecMbAllowed(process.env),
    });
    loop = new PacketLoop(arena, crypto, setup, report);
    loop.rehearse(REHEARSAL_MILLIS);
    report({ kind: 'ready', crypto: crypto.name, ...(note === undefined ? {} : { note }) });
    while (loop.turn(IDLE_MILLIS));
  } catch (error) {
    report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  } finally {
    loop?.free();
  }
}

main(workerData as WorkerSetup);
