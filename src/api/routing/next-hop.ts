import type { ConnectionRecord, GatewayRecord } from '../../store/records.js';
import type { StoredObject } from '../../store/store.js';
import { ipToNumber, parseIp } from '../../util/ip.js';
import type { GatewayObservation, RoutedWay } from '../runner.js';

/** What of a connection says how packets to it go. */
type Connection = Pick<
  StoredObject<Pick<ConnectionRecord, 'adminStateUp' | 'distributeTraffic'>>,
  'id' | 'value'
>;
type Members = Pick<GatewayRecord, 'members'>;

/** A tunnel of a connection. */
export interface Tunnel {
  /** Index of the member that it ends at. */
  readonly member: number;
  /** Public address of that member. */
  readonly address: string;
  /** Its TUN device, when packets can go through it. */
  readonly device: string | undefined;
  /** Its process gives no sign of life just now. */
  readonly isStalled: boolean;
}

/** The tunnels of a connection in the order in which they are preferred: by the public address of the member, as a number. */
export function tunnelsOf(
  { id }: Pick<Connection, 'id'>,
  gateway: Members,
  observation: GatewayObservation | undefined,
): readonly Tunnel[] {
  const tunnels = gateway.members.flatMap(({ publicAddress: address }, member) => {
    const ip = address === undefined ? undefined : parseIp(address);
    if (address === undefined || ip === undefined) return [];
    const document = observation?.members[member]?.connections.find((one) => one.id === id);
    const device = document === undefined || document.status === 'down' ? undefined : document.interface;
    const isStalled = observation?.stalled?.[member] === true;
    return [{ member, address, device, isStalled, number: ipToNumber(ip) }];
  });
  return tunnels
    .sort((a, b) => (a.number < b.number ? -1 : 1))
    .map(({ number: _, ...tunnel }): Tunnel => tunnel);
}

/**
 * How packets to a connection go: through the first of its tunnels that is up, and by the next one as soon as that is
 * lost; or, where it distributes traffic, over all that are up. Undefined while none is, and the route is skipped: at
 * once for a connection that is administratively down. `unknown` while a member has not been seen yet.
 */
export function wayTo(
  connection: Connection,
  gateway: Members,
  observation: GatewayObservation | undefined,
): RoutedWay | undefined {
  if (!connection.value.adminStateUp) return undefined;
  const tunnels = tunnelsOf(connection, gateway, observation);
  const up = tunnels.filter(({ device }) => device !== undefined);
  const lively = up.filter(({ isStalled }) => !isStalled);
  // A tunnel that may be dead is better than the next match, which is not protected.
  const usable = lively.length > 0 ? lively : up;
  const [first, second] = [...new Set(usable.flatMap(({ device }) => device ?? []))];
  const sought = isBeingSought(observation) ? ({ sought: true } as const) : {};
  if (first === undefined) return 'sought' in sought ? { unknown: true } : undefined;
  if (connection.value.distributeTraffic && tunnels.length > 1) {
    const devices = tunnels.map((one) => (usable.includes(one) ? (one.device ?? null) : null));
    return { spread: { connection: connection.id, devices, ...sought } };
  }
  return { device: first, ...(second === undefined ? {} : { standby: second }), ...sought };
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
