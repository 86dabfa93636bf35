/**
 * Octets that must not be seen: keys, shared secrets, pre-shared keys. Printing one in any way (string,
 * JSON, console, util.inspect) shows only its length, and `wipe()` overwrites it when its work is done.
 */
export class SecretKey {
  #bytes: Uint8Array;
  #wiped = false;

  /** Takes ownership of `bytes`: the caller keeps no other reference. */
  constructor(bytes: Uint8Array) {
    this.#bytes = bytes;
  }

  /** Octets in the key. Stays known after `wipe()`. */
  get length(): number {
    return this.#bytes.length;
  }

  get wiped(): boolean {
    return this.#wiped;
  }

  /**
   * The octets themselves, not a copy: use them at once and do not keep them.
   * @throws Error when the key was wiped; using a key after its life is a bug
   */
  expose(): Uint8Array {
    if (this.#wiped) throw new Error('this key was wiped: it cannot be used any more');
    return this.#bytes;
  }

  /** A second key with the same octets and a life of its own. */
  clone(): SecretKey {
    return new SecretKey(Uint8Array.from(this.expose()));
  }

  /** Overwrites the octets with zeros. Safe to call twice. */
  wipe(): void {
    this.#bytes.fill(0);
    this.#wiped = true;
  }

  toString(): string {
    return `[secret, ${this.length} bytes]`;
  }

  toJSON(): string {
    return this.toString();
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** Every key in a plain value: in the fields of objects, in lists and in maps, however deep. */
export function secretsIn(value: unknown): SecretKey[] {
  if (value instanceof SecretKey) return [value];
  if (typeof value !== 'object' || value === null || ArrayBuffer.isView(value)) return [];
  const inside = value instanceof Map ? [...value.values()] : Object.values(value);
  return inside.flatMap(secretsIn);
}

/**
 * A plain value once more, with keys and octets of its own, which live on when those are wiped: objects, lists, numbers,
 * texts, octets and keys, however deep.
 */
export function copyOfPlain<T>(value: T): T {
  return copied(value) as T;
}

function copied(value: unknown): unknown {
  if (value instanceof SecretKey) return value.clone();
  if (value instanceof Uint8Array) return Uint8Array.from(value);
  if (typeof value !== 'object' || value === null) return value;
  if (Array.isArray(value)) return value.map(copied);
  return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, copied(one)]));
}

/** Wipes every key in a plain value. Safe to call twice. */
export function wipeSecrets(value: unknown): void {
  for (const key of secretsIn(value)) key.wipe();
}
