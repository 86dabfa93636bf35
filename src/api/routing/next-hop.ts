import type { ConnectionRecord, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import { ipToNumber, parseIp } from '../../util/ip.js';
import type { GatewayObservation } from '../runner.js';

/** A tunnel of a connection: the member it ends at, and its TUN device when packets can go through it. */
interface Tunnel {
  readonly address: bigint;
  readonly device: string | undefined;
}

/**
 * The TUN device through which packets to a connection go: of the tunnels that are up the one whose member has the
 * numerically smaller public address. Undefined while none is up, and the route is skipped; `unknown` while a member
 * has not been seen yet.
 */
export function deviceTo(
  { id }: StoredObject<ConnectionRecord>,
  gateway: GatewayRecord,
  observation: GatewayObservation | undefined,
): string | { readonly unknown: true } | undefined {
  const tunnels = gateway.members.flatMap(({ publicAddress }, member): Tunnel[] => {
    const ip = publicAddress === undefined ? undefined : parseIp(publicAddress);
    if (ip === undefined) return [];
    const document = observation?.members[member]?.connections.find((one) => one.id === id);
    const isUp = document !== undefined && document.status !== 'down';
    return [{ address: ipToNumber(ip), device: isUp ? document.interface : undefined }];
  });
  const up = tunnels.filter(({ device }) => device !== undefined);
  const [first] = up.sort((a, b) => (a.address < b.address ? -1 : 1));
  if (first?.device !== undefined) return first.device;
  return isBeingSought(observation) ? { unknown: true } : undefined;
}

/** Whether a member may run of which the server does not know yet: it has been started, and looks for it. */
function isBeingSought(observation: GatewayObservation | undefined): boolean {
  if (observation === undefined) return true;
  const { members, faults = [], state } = observation;
  return members.some((status, member) => {
    if (status !== undefined) return false;
    return (faults[member]?.kind ?? (state === 'starting' ? 'starting' : 'ended')) === 'starting';
  });
}
