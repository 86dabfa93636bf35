/** What both versions of IKE ask of a list of payloads, and put into one. */

interface Kinded {
  readonly kind: string;
}

/** The payloads of a list that are of one kind: some records serve two kinds (`idi` and `idr`, `tsi` and `tsr`). */
type OfKind<P extends Kinded, K extends P['kind']> = P & { readonly kind: K };

/** The first payload of a kind. */
export function find<P extends Kinded, K extends P['kind']>(
  payloads: readonly P[],
  kind: K,
): OfKind<P, K> | undefined {
  return payloads.find((one): one is OfKind<P, K> => one.kind === kind);
}

/** The payload of a kind that may be there once only; undefined when it is not there, or more than once. */
export function only<P extends Kinded, K extends P['kind']>(
  payloads: readonly P[],
  kind: K,
): OfKind<P, K> | undefined {
  const first = find(payloads, kind);
  return payloads.every((one) => one === first || one.kind !== kind) ? first : undefined;
}

/** What an exchange needs, by kind, when the message has each of these payloads exactly once; undefined when not. */
export function exactlyOne<P extends Kinded, K extends P['kind']>(
  payloads: readonly P[],
  ...kinds: readonly K[]
): { readonly [Kind in K]: OfKind<P, Kind> } | undefined {
  const found: Partial<Record<K, P>> = {};
  for (const kind of kinds) {
    const one = only(payloads, kind);
    if (one === undefined) return undefined;
    found[kind] = one;
  }
  return found as { readonly [Kind in K]: OfKind<P, Kind> };
}

/** What a notification is about, and what it says. */
export interface NotifyContent {
  /** 0, no SA in particular, when left out. */
  readonly protocol?: number;
  readonly spi?: Uint8Array;
  readonly data?: Uint8Array;
}

const EMPTY = new Uint8Array(0);

/** The fields that a notification has in both versions (RFC 7296 §3.10, RFC 2408 §3.14). */
export function notification(type: number, { protocol = 0, spi = EMPTY, data = EMPTY }: NotifyContent = {}) {
  return { kind: 'notify', protocol, spi, type, data } as const;
}
