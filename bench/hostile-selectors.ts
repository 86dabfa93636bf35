import type { TrafficSelector } from '#culvert/wire/ike/payloads.js';

/** `count` selectors within a network that cut one another by address, by protocol and by port. */
export function plates(whole: TrafficSelector, count: number): TrafficSelector[] {
  const at = (address: Uint8Array, n: number): Uint8Array => Uint8Array.of(...address.subarray(0, 3), n);
  return Array.from({ length: count }, (_, i) => {
    const n = Math.floor(i / 3);
    if (i % 3 === 1) return { ...whole, protocol: 1 + 2 * n };
    if (i % 3 === 2) return { ...whole, startPort: 1 + 3 * n, endPort: 2 + 3 * n };
    return {
      ...whole,
      startAddress: at(whole.startAddress, 3 * n),
      endAddress: at(whole.endAddress, 3 * n + 1),
    };
  });
}
