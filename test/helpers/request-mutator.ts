import { FIELDS, ODD, QUERIES, SEGMENTS } from './api-shapes.js';
import type { SeededRandom } from './seeded-random.js';

/** Changes of requests, at random and near to what the schema says. */
export class RequestMutator {
  readonly #random: SeededRandom;

  constructor(random: SeededRandom) {
    this.#random = random;
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }

  chance(share: number): boolean {
    return this.#random.fraction() < share;
  }

  /** The value with one place changed: replaced, left out, added, doubled, or put one level deeper. */
  value(value: unknown): unknown {
    if (Array.isArray(value)) {
      const at = this.#random.below(value.length + 1);
      const changes: (() => unknown)[] = [
        () => [...value.slice(0, at), this.pick(ODD), ...value.slice(at)],
        () => value.filter((_, index) => index !== at),
        () => [...value, ...value],
        () => value.map((item, index) => (index === at ? this.value(item) : item)),
        () => Array.from({ length: 40 }, (_, n) => value[n % value.length] ?? n),
      ];
      return this.pick(changes)();
    }
    if (typeof value === 'object' && value !== null && this.chance(0.9)) {
      const entries = Object.entries(value);
      const at = this.#random.below(entries.length);
      const changed = (make: (old: unknown) => unknown) =>
        Object.fromEntries(entries.map(([name, item], index) => [name, index === at ? make(item) : item]));
      if (this.chance(0.15)) return Object.fromEntries(entries.filter((_, index) => index !== at));
      if (this.chance(0.2)) return { ...value, [this.pick(FIELDS)]: this.pick(ODD) };
      return this.chance(0.5) ? changed((item) => this.value(item)) : changed(() => this.pick(ODD));
    }
    return this.chance(0.1) ? { value } : this.pick(ODD);
  }

  /** The value with one of all its places changed, each as likely as any other: for what is deep. */
  anywhere(value: unknown): unknown {
    const places = countPlaces(value);
    return this.#at(value, { left: this.#random.below(places) });
  }

  #at(value: unknown, place: { left: number }): unknown {
    if (place.left-- === 0) return this.chance(0.3) ? this.value(value) : this.pick(ODD);
    if (Array.isArray(value)) return value.map((item) => this.#at(item, place));
    if (typeof value !== 'object' || value === null) return value;
    return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, this.#at(item, place)]));
  }

  path(path: string): string {
    const [route, query] = path.split('?');
    if (this.chance(0.5)) return `${path}${query === undefined ? '?' : '&'}${this.pick(QUERIES)}`;
    const parts = route!.split('/');
    const at = 1 + this.#random.below(parts.length);
    parts[at] = this.pick(SEGMENTS);
    return parts.join('/') + (query === undefined ? '' : `?${query}`);
  }

  /** Text of a body with a few characters changed. */
  text(text: string): string {
    const at = this.#random.below(text.length);
    return (
      text.slice(0, at) +
      this.pick(['', '{', '"', ',', '\\', '[[[[[[', '\u0000', 'null', '1e999']) +
      text.slice(at + this.#random.below(3))
    );
  }
}

function countPlaces(value: unknown): number {
  if (typeof value !== 'object' || value === null) return 1;
  return Object.values(value).reduce<number>((sum, item) => sum + countPlaces(item), 1);
}
