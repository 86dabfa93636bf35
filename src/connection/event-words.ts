import type { NatReport } from '../ike/path/nat-detection.js';
import { describeSelector } from '../wire/ike/describe.js';
import type { TrafficSelector } from '../wire/ike/payloads.js';

/** Networks, as the log lines have them. */
export function selectors(list: readonly TrafficSelector[]): string {
  return list.map(describeSelector).join(',');
}

/** Which ends are behind a NAT, to follow another text; empty when none is. */
export function natWords({ local, peer, peerMayForce }: NatReport): string {
  const ours = local ? ', this end behind NAT' : '';
  return !peer ? ours : `${ours}, the peer behind NAT${peerMayForce ? ' or forcing UDP encapsulation' : ''}`;
}
