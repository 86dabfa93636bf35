import { type StatusCause, statusReason } from '../../../connection/reasons.js';
import type { GatewayConnection } from '../../../store/model.js';
import { oneLine } from '../../../util/operator-error.js';
import type { Facts } from '../facts.js';
import type { IkeAnswer, PortAnswer } from '../ike-probe.js';
import { Check, type DoctorEntry, type Fault } from '../report.js';
import { connectionsOf, devicesOf, peerAddresses } from './subject.js';

/** A path that carries less is no path for IPv6 (RFC 8200 §5), and hardly one for a tunnel. */
const MIN_MTU = 1280;
const USUAL_MTU = 1500;

/** The way to each peer: its name, routes, IKE where no gateway runs that would know, and what a tunnel carries. */
export function pathChecks(facts: Facts): DoctorEntry[] {
  return connectionsOf(facts).flatMap((connection) => [
    ...name(connection, facts),
    ...way(connection, facts),
    ...ike(connection, facts),
    ...tunnel(connection, facts),
  ]);
}

function name({ id, peer, name: connection }: GatewayConnection, { path }: Facts): DoctorEntry[] {
  const resolved = path.resolved.get(id);
  if (peer.fqdn === undefined || resolved === undefined) return [];
  const check = new Check({ area: 'path', check: 'peer_name', connection });
  if (resolved.ok) return [check.ok(`${peer.fqdn} is ${resolved.value.join(', ')}`)];
  return [check.finding(faultOf('dns_failed', `${peer.fqdn} has no address: ${resolved.error}`))];
}

function way(connection: GatewayConnection, facts: Facts): DoctorEntry[] {
  const check = new Check({ area: 'path', check: 'route_to_peer', connection: connection.name });
  return peerAddresses(connection, facts).map((address) => {
    let device: string;
    try {
      ({ device } = facts.host.wayTo(address));
    } catch (error) {
      return check.finding({
        code: 'no_route_to_peer',
        message: `no route of this host leads to the peer ${address}`,
        evidence: [oneLine(error)],
        remedy: 'see `ip route`: add the route to it or a default route, and check that the uplink is up',
      });
    }
    if (devicesOf(facts).includes(device)) {
      return check.finding({
        code: 'no_route_to_peer',
        message: `the route to the peer ${address} leads into the tunnel itself (device ${device})`,
        evidence: [`\`ip route get ${address}\` shows it`],
        remedy:
          'give the peer a route of its own through the uplink, which the gateway needs to find the way around',
      });
    }
    return mtuOf(device, address, { check, mtu: facts.host.mtuOf(device) });
  });
}

function mtuOf(
  device: string,
  address: string,
  { check, mtu }: { readonly check: Check; readonly mtu: number | undefined },
): DoctorEntry {
  const through = `the peer ${address} is reached through ${device}`;
  if (mtu !== undefined && mtu < MIN_MTU) {
    return check.finding({
      code: 'uplink_mtu',
      message: `${through}, which carries packets of up to ${mtu} octets only: hardly anything fits into a tunnel through it`,
      remedy: `raise it (\`ip link set ${device} mtu ${USUAL_MTU}\`) if the network behind it carries more`,
    });
  }
  return check.ok(`${through}${mtu === undefined ? '' : `, MTU ${mtu}`}`);
}

