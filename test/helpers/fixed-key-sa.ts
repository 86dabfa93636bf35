import type { EspSuite } from '../../src/crypto/types.js';
import type { Offload } from '../../src/dataplane/offload.js';
import { espLayout } from '../../src/esp/layout.js';
import type { EspPair } from '../../src/esp/params.js';
import { cidrOf, cidrRange } from '../../src/util/ip.js';
import { SecretKey } from '../../src/util/secret.js';

/** What a gateway of fixed-key-gateway.ts is told. */
export interface GatewaySetup {
  readonly side: 'a' | 'b';
  readonly local: string;
  readonly peer: string;
  readonly localNets: readonly string[];
  readonly peerNets: readonly string[];
  readonly suite: EspSuite;
  readonly mtu: number;
  /** ESP in UDP unless given. */
  readonly encapsulation?: 'udp' | 'esp';
  /** Has a raw socket, too, where it sends ESP in UDP. */
  readonly raw?: boolean;
  /** `none` or left out: the defaults. */
  readonly offload?: Partial<Offload> | 'none';
  /** 1 unless given. The child SA `id` belongs to worker `id` mod workers. */
  readonly workers?: number;
  /** Each worker has the socket of another one: all ESP in UDP comes to the wrong place. */
  readonly misrouted?: boolean;
}

function keyOf(length: number, id: number, direction: number): SecretKey {
  return new SecretKey(Uint8Array.from({ length }, (_, i) => (i * 7 + id * 31 + direction * 101 + 1) & 0xff));
}

/** The pair of SAs `id` as one side has it. */
export function pairOf(setup: GatewaySetup, id: number, outbound: boolean): EspPair {
  const layout = espLayout(setup.suite);
  const keys = (direction: number) => ({
    encryption: keyOf(layout.keyLength + layout.saltLength, id, direction),
    ...(layout.aead ? {} : { integrity: keyOf(layout.integrityKeyLength, id, direction + 8) }),
  });
  const towardsA = 0x90000000 + id;
  const towardsB = 0x10000000 + id;
  const selector = (text: string) => {
    const range = cidrRange(cidrOf(text));
    return {
      tsType: range.start.length === 4 ? 7 : 8,
      protocol: 0,
      startPort: 0,
      endPort: 65535,
      startAddress: range.start,
      endAddress: range.end,
    };
  };
  const a = setup.side === 'a';
  return {
    id,
    spiIn: a ? towardsA : towardsB,
    spiOut: a ? towardsB : towardsA,
    suite: setup.suite,
    keysIn: keys(a ? 0 : 1),
    keysOut: keys(a ? 1 : 0),
    localTs: setup.localNets.map(selector),
    peerTs: setup.peerNets.map(selector),
    encapsulation: setup.encapsulation ?? 'udp',
    local: { address: setup.local, port: 4500 },
    peer: { address: setup.peer, port: 4500 },
    outbound,
  };
}
