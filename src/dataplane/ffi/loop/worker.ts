import { randomBytes } from 'node:crypto';
import { parentPort, receiveMessageOnPort, workerData } from 'node:worker_threads';
import { createOpensslBackend } from '../../../crypto/backends/openssl/backend.js';
import { ownThread } from '../../../linux/threads.js';
import { DEFAULT_OFFLOAD, needsVirtioHeader } from '../../offload.js';
import { choosePacketCrypto, ipsecMbAllowed } from '../crypto/choose-crypto.js';
import { useArena } from '../memory/arena.js';
import type { WorkerMemory, WorkerReport, WorkerSetup } from './messages.js';
import { PacketLoop } from './packet-loop.js';

/**
 * The longest sleep. Orders wake the thread by the eventfd; this is only for a forced end, which shows when a
 * system call returns.
 */
const IDLE_MILLIS = 1000;

/** The longest rehearsal: half of it is enough on a quiet machine, and peers are still negotiating then. */
const REHEARSAL_MILLIS = 200;

/** What is rehearsed with: no descriptor, since the kernel has no part in it, and the usual form of packets. */
const REHEARSED: WorkerSetup = {
  tunFd: -1,
  espFds: [-1],
  virtioHeader: needsVirtioHeader(DEFAULT_OFFLOAD),
  offload: DEFAULT_OFFLOAD,
};

/**
 * The thread of the packet path. What needs no descriptors is done before there are any, beside the start of the main
 * thread. Once it has its work it never returns to its event loop before it ends: messages to main leave at once all
 * the same, and what is sent to it are orders in the arena, and memory that an order is about.
 */
function main({ memory, vault, wakeFd }: WorkerMemory): void {
  const report = (message: WorkerReport): void => parentPort?.postMessage(message);
  const failed = (error: unknown): void =>
    report({ kind: 'failed', reason: error instanceof Error ? error.message : String(error) });
  try {
    const arena = useArena(memory, vault);
    const random = { bytes: (length: number): Uint8Array => Uint8Array.from(randomBytes(length)) };
    const { crypto, note } = choosePacketCrypto(arena, createOpensslBackend(), random, {
      ipsecMb: ipsecMbAllowed(process.env),
    });
    // The thread never comes back to its event loop, so it looks for messages itself.
    const posted = (): SharedArrayBuffer | undefined =>
      parentPort === null ? undefined : receiveMessageOnPort(parentPort)?.message;
    const loopOf = (setup: WorkerSetup): PacketLoop =>
      new PacketLoop(arena, crypto, { ...setup, wakeFd }, report, { posted });
    loopOf(REHEARSED).rehearse(REHEARSAL_MILLIS);
    parentPort?.once('message', (setup: WorkerSetup | null) => {
      // Without work it has nothing left to live for.
      if (setup === null) return;
      let loop: PacketLoop | undefined;
      try {
        loop = loopOf(setup);
        if ((setup.virtioHeader ?? false) !== REHEARSED.virtioHeader) loop.rehearse(REHEARSAL_MILLIS);
        report({
          ...{ kind: 'ready', crypto: crypto.name, thread: ownThread() },
          ...(note === undefined ? {} : { note }),
        });
        while (loop.turn(IDLE_MILLIS));
      } catch (error) {
        failed(error);
      } finally {
        loop?.free();
      }
    });
  } catch (error) {
    failed(error);
  }
}

main(workerData as WorkerMemory);
