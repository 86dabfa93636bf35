import { err, ok, type Result } from '../util/result.js';

/**
 * Which of the kernel's offloads the packet path uses. Each works without the others, and each turns itself
 * off when the kernel refuses it.
 */
export interface Offload {
  /** TUN hands over TCP super-packets, to be split here. Brings the virtio-net header. */
  readonly tso: boolean;
  /** TUN hands over UDP trains too, and takes them (Linux 6.2). Some kernels damage what was merged. */
  readonly uso: boolean;
  /** TCP segments that leave the tunnel are merged into super-packets for TUN. */
  readonly coalesce: boolean;
  /** One call sends up to 64 datagrams of one size (UDP_SEGMENT). */
  readonly segment: boolean;
  /** One call receives many datagrams of one peer (UDP_GRO). */
  readonly gro: boolean;
}

/** What is used where the configuration says nothing: what no known kernel gets wrong. */
export const DEFAULT_OFFLOAD: Offload = { tso: true, uso: false, coalesce: true, segment: true, gro: true };

/** Packets one by one, without help of the kernel. */
export const NO_OFFLOAD: Offload = { tso: false, uso: false, coalesce: false, segment: false, gro: false };

/** Whether packets on TUN carry the virtio-net header. */
export function needsVirtioHeader({ tso, uso, coalesce }: Offload): boolean {
  return tso || uso || coalesce;
}

/**
 * The offloads that a list names, by their names and commas between: these alone are on. `all` is every one
 * that is safe everywhere, `none` is none.
 * @returns the first name that is not known as the error
 */
export function parseOffload(text: string): Result<Offload, string> {
  if (text === 'all') return ok(DEFAULT_OFFLOAD);
  if (text === 'none') return ok(NO_OFFLOAD);
  const names = text.split(',').map((name) => name.trim());
  const unknown = names.find((name) => !Object.hasOwn(NO_OFFLOAD, name));
  if (unknown !== undefined) return err(unknown);
  return ok({ ...NO_OFFLOAD, ...Object.fromEntries(names.map((name) => [name, true])) });
}
