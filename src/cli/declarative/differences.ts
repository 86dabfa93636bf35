type Fields = Readonly<Record<string, unknown>>;

/** Returns the value of a field of any object; undefined when it has none. */
export function at(object: object, field: string): unknown {
  return (object as Fields)[field];
}

/** `field: before -> after`. */
export function told(field: string, before: unknown, after: unknown): string {
  return `${field}: ${shown(before)} -> ${shown(after)}`;
}

function shown(value: unknown): string {
  if (Array.isArray(value)) return value.map(shown).join(', ') || 'none';
  if (typeof value === 'object' && value !== null) {
    return Object.entries(value)
      .map(([field, one]) => `${field} ${shown(one)}`)
      .join(' ');
  }
  return String(value);
}

/** Plain values; the order of fields does not count. */
export function differ(a: unknown, b: unknown): boolean {
  if (Array.isArray(a) && Array.isArray(b)) {
    return a.length !== b.length || a.some((one, index) => differ(one, b[index]));
  }
  if (typeof a === 'object' && a !== null && typeof b === 'object' && b !== null) {
    const fields = new Set([...Object.keys(a), ...Object.keys(b)]);
    return [...fields].some((field) => differ(at(a, field), at(b, field)));
  }
  return a !== b;
}

/** Pairs of one item of each list that are alike, and like no other item of the lists. */
export function unambiguousPairs<A, B>(
  first: readonly A[],
  second: readonly B[],
  alike: (a: A, b: B) => boolean,
): Map<A, B> {
  const pairs = new Map<A, B>();
  for (const a of first) {
    const found = second.filter((b) => alike(a, b));
    const only = found[0];
    if (found.length !== 1 || only === undefined) continue;
    if (first.filter((other) => alike(other, only)).length === 1) pairs.set(a, only);
  }
  return pairs;
}
