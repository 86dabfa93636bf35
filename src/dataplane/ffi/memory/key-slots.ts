import { type Arena, KEY_SLOT_SIZE, KEY_SLOTS, Vaulted } from './arena.js';

/** Places in the vault for what is derived from keys: hash states of a MAC, the key schedule of a cipher. */
export class KeySlots {
  readonly #bytes: Arena['bytes'];
  /** Slots given back; those from `#fresh` on were never taken. */
  readonly #free: number[] = [];
  #fresh = 0;

  constructor(arena: Arena) {
    this.#bytes = arena.vault.bytes;
  }

  /** A zeroed slot. @throws RangeError when all are taken */
  take(): number {
    const slot = this.#free.pop() ?? this.#fresh++;
    if (slot >= KEY_SLOTS) throw new RangeError('no room for the keys of another SA');
    return slot;
  }

  /** Where it is in the vault: KEY_SLOT_SIZE octets, aligned to 64. */
  at(slot: number): number {
    return Vaulted.keySlots + slot * KEY_SLOT_SIZE;
  }

  /** Wipes it and gives it back. */
  give(slot: number): void {
    this.#bytes.fill(0, this.at(slot), this.at(slot) + KEY_SLOT_SIZE);
    this.#free.push(slot);
  }
}
