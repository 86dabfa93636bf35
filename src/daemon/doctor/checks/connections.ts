import type { Explanation } from '../../../connection/explain.js';
import { adviceFor } from '../../../connection/reasons.js';
import type { Advisory } from '../../../connection/status.js';
import type { GatewayConnection } from '../../../store/model.js';
import {
  cidrOf,
  cidrRange,
  formatCidr,
  formatIp,
  intersectRanges,
  parseIp,
  rangeContains,
} from '../../../util/ip.js';
import { oneLine } from '../../../util/operator-error.js';
import type { HostRoute } from '../../host/host-network.js';
import { type ConnectionWarning, networkWarnings } from '../../host/preflight.js';
import type { Facts } from '../facts.js';
import { Check, type DoctorEntry, type FindingCode } from '../report.js';
import { evidenceOf } from './path.js';
import { connectionsOf, deviceOf, MAX_CONNECTIONS, NO_GATEWAY, remoteNetworks, sampleOf } from './subject.js';

/** Causes that are about the way to the peer; the others are about what both ends want. */
const PATH_CAUSES: ReadonlySet<string> = new Set([
  ...['dns_failed', 'port_500_blocked', 'port_4500_blocked', 'peer_silent', 'dpd_timeout', 'cookie_loop'],
]);
/** What a status advises of a tunnel that works, and that is a fault all the same, with what to do. */
const FAULTY: Readonly<Partial<Record<Advisory['code'], string | undefined>>> = {
  one_way_traffic:
    'at the peer, see that what lies behind it has a route back to our networks, that no firewall there drops the traffic, and the counters for these SAs',
  flapping: 'look at the path to the peer, or raise dead_peer_detection.timeout to 30 s or more',
  pfs_mismatch: adviceFor('pfs_mismatch'),
  rekey_refused: adviceFor('rekey_failed'),
  clock_or_lifetime: adviceFor('clock_or_lifetime'),
  ts_narrowed: adviceFor('ts_narrowed'),
  peer_address_beside_tunnel:
    'reach what runs there by another address of the peer, or take this one out of peer.cidrs',
  weak_psk: 'enter a key of `culvert psk` at both ends',
};
/** Lines of evidence that a person is shown of each reason. */
const MAX_EVIDENCE = 8;

/** What both ends want, and where this host leads the packets of each connection. */
export function connectionChecks(facts: Facts, advice: readonly ConnectionWarning[]): DoctorEntry[] {
  const { file, running } = facts;
  if (file === undefined) {
    const check = new Check({ area: 'connection', check: 'state' });
    return [
      check.notChecked(NO_GATEWAY, 'name its file with --config, or its control socket with --control'),
    ];
  }
  const states = [...(running?.explanations.values() ?? [])].flatMap((one) => state(one));
  const connections = connectionsOf(facts);
  return [
    ...leftOut(facts),
    ...settings(facts, advice),
    ...states,
    ...connections.flatMap((one) => [...remoteRoutes(one, facts), ...localRoutes(one, facts)]),
  ];
}

function leftOut({ file }: Facts): DoctorEntry[] {
  const up = file!.connections.filter(({ adminStateUp }) => adminStateUp).length;
  if (up <= MAX_CONNECTIONS) return [];
  const check = new Check({ area: 'connection', check: 'state' });
  return [
    check.notChecked(
      `${up - MAX_CONNECTIONS} of ${up} connections are too many at once`,
      'name a connection',
    ),
  ];
}

function settings({ file, running }: Facts, advice: readonly ConnectionWarning[]): DoctorEntry[] {
  const warnings = [...networkWarnings(file!), ...advice].filter(
    // A gateway that runs says so in the state of the connection.
    ({ connection }) =>
      running === undefined || [...running.explanations.values()].some((one) => one.name === connection),
  );
  return warnings.map(({ connection, message }) => {
    const at = message.lastIndexOf('; ');
    return new Check({ area: 'connection', check: 'configuration', connection }).finding({
      code: 'configuration',
      message: at < 0 ? message : message.slice(0, at),
      remedy: at < 0 ? null : message.slice(at + 2),
    });
  });
}

function state({ name, status, verdict, cause, advice, next, connection }: Explanation): DoctorEntry[] {
  const area = cause !== null && PATH_CAUSES.has(cause) ? ('path' as const) : ('connection' as const);
  const check = new Check({ area, check: 'state', connection: name });
  // Of a connection that is not up, the cause is a finding of its own.
  const advised = connection.advisories.filter(
    ({ code }) => code in FAULTY && (status === 'up' || code !== cause),
  );
  const faults = advised.map(({ code, message }) =>
    new Check({ area: 'connection', check: 'state', connection: name }).finding({
      ...{ code, message },
      remedy: FAULTY[code] ?? null,
    }),
  );
  if (status === 'up') return faults.length > 0 ? faults : [check.ok(verdict)];
  if (cause === 'admin_down' || cause === null)
    return [...faults, check.note(verdict, advice[0] ?? null, next)];
  const evidence = connection.status_reasons
    .flatMap(({ details }) => evidenceOf(details))
    .slice(0, MAX_EVIDENCE);
  return [
    ...faults,
    check.finding({ code: cause as FindingCode, message: verdict, evidence, remedy: advice[0] ?? null }),
  ];
}

