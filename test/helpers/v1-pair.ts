import { toHex } from '../../src/util/bytes.js';
import { describeSelector } from '../../src/wire/ike/describe.js';
import { type ConnectionPatch, type Pair, pair, type SimNode, type SimOptions } from './engine-pair.js';

/** A connection patch that speaks version 1 as initiator and takes both as responder. */
export function v1(patch: ConnectionPatch = {}): ConnectionPatch {
  return { initiateVersion: 1, acceptVersions: [1, 2], ...patch };
}

export type V1Options = SimOptions & { readonly east?: ConnectionPatch; readonly west?: ConnectionPatch };

export function v1Pair(options: V1Options = {}): Pair {
  return pair({ ...options, east: v1(options.east), west: v1(options.west) });
}

/** A pair that is up, or an error that says what is wrong with it. */
export function establishedV1(options: V1Options = {}, networkPairs = 1): Pair {
  const made = v1Pair(options);
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  const reason = v1Faults(made, networkPairs);
  if (reason !== undefined) throw new Error(reason);
  return made;
}

/** The networks of the child SAs of an end, seen from the east. */
function networks(node: SimNode): string[] {
  return [...node.childInfo.values()]
    .map(({ localTs, peerTs }) => {
      const sides = [localTs, peerTs].map((list) => list.map(describeSelector).join(','));
      return (node.name === 'east' ? sides : sides.reverse()).join('=');
    })
    .sort();
}

/**
 * What is wrong between the two, undefined when all is as it must be: one ISAKMP SA, the same at both ends, and
 * one child SA a pair of networks with the same keys crosswise.
 */
export function v1Faults({ east, west }: Pair, networkPairs = 1): string | undefined {
  for (const node of [east, west]) {
    if (node.ikes.size !== 1) return `${node.name} has ${node.ikes.size} ISAKMP SAs`;
    if (node.childInfo.size !== networkPairs) return `${node.name} reports ${node.childInfo.size} child SAs`;
    if (node.children.size !== networkPairs)
      return `${node.name} has ${node.children.size} child SAs installed`;
  }
  const [a] = east.ikes.values();
  const [b] = west.ikes.values();
  if (a!.initiatorSpi !== b!.initiatorSpi || a!.responderSpi !== b!.responderSpi)
    return 'two different ISAKMP SAs';
  if (a!.role === b!.role) return 'both have the same role';
  if (a!.version !== 1 || b!.version !== 1) return 'not version 1';
  const pairs = networks(east);
  if (new Set(pairs).size !== networkPairs) return `the same networks twice: ${pairs.join(' ')}`;
  if (pairs.join(' ') !== networks(west).join(' ')) return 'networks differ';
  for (const x of east.children.values()) {
    const y = [...west.children.values()].find((one) => one.spiIn === x.spiOut && one.spiOut === x.spiIn);
    if (y === undefined) return 'two different child SAs';
    for (const [one, other] of [
      [x.keysIn, y.keysOut],
      [x.keysOut, y.keysIn],
    ] as const) {
      if (toHex(one.encryption.expose()) !== toHex(other.encryption.expose()))
        return 'encryption keys differ';
      if (
        toHex(one.integrity?.expose() ?? new Uint8Array(0)) !==
        toHex(other.integrity?.expose() ?? new Uint8Array(0))
      ) {
        return 'integrity keys differ';
      }
    }
    if (x.encapsulation !== y.encapsulation) return 'encapsulations differ';
    for (const [node, child] of [
      [east, x],
      [west, y],
    ] as const) {
      if (!child.outbound && !node.activated.has(child.id)) return `${node.name} does not send`;
    }
  }
  return undefined;
}
