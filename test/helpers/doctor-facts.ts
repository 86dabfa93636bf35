import { explain } from '../../src/connection/explain.js';
import { type StatusFailure, statusReason } from '../../src/connection/reasons.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../src/connection/status.js';
import type { Facts, HostFacts, PathFacts, RunningFacts } from '../../src/daemon/doctor/facts.js';
import type { HostRoute } from '../../src/daemon/host/host-network.js';
import { linuxError } from '../../src/linux/errors.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import type { GatewayFile } from '../../src/store/model.js';
import { cidrOf, cidrRange, parseIp, rangeContains } from '../../src/util/ip.js';
import { ok } from '../../src/util/result.js';
import { FakeDaemon } from './fake-daemon.js';

const TEXT = `gateway: { name: site-a, address: 192.0.2.1 }
connections:
  - name: to-b
    psk: O7x08imweJT-JTNgFBDJRpJO
    local: { cidrs: [10.1.0.0/24] }
    peer: { address: 192.0.2.2, cidrs: [10.2.0.0/24] }
`;

/** Site A with a connection to-b from 10.1.0.0/24 to 10.2.0.0/24; each change is of the text of its file. */
export function siteFile(...changes: readonly (readonly [from: string, to: string])[]): GatewayFile {
  const text = changes.reduce((whole, [from, to]) => whole.replace(from, to), TEXT);
  const file = readGatewayFile(text, 'site-a.yaml');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  return file.value;
}

export function route(
  cidr: string,
  device: string,
  by: HostRoute['by'] = 'other',
  kind: HostRoute['kind'] = 'unicast',
): HostRoute {
  return { cidr: cidrOf(cidr), kind, device, metric: 0, by };
}

const ROUTES = [
  route('0.0.0.0/0', 'wan'),
  route('192.0.2.0/24', 'wan', 'kernel'),
  route('10.1.0.0/24', 'lan', 'kernel'),
  route('10.2.0.0/24', 'culvert0', 'culvert'),
];

/** The device of the longest matching route, as the kernel chooses it. */
function wayAmong(routes: readonly HostRoute[], address: string) {
  const ip = parseIp(address)!;
  const found = routes
    .filter(({ cidr }) => rangeContains(cidrRange(cidr), ip))
    .sort((a, b) => b.cidr.prefix - a.cidr.prefix)[0];
  if (found === undefined) throw linuxError(101, `route to ${address}`);
  return { device: found.device };
}

export interface HostChange extends Partial<Omit<HostFacts, 'sysctl' | 'routes'>> {
  readonly sysctl?: Readonly<Record<string, string>>;
  readonly routes?: readonly HostRoute[];
}

/** A host on which nothing is wrong, but for what is changed. */
export function hostFacts({ sysctl = {}, routes = ROUTES, ...changed }: HostChange = {}): HostFacts {
  const values: Readonly<Record<string, string>> = {
    'net.ipv4.ip_forward': '1',
    'net.ipv4.conf.all.rp_filter': '0',
    'net.ipv4.conf.culvert0.rp_filter': '2',
    ...sysctl,
  };
  const capabilities = (['ffi', 'net_admin', 'tun'] as const).map((name) => ({ name, ok: true }));
  return {
    sysctl: (name) => values[name],
    capabilities,
    addresses: ok(['192.0.2.1', '10.1.0.1'].map((text) => parseIp(text)!)),
    routes: ok(routes),
    groups: ok([]),
    wayTo: (address) => wayAmong(routes, address),
    mtuOf: () => 1500,
    firewall: ok({ chains: [] }),
    nftables: undefined,
    portHolders: ok([]),
    clock: { now: Date.UTC(2026, 10, 30), synchronised: true, notBefore: Date.UTC(2026, 9, 1) },
    ...changed,
  };
}

const UP: Omit<ConnectionStatusDocument, 'id'> = {
  name: 'to-b',
  status: 'up',
  admin_state_up: true,
  establish_mode: 'bidirectional',
  peer: '192.0.2.2',
  ike: null,
  children: [],
  status_reasons: [],
  advisories: [],
  interface: 'culvert0',
};

/** What a gateway that runs knows of its one connection, which is up but for what is changed. */
export function runningFacts(
  file: GatewayFile,
  change: Partial<ConnectionStatusDocument> = {},
): RunningFacts {
  const gateway: StatusDocument['gateway'] = {
    ...new FakeDaemon().status().gateway,
    name: 'site-a',
    clear_packets: { outbound: 'unreachable', inbound: 'discarded', table: 'culvert-culvert0', discarded: 0 },
  };
  const { id } = file.connections[0]!;
  const document = { ...UP, id, ...change };
  const explanation = explain(document, [], { now: 0, toUtc: (at) => new Date(at).toISOString() });
  return { gateway, explanations: new Map([[id, explanation]]) };
}

/** As `runningFacts`, of a connection that is down because of this. */
export function failing(file: GatewayFile, failure: StatusFailure): RunningFacts {
  return runningFacts(file, {
    status: 'down',
    activity: 'due',
    status_reasons: [statusReason(failure, { peer: '192.0.2.2', count: 3 })],
  });
}

export interface Spoiled {
  readonly file?: GatewayFile | undefined;
  readonly host?: HostChange;
  readonly running?: RunningFacts;
  readonly path?: Partial<PathFacts>;
}

/** Facts of the site, whose gateway does not run unless `running` is there. */
export function siteFacts({ host, running, path, ...rest }: Spoiled = {}): Facts {
  return {
    host: hostFacts(host),
    file: 'file' in rest ? rest.file : siteFile(),
    running,
    path: { resolved: new Map(), ike: new Map(), tunnel: new Map(), ...path },
  };
}
