import { setImmediate as turn } from 'node:timers/promises';
import t from 'tap';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readPsks } from '../../src/store/psk.js';
import { KIND } from '../../src/store/records.js';
import { ApiLab, EARLY, FLAT, NEW, PSK } from '../helpers/api-lab.js';
import { SeededRandom } from '../helpers/seeded-random.js';

/** Overridable, so that a run that failed can be had again. */
const SEED = Number(process.env.CULVERT_SEED ?? 20_261_122);
const REQUESTS = 5000;

interface Shape {
  readonly method: string;
  readonly path: string;
  readonly version: string;
  readonly body?: unknown;
}

const IKE = {
  name: 'ike',
  ike_version: 2,
  authentication_algorithms: ['sha256', 'sha512'],
  encryption_algorithm: 'aes256',
  dh_groups: [14, 19],
  key_lifetime: 28_800,
  resource_group: { id: 'rg1' },
};
const IPSEC = {
  name: 'ipsec',
  authentication_algorithm: 'sha256',
  encryption_algorithms: ['aes256', 'aes128'],
  pfs: 'group_14',
  key_lifetime: 3600,
};
const CONNECTION = {
  name: 'connection',
  psk: PSK,
  admin_state_up: true,
  establish_mode: 'peer_only',
  dead_peer_detection: { action: 'restart', interval: 2, timeout: 10 },
  ike_policy: { id: '<ike>' },
  ipsec_policy: { href: 'http://localhost/v1/ipsec_policies/<ipsec>' },
  local: {
    cidrs: ['192.168.100.0/24', '10.1.0.0/16'],
    ike_identities: [{ type: 'fqdn', value: 'a.example' }],
  },
  peer: {
    address: '198.51.100.9',
    cidrs: ['172.16.0.0/16'],
    ike_identity: { type: 'key_id', value: 'MTIzNA==' },
  },
};
const ROUTED = {
  psk: PSK,
  peer: { fqdn: 'b.example.com' },
  routing_protocol: 'none',
  distribute_traffic: true,
  local: {
    ike_identities: [
      { type: 'fqdn', value: 'a.example' },
      { type: 'hostname', value: 'b' },
    ],
  },
};
const FLAT_CONNECTION = {
  name: 'flat',
  psk: PSK,
  peer_address: '198.51.100.10',
  local_cidrs: ['192.168.101.0/24'],
  peer_cidrs: ['172.17.0.0/16'],
};
const PATCH = {
  admin_state_up: false,
  dead_peer_detection: { action: 'clear', interval: 5 },
  ike_policy: null,
  name: 'patched',
  peer: { address: '198.51.100.11' },
  psk: 'n3wSecret',
};

