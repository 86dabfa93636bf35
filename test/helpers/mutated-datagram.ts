import type { DatagramInput } from '../../src/ike/inputs.js';
import type { SeededRandom } from './seeded-random.js';
import type { Packet } from './virtual-net.js';

/** A packet of the virtual network as an engine gets it, with other octets if given. */
export function asInput(packet: Packet, bytes: Uint8Array = packet.bytes): DatagramInput {
  const { from, to, natTraversalPort } = packet;
  return { kind: 'datagram', local: to, remote: from, natTraversalPort, bytes };
}

/** Some octets changed, cut off, added, or a shorter message with a length field that fits. */
export function mutate(bytes: Uint8Array, random: SeededRandom): Uint8Array {
  const out = Uint8Array.from(bytes);
  switch (random.below(4)) {
    case 0:
      for (let i = 0; i <= random.below(4); i++) out[random.below(out.length)]! ^= 1 + random.below(255);
      return out;
    case 1:
      return out.subarray(0, random.below(out.length));
    case 2:
      return Uint8Array.from([...out, ...random.bytes(1 + random.below(40))]);
    default: {
      // Both versions have the length in the same place of the header.
      const cut = out.slice(0, Math.max(28, out.length - 1 - random.below(20)));
      cut.set([0, 0, cut.length >>> 8, cut.length & 0xff], 24);
      return cut;
    }
  }
}
