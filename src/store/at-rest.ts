import type { Sealer } from './sealing.js';

/** A value in two parts: what may lie open, and its secrets as a `Sealer` writes them. */
export interface DividedValue {
  readonly open: unknown;
  readonly secrets: Buffer | null;
}

/** Divides values into what may lie open and what is sealed, and puts them together again: the same for every engine. */
export class AtRest {
  readonly sealer: Sealer;
  readonly #secretFields: Readonly<Record<string, readonly string[]>>;

  /** @param secretFields fields at the top of a value that are secrets, by kind */
  constructor(sealer: Sealer, secretFields: Readonly<Record<string, readonly string[]>>) {
    this.sealer = sealer;
    this.#secretFields = secretFields;
  }

  divide(kind: string, id: string, value: unknown): DividedValue {
    const fields = this.#secretFields[kind] ?? [];
    const entries = fields.length === 0 ? [] : Object.entries(value as object);
    const secrets = entries.filter(([field]) => fields.includes(field));
    if (secrets.length === 0) return { open: value, secrets: null };
    const open = Object.fromEntries(entries.filter(([field]) => !fields.includes(field)));
    const text = JSON.stringify(Object.fromEntries(secrets));
    return { open, secrets: this.sealer.seal(text, `${kind}/${id}`) };
  }

  /** @throws StoreError `sealed`, `damaged` */
  join(kind: string, id: string, { open, secrets }: DividedValue): unknown {
    if (secrets === null) return open;
    return { ...(open as object), ...JSON.parse(this.sealer.open(secrets, `${kind}/${id}`)) };
  }
}
