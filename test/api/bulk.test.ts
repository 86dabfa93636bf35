import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { SECRET_FIELDS } from '../../src/store/records.js';
import { openSqliteStore } from '../../src/store/sqlite-store.js';
import { ApiLab, IKE, policyConnection } from '../helpers/api-lab.js';

const MANY = {
  ike_policies: 1000,
  gateways_per_region: 1000,
  gateways_per_zone: 1000,
  connections_per_gateway: 1000,
  cidrs_per_gateway: 10_000,
};
const addresses = Array.from({ length: 250 }, (_, n) => `203.0.113.${n + 1}`);
const bigSite = {
  quotas: MANY,
  subnets: [{ id: 'big', name: 'big', vpc: 'vpc-one', cidr: '10.128.0.0/16', public_addresses: addresses }],
};

/** All items of a list, page by page. */
async function all(lab: ApiLab, target: string, field: string): Promise<{ pages: number; ids: string[] }> {
  const ids: string[] = [];
  let next: string | undefined = target;
  let pages = 0;
  while (next !== undefined) {
    const { status, body } = await lab.get(next);
    if (status !== 200) throw new Error(JSON.stringify(body));
    ids.push(...body[field].map(({ id }: { id: string }) => id));
    pages++;
    next = body.next?.href.replace('http://localhost/v1', '');
  }
  return { pages, ids };
}

t.test('paging with 250 objects', async (t) => {
  const lab = await ApiLab.open(t, { site: bigSite });
  const made: string[] = [];
  for (let n = 0; n < 250; n++)
    made.push((await lab.post('/ike_policies', { ...IKE, name: `p-${n}` })).body.id);
  const newest = [...made].reverse();
  for (const [limit, pages] of [
    ['', 5],
    ['?limit=100', 3],
    ['?limit=50', 5],
    ['?limit=7', 36],
  ] as const) {
    t.same(await all(lab, `/ike_policies${limit}`, 'ike_policies'), { pages, ids: newest }, limit);
  }
  const first = (await lab.get('/ike_policies?limit=100')).body;
  t.match(first, {
    limit: 100,
    total_count: 250,
    first: { href: 'http://localhost/v1/ike_policies?limit=100' },
  });
  await lab.delete(`/ike_policies/${newest[99]}`);
  await lab.delete(`/ike_policies/${newest[150]}`);
  const fresh = (await lab.post('/ike_policies', { ...IKE, name: 'fresh' })).body.id;
  const rest = await all(lab, first.next.href.replace('http://localhost/v1', ''), 'ike_policies');
  t.same(
    rest.ids,
    newest.slice(100).filter((id) => id !== newest[150]),
    'what comes and goes between two pages moves nothing else',
  );
  t.notOk(rest.ids.includes(fresh));
  for (const query of [
    'limit=0',
    'limit=101',
    'limit=x',
    'limit=',
    'limit=1&limit=2',
    'start=tok',
    'start=',
    'start=WzFd',
  ]) {
    const { status, body } = await lab.get(`/ike_policies?${query}`);
    t.same([status, body.errors?.[0].target?.type], [400, 'parameter'], query);
  }
  const token = new URL(first.next.href).searchParams.get('start');
  t.equal((await lab.get(`/ipsec_policies?start=${token}`)).status, 400, 'a token belongs to one list');
});

t.test('paging of gateways and connections', async (t) => {
  const lab = await ApiLab.open(t, { site: bigSite });
  const gateways: string[] = [];
  for (let n = 0; n < 250; n++) {
    const body = { name: `gw-${String(n).padStart(3, '0')}`, mode: 'policy', subnet: { id: 'big' } };
    gateways.push((await lab.post('/vpn_gateways', body)).body.id);
  }
  t.same((await all(lab, '/vpn_gateways?sort=name&limit=100', 'vpn_gateways')).ids, gateways);
  t.same((await all(lab, '/vpn_gateways?limit=99&mode=policy', 'vpn_gateways')).ids, [...gateways].reverse());
  const list = `/vpn_gateways/${gateways[0]}/connections`;
  const connections: string[] = [];
  for (let n = 1; n <= 60; n++) connections.push((await lab.post(list, policyConnection(n))).body.id);
  t.same((await all(lab, `${list}?status=down&limit=25`, 'connections')).ids, [...connections].reverse());
});

t.test('50 writers at once', async (t) => {
  const folder = mkdtempSync(join(existsSync('/dev/shm') ? '/dev/shm' : tmpdir(), 'culvert-bulk-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const open = () => openSqliteStore({ path: join(folder, 'store.db'), secretFields: SECRET_FIELDS });
  const lab = await ApiLab.open(t, { store: open(), site: { quotas: { connections_per_gateway: 30 } } });
  const list = `/vpn_gateways/${await lab.gateway('gw')}/connections`;
  const same = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      lab.post('/ike_policies', { ...IKE, name: 'same', key_lifetime: 2000 + n }),
    ),
  );
  t.equal(same.filter(({ status }) => status === 201).length, 1, 'one name, one winner');
  t.equal(same.filter(({ status }) => status === 409).length, 49);
  const many = await Promise.all(
    Array.from({ length: 50 }, (_, n) =>
      lab.post(list, policyConnection(n + 1, { local: { cidrs: ['192.168.100.0/24'] } })),
    ),
  );
  t.equal(
    many.filter(({ status }) => status === 201).length,
    25,
    'networks of 25 connections fill the gateway',
  );
  t.equal((await lab.get(`${list}?limit=100`)).body.total_count, 25);
  const { id } = many.find(({ status }) => status === 201)!.body;
  const path = `${list}/${id}`;
  await Promise.all(
    Array.from({ length: 50 }, (_, n) => lab.patch(path, { dead_peer_detection: { timeout: 100 + n } })),
  );
  const mixed = await Promise.all(
    Array.from({ length: 50 }, (_, n) => (n % 2 ? lab.delete(path) : lab.patch(path, { name: `n-${n}` }))),
  );
  t.equal(mixed.filter(({ status }) => status === 202).length, 1, 'deleted once');
  t.ok(mixed.every(({ status }) => [200, 202, 404].includes(status)));

  const before = (await lab.get(`${list}?limit=100`)).body;
  const gateway = (await lab.get('/vpn_gateways')).body.vpn_gateways[0];
  await lab.server.stop();
  await lab.store.close();
  const again = await ApiLab.open(t, { store: open() });
  t.same((await again.get(`${list}?limit=100`)).body, before, 'all is there in the next life, keys too');
  await again.until(() => again.runner.desired.get(gateway.id)?.members[0]?.connections.length === 24);
  t.equal((await again.get(`/vpn_gateways/${gateway.id}`)).body.health_state, 'ok', 'and runs');
});