function ike(connection: GatewayConnection, { path }: Facts): DoctorEntry[] {
  const answer = path.ike.get(connection.id);
  if (answer === undefined) return [];
  const check = new Check({ area: 'path', check: 'ike', connection: connection.name });
  const said = [...answer.ports].map(([port, one]) => ({ port, one }));
  const heard = said.filter(({ one }) => one.kind === 'answered' || one.kind === 'refused');
  const evidence = said.map(({ port, one }) => `UDP ${port}: ${describe(one)}`);
  const refusal = said.find(({ one }) => one.kind === 'refused')?.one;
  const out: DoctorEntry[] = [];
  if (refusal?.kind === 'refused') {
    const { cause, message, details } = refusal.failure;
    const reason = statusReason({ cause, message, ...(details === undefined ? {} : { details }) });
    const mismatch = new Check({ area: 'connection', check: 'negotiation', connection: connection.name });
    out.push(mismatch.finding({ ...faultOf(cause, message), evidence: evidenceOf(reason.details) }));
  }
  if (heard.length === said.length)
    return [...out, check.ok(`the peer ${answer.address} answers IKE`, evidence)];
  const unsent = said.flatMap(({ one }) => (one.kind === 'unsent' ? [one.message] : []));
  if (heard.length + unsent.length === said.length)
    return [...out, check.notChecked(`this host did not send it: ${unsent[0]}`)];
  return [...out, check.finding({ ...silence(answer, heard.length > 0), evidence })];
}

function silence({ address, ports, version }: IkeAnswer, someHeard: boolean): Fault {
  const missing = [...ports].filter(([, { kind }]) => kind !== 'answered' && kind !== 'refused');
  const [first] = missing;
  if (someHeard && first?.[0] === 4500) {
    return faultOf(
      'port_4500_blocked',
      `the peer ${address} answers on UDP 500 and not on UDP 4500, which carries the rest of IKE and the ESP packets`,
    );
  }
  if (someHeard) {
    return faultOf('port_500_blocked', `the peer ${address} answers on UDP 4500 and not on UDP 500`);
  }
  const cause = ports.has(500) ? 'port_500_blocked' : 'port_4500_blocked';
  const where = [...ports.keys()].join(' or ');
  return faultOf(cause, `no answer from the peer ${address} to an IKEv${version} request on UDP ${where}`);
}

function describe(answer: PortAnswer): string {
  switch (answer.kind) {
    case 'answered':
      return 'answered';
    case 'refused':
      return `answered: ${answer.failure.message}`;
    case 'silent':
      return `no answer to ${answer.sent} requests`;
    case 'closed':
      return `nobody listens there (${answer.message})`;
    case 'unsent':
      return `could not be sent: ${answer.message}`;
  }
}

/** A fault with what the status advises about its cause. */
function faultOf(cause: StatusCause, message: string): Fault {
  const { details } = statusReason({ cause, message });
  return { code: cause, message, remedy: String(details?.advice) };
}

/** Lines for people of what the details of a reason hold. */
export function evidenceOf(details: Readonly<Record<string, unknown>> | undefined): string[] {
  const skipped = new Set(['cause', 'advice', 'role', 'peer', 'nearest']);
  return Object.entries(details ?? {}).flatMap(([field, value]) => {
    if (skipped.has(field) || value === null || value === undefined) return [];
    const text = Array.isArray(value)
      ? value.map((one) => (typeof one === 'object' ? JSON.stringify(one) : one)).join('; ')
      : typeof value === 'object'
        ? JSON.stringify(value)
        : String(value);
    return [`${field.replaceAll('_', ' ')}: ${text}`];
  });
}

function tunnel({ id, name: connection }: GatewayConnection, { path }: Facts): DoctorEntry[] {
  const probed = path.tunnel.get(id);
  if (probed === undefined) return [];
  const check = new Check({ area: 'path', check: 'path_mtu', connection });
  if (!probed.ok)
    return [check.notChecked(probed.error, 'name an address that answers a ping with --probe ADDRESS')];
  const { target, roundTrip, tried, largest } = probed.value;
  if (largest === tried)
    return [
      check.ok(`packets of up to ${tried} octets pass the tunnel to ${target} and back (${roundTrip} ms)`),
    ];
  return [
    check.finding({
      code: 'path_mtu',
      message: `packets of more than about ${largest} octets get lost in the tunnel to ${target}, and nobody says so: pings and logins work, transfers hang`,
      evidence: [`an echo of ${largest} octets came back, of ${tried} octets none did, with DF set`],
      remedy: `let ICMP "fragmentation needed" (type 3, code 4; packet too big, type 2, of ICMPv6) through the firewalls on the way; or set gateway.mss: ${largest - 40}, which helps TCP`,
    }),
  ];
}