/** Packets for the peer's networks must go into the connection's device, whatever other routes there are. */
function remoteRoutes(connection: GatewayConnection, facts: Facts): DoctorEntry[] {
  const { host, running, file } = facts;
  const { address: gateway } = file!.gateway;
  const check = new Check({ area: 'connection', check: 'routes', connection: connection.name });
  const reasons = running?.explanations.get(connection.id)?.connection.status_reasons ?? [];
  const device = deviceOf(connection, facts);
  const out: DoctorEntry[] = [];
  if (!host.routes.ok) return [check.notChecked(host.routes.error)];
  for (const network of remoteNetworks(connection)) {
    // The state says it already.
    if (
      reasons.some(
        ({ details, message }) => details?.cause === 'local_route_conflict' && message.includes(network),
      )
    )
      continue;
    const inside = host.routes.value.find((route) =>
      leadsElsewhere(route, network, { device, gateway, connection }),
    );
    if (inside !== undefined) {
      out.push(
        elsewhere(check, network, `${formatCidr(inside.cidr)} through ${inside.device}`, inside.device),
      );
      continue;
    }
    if (running === undefined || cidrOf(network).prefix === 0) continue;
    const target = formatIp(sampleOf(network, host));
    try {
      const { device: found } = host.wayTo(target);
      if (found !== device) out.push(elsewhere(check, network, `${target} goes through ${found}`, found));
    } catch (error) {
      out.push(elsewhere(check, network, oneLine(error), 'no device'));
    }
  }
  if (out.length > 0) return out;
  return [
    check.ok(running === undefined ? 'no route of this host is in the way' : `routes lead into ${device}`),
  ];
}

function elsewhere(check: Check, network: string, evidence: string, device: string): DoctorEntry {
  return check.finding({
    code: 'route_elsewhere',
    message: `packets for ${network}, a network of the peer, do not all go into the tunnel: another route leads to ${device}`,
    evidence: [evidence],
    remedy: `see \`ip route show root ${network}\` and \`ip rule\`: remove that route, or take what lies there out of peer.cidrs`,
  });
}

/** A route of another program to a part of the network, or to all of it. */
function leadsElsewhere(
  { cidr, kind, device: through, by }: HostRoute,
  network: string,
  {
    device,
    gateway,
    connection,
  }: { readonly device: string; readonly gateway: string; readonly connection: GatewayConnection },
): boolean {
  const { local, peer } = connection;
  if (kind !== 'unicast' || by === 'culvert' || through === device) return false;
  const wanted = cidrOf(network);
  const range = cidrRange(wanted);
  const part = cidrRange(cidr);
  const inside = cidr.prefix >= wanted.prefix && rangeContains(range, part.start);
  // Where the peer's networks are everything, or hold ours, what is here goes first and is meant to.
  if (!inside || wanted.prefix === 0) return false;
  if (local.cidrs.some((own) => intersectRanges(cidrRange(cidrOf(own)), part) !== undefined)) return false;
  // The uplink: a configuration that holds it has a finding of its own.
  const outer = [gateway, peer.address].flatMap((text) => parseIp(text ?? '') ?? []);
  return !outer.some((address) => rangeContains(part, address));
}

/** What comes out of the tunnel must find the local networks. */
function localRoutes(connection: GatewayConnection, facts: Facts): DoctorEntry[] {
  const { host } = facts;
  const check = new Check({ area: 'connection', check: 'local_networks', connection: connection.name });
  const tun = deviceOf(connection, facts);
  const out: DoctorEntry[] = [];
  for (const network of connection.local.cidrs) {
    if (cidrOf(network).prefix === 0) continue;
    const target = formatIp(sampleOf(network, host));
    let found: string;
    try {
      found = host.wayTo(target).device;
    } catch (error) {
      out.push(astray(check, network, `no route of this host leads there`, oneLine(error)));
      continue;
    }
    if (found === tun)
      out.push(
        astray(check, network, `its route leads back into the tunnel`, `${target} goes through ${tun}`),
      );
  }
  return out.length > 0 || connection.local.cidrs.length === 0
    ? out
    : [check.ok('this host has routes to the local networks')];
}

function astray(check: Check, network: string, what: string, evidence: string): DoctorEntry {
  return check.finding({
    code: 'no_route_to_local',
    message: `${network} is in local.cidrs, and ${what}: packets from the peer for it are lost here`,
    evidence: [evidence],
    remedy: `give this host an address in it, or a route (\`ip route add ${network} via ROUTER\`); or take it out of local.cidrs`,
  });
}
