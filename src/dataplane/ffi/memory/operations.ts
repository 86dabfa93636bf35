import { createPacketMemory, type PacketMemory } from '../../../esp/offload/packet-memory.js';
import type { Arena } from './arena.js';

const made = new WeakMap<Arena, PacketMemory>();

/**
 * Sums and copies over an arena, always the same ones: a call that meets the functions of several WebAssembly instances,
 * those of a rehearsal and those of the real thing, is compiled to slower code.
 */
export function operationsOf(arena: Arena): PacketMemory {
  let operations = made.get(arena);
  if (operations === undefined) {
    operations = createPacketMemory(arena.memory);
    made.set(arena, operations);
  }
  return operations;
}