/** Good requests; `<…>` stands for the id of an object that is there. */
const SHAPES: readonly Shape[] = [
  ...[NEW, FLAT, EARLY].flatMap((version) => [
    { method: 'POST', path: '/ike_policies', version, body: IKE },
    { method: 'PATCH', path: '/ike_policies/<ike>', version, body: { dh_group: 19, name: 'renamed' } },
    { method: 'GET', path: '/ike_policies/<ike>', version },
    { method: 'DELETE', path: '/ike_policies/<ike>', version },
    { method: 'POST', path: '/ipsec_policies', version, body: IPSEC },
    {
      method: 'PATCH',
      path: '/ipsec_policies/<ipsec>',
      version,
      body: { pfs_groups: ['disabled', 'group_31'] },
    },
    { method: 'GET', path: '/ipsec_policies?limit=10', version },
    { method: 'DELETE', path: '/ipsec_policies/<ipsec>', version },
    { method: 'GET', path: '/vpn_gateways?sort=-name&mode=policy&limit=2', version },
    {
      method: 'PATCH',
      path: '/vpn_gateways/<route>',
      version,
      body: { name: 'new-name', local_asn: 64_521 },
    },
    { method: 'GET', path: '/vpn_gateways/<policy>/connections?status=down&limit=3', version },
    { method: 'GET', path: '/vpn_gateways/<policy>/connections/<connection>', version },
    { method: 'DELETE', path: '/vpn_gateways/<policy>/connections/<connection>', version },
    {
      method: 'PUT',
      path: '/vpn_gateways/<policy>/connections/<connection>/peer/cidrs/10.9.0.0%2F16',
      version,
    },
    {
      method: 'DELETE',
      path: '/vpn_gateways/<policy>/connections/<connection>/local_cidrs/10.1.0.0/16',
      version,
    },
    {
      method: 'PUT',
      path: '/vpn_gateways/<policy>/connections/<connection>/local_cidrs/10.1.0.0/16',
      version,
    },
    { method: 'GET', path: '/subnets?limit=1', version },
    { method: 'DELETE', path: '/subnets/0717-sub', version },
  ]),
  {
    method: 'POST',
    path: '/vpn_gateways',
    version: NEW,
    body: { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy', resource_group: { id: 'rg1' } },
  },
  {
    method: 'POST',
    path: '/vpn_gateways',
    version: NEW,
    body: { subnet: { id: '0717-sub2' }, local_asn: 64_530, advertised_cidrs: ['10.45.0.0/24'] },
  },
  { method: 'DELETE', path: '/vpn_gateways/<policy>', version: NEW },
  { method: 'PUT', path: '/vpn_gateways/<route>/advertised_cidrs/10.45.0.0%2F24', version: NEW },
  { method: 'DELETE', path: '/vpn_gateways/<route>/advertised_cidrs/10.45.0.0%2F24', version: NEW },
  { method: 'POST', path: '/vpn_gateways/<policy>/connections', version: NEW, body: CONNECTION },
  { method: 'POST', path: '/vpn_gateways/<policy>/connections', version: NEW, body: CONNECTION },
  { method: 'POST', path: '/vpn_gateways/<route>/connections', version: NEW, body: ROUTED },
  { method: 'POST', path: '/vpn_gateways/<policy>/connections', version: FLAT, body: FLAT_CONNECTION },
  { method: 'POST', path: '/vpn_gateways/<policy>/connections', version: EARLY, body: FLAT_CONNECTION },
  { method: 'PATCH', path: '/vpn_gateways/<policy>/connections/<connection>', version: NEW, body: PATCH },
  {
    method: 'PATCH',
    path: '/vpn_gateways/<policy>/connections/<connection>',
    version: FLAT,
    body: { peer_address: '198.51.100.12', name: 'flat' },
  },
];

/** Values that programs trip over. */
const ODD: readonly unknown[] = [
  null,
  true,
  false,
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  65_535,
  '',
  ' ',
  'x',
  'X'.repeat(600),
  'multiple',
  'aes256gcm16',
  'disabled',
  'chacha20poly1305',
  '3des',
  'md5',
  'group_2',
  31,
  1,
  2,
  300,
  1800,
  'bgp',
  'none',
  'hold',
  '10.0.0.0/8',
  '0.0.0.0/0',
  '::/0',
  '10.0.0.1/8',
  '2001:db8::/32',
  '999.1.1.1',
  '127.0.0.1',
  '224.0.0.1',
  '0.0.0.0',
  '::',
  '2001:db8::1',
  'b.example.com',
  'ü',
  '\u0000',
  '\ud800',
  '__proto__',
  'constructor',
  'toString',
  '../../etc',
  '%2F',
  '0x123456',
  [],
  {},
  [null],
  [[]],
  [{}],
  { id: null },
  { id: '<ike>' },
  { id: '<ipsec>' },
  { id: 'x', crn: 'y' },
  { href: '/' },
  { crn: ':' },
  { toString: 1 },
  ['10.0.0.0/8', '10.0.0.0/8'],
];
const FIELDS = [
  'name',
  'psk',
  'mode',
  'id',
  'peer',
  'local',
  'tunnels',
  'asn',
  'routing_protocol',
  '__proto__',
  'constructor',
  'dh_groups',
  'pfs_groups',
  'cidrs',
  'peer_address',
  'x',
];
const SEGMENTS = [
  '%00',
  '%2F',
  '..',
  '',
  '%zz',
  'x'.repeat(300),
  '<policy>',
  '<connection>',
  '10.0.0.0%2F33',
  '10.0.0.0%2F8',
  '__proto__',
  '0',
  '::%2F0',
];
const QUERIES = [
  'limit=0',
  'limit=-1',
  'limit=1e2',
  'limit=100',
  'start=',
  'start=e30',
  'start=%00',
  'start[]=x',
  'sort=x',
  'sort=created_at',
  'mode=',
  'status=up',
  'version=1',
  'generation=9',
  'resource_group.id=%ff',
  '__proto__=1',
  'limit',
];

class Mutator {
  readonly #random: SeededRandom;

  constructor(seed: number) {
    this.#random = new SeededRandom(seed);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.#random.below(list.length)]!;
  }

  chance(share: number): boolean {
    return this.#random.fraction() < share;
  }

  /** The value with one place changed: replaced, left out, added, doubled, or put one level deeper. */
  value(value: unknown): unknown {
    if (Array.isArray(value)) {
      const at = this.#random.below(value.length + 1);
      const changes: (() => unknown)[] = [
        () => [...value.slice(0, at), this.pick(ODD), ...value.slice(at)],
        () => value.filter((_, index) => index !== at),
        () => [...value, ...value],
        () => value.map((item, index) => (index === at ? this.value(item) : item)),
        () => Array.from({ length: 40 }, (_, n) => value[n % value.length] ?? n),
      ];
      return this.pick(changes)();
    }
    if (typeof value === 'object' && value !== null && this.chance(0.9)) {
      const entries = Object.entries(value);
      const at = this.#random.below(entries.length);
      const changed = (make: (old: unknown) => unknown) =>
        Object.fromEntries(entries.map(([name, item], index) => [name, index === at ? make(item) : item]));
      if (this.chance(0.15)) return Object.fromEntries(entries.filter((_, index) => index !== at));
      if (this.chance(0.2)) return { ...value, [this.pick(FIELDS)]: this.pick(ODD) };
      return this.chance(0.5) ? changed((item) => this.value(item)) : changed(() => this.pick(ODD));
    }
    return this.chance(0.1) ? { value } : this.pick(ODD);
  }

  path(path: string): string {
    const [route, query] = path.split('?');
    if (this.chance(0.5)) return `${path}${query === undefined ? '?' : '&'}${this.pick(QUERIES)}`;
    const parts = route!.split('/');
    const at = 1 + this.#random.below(parts.length);
    parts[at] = this.pick(SEGMENTS);
    return parts.join('/') + (query === undefined ? '' : `?${query}`);
  }

  /** Text of a body with a few characters changed. */
  text(text: string): string {
    const at = this.#random.below(text.length);
    return (
      text.slice(0, at) +
      this.pick(['', '{', '"', ',', '\\', '[[[[[[', '\u0000', 'null', '1e999']) +
      text.slice(at + this.#random.below(3))
    );
  }
}

const MUTATING = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/** Everything that is stored, as text; the server's own steps are waited for. */
async function stored(lab: ApiLab): Promise<string> {
  for (;;) {
    const before = await lab.store.snapshot();
    const busy = before
      .list<{ lifecycle: string }>(KIND.gateway)
      .some(({ value }) => value.lifecycle === 'pending' || value.lifecycle === 'deleting');
    await turn();
    if (!busy && (await lab.store.snapshot()).revision === before.revision) {
      return JSON.stringify(Object.values(KIND).map((kind) => before.list(kind)));
    }
  }
}

/** What holds for every state of the store. */
async function checkState(lab: ApiLab): Promise<string | undefined> {
  const now = await lab.store.snapshot();
  for (const kind of Object.values(KIND)) {
    for (const { value } of now.list<Record<string, string>>(kind)) {
      if (kind !== KIND.connection) continue;
      if (now.get(KIND.gateway, value.gateway!) === undefined) return 'a connection without a gateway';
      if (value.ikePolicy && now.get(KIND.ikePolicy, value.ikePolicy) === undefined)
        return 'a policy is missing';
      if (value.ipsecPolicy && now.get(KIND.ipsecPolicy, value.ipsecPolicy) === undefined)
        return 'a policy is missing';
    }
  }
  for (const { id, members } of lab.runner.desired.values()) {
    for (const file of members) {
      const psks = readPsks(file);
      if (!psks.ok) return `keys of ${id}`;
      const names = new Map(file.connections.map(({ name }) => [name, ['192.0.2.9']]));
      toEngineConfig(file, psks.value, names);
    }
  }
  return undefined;
}

t.test(`${REQUESTS} mutated requests, seed ${SEED}`, { timeout: 100_000 }, async (t) => {
  const quotas = {
    gateways_per_region: 8,
    gateways_per_zone: 8,
    route_gateways_per_zone_and_vpc: 2,
    ike_policies: 9,
    ipsec_policies: 9,
  };
  const lab = await ApiLab.open(t, { site: { quotas } });
  const mutator = new Mutator(SEED);
  const counts = new Map<number, number>();
  const faults: string[] = [];
  const ids = async (): Promise<Record<string, string>> => {
    const now = await lab.store.snapshot();
    const gateways = now.list<{ mode: string }>(KIND.gateway);
    const policy =
      gateways.find(({ value }) => value.mode === 'policy')?.id ?? (await lab.gateway(`p-${now.revision}`));
    const route =
      gateways.find(({ value }) => value.mode === 'route')?.id ??
      (await lab.gateway(`r-${now.revision}`, 'route'));
    const ike = now.list(KIND.ikePolicy)[0]?.id ?? (await lab.post('/ike_policies', IKE)).body.id;
    const ipsec = now.list(KIND.ipsecPolicy)[0]?.id ?? (await lab.post('/ipsec_policies', IPSEC)).body.id;
    const connections = now.list<{ gateway: string }>(KIND.connection);
    const spare = {
      psk: PSK,
      local: CONNECTION.local,
      peer: { ...CONNECTION.peer, address: '203.0.113.200' },
    };
    const connection =
      connections.find(({ value }) => value.gateway === policy)?.id ??
      (await lab.post(`/vpn_gateways/${policy}/connections`, spare)).body.id ??
      'none';
    return { policy, route, connection, ike, ipsec };
  };
  for (let n = 0; n < REQUESTS; n++) {
    const known = await ids();
    const fill = (text: string): string => text.replace(/<([a-z]+)>/g, (whole, name) => known[name] ?? whole);
    const shape = mutator.pick(SHAPES);
    let { path, body } = shape;
    // Some stay good, so that there is always something to be hit.
    const good = mutator.chance(0.15);
    if (!good && body !== undefined) {
      do body = mutator.value(body);
      while (mutator.chance(0.3));
    }
    if (!good && (body === undefined || mutator.chance(0.1))) path = mutator.path(path);
    const method =
      good || mutator.chance(0.97) ? shape.method : mutator.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);
    let raw = body === undefined ? undefined : fill(JSON.stringify(body));
    if (!good && raw !== undefined && mutator.chance(0.08)) raw = mutator.text(raw);
    const headers: Record<string, string> = {};
    if (mutator.chance(0.05)) headers['if-match'] = mutator.pick(['*', 'W/"x"', '', '"', ',,,']);
    if (mutator.chance(0.05))
      headers['content-type'] = mutator.pick([
        'application/json',
        'text/html',
        ';;',
        'application/x-www-form-urlencoded',
      ]);
    const before = await stored(lab);
    const what = `#${n} ${method} ${fill(path)} (${shape.version}) ${raw?.slice(0, 300)}`;
    try {
      const { status } = await lab.send(method, fill(path), {
        version: shape.version,
        headers,
        ...(raw === undefined ? {} : { raw }),
      });
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status >= 500) faults.push(`${status}: ${what}`);
      const after = await stored(lab);
      if ((status >= 400 || !MUTATING.has(method)) && after !== before) faults.push(`half done: ${what}`);
      const wrong = n % 50 === 0 || status < 300 ? await checkState(lab) : undefined;
      if (wrong !== undefined) faults.push(`${wrong}: ${what}`);
    } catch (error) {
      faults.push(`${(error as Error).message.slice(0, 500)}: ${what}`);
    }
    if (faults.length > 4) break;
  }
  t.same(faults, []);
  const done = [...counts].sort(([a], [b]) => a - b);
  t.comment(done.map(([status, count]) => `${status}: ${count}`).join(', '));
  t.ok((counts.get(201) ?? 0) > 50 && (counts.get(200) ?? 0) > 50, 'many are done');
  t.ok((counts.get(400) ?? 0) > 1000, 'and many refused');
  t.equal(
    [...counts.values()].reduce((sum, count) => sum + count, 0),
    REQUESTS,
  );
  t.same(
    lab.log.filter((line) => /"level":(50|60)/.test(line)),
    [],
    'nothing failed inside',
  );
});
