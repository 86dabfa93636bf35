import t from 'tap';
import { IKE, IPSEC, policyConnection } from '../helpers/api-lab.js';
import { makeWorld } from '../helpers/contract-world.js';

interface Quota {
  readonly name: string;
  readonly limit: number;
  readonly used: number;
  readonly scope: { readonly resource_type: string; readonly id: string; readonly name: string };
}

t.test('quotas are shown with what is used of them, wherever they are counted', async (t) => {
  const { world, release } = await makeWorld(t);
  const { lab, ids } = world;
  const read = async (query = ''): Promise<Quota[]> => {
    const { status, body } = await lab.get(`/quotas?limit=100${query}`, { prefix: '/culvert/v1' });
    t.equal(status, 200);
    return body.quotas;
  };
  const of = async (name: string, id: string): Promise<number[]> => {
    const found = (await read(`&name=${name}`)).find(({ scope }) => scope.id === id)!;
    return [found.used, found.limit];
  };
  t.same(await of('ike_policies', 'us-south'), [2, 20]);
  t.same(await of('ipsec_policies', 'us-south'), [2, 20]);
  t.same(await of('gateways_per_region', 'us-south'), [6, 100]);
  t.same(await of('gateways_per_zone', 'us-south-1'), [3, 100]);
  t.same(await of('gateways_per_zone', 'us-south-3'), [0, 100]);
  t.same(await of('route_gateways_per_zone_and_vpc', 'r006-vpc-two'), [3, 10]);
  t.same(await of('routing_tables_per_vpc', 'r006-vpc-two'), [4, 50]);
  t.same(await of('routes_per_routing_table', ids.default2!), [2, 200]);
  t.same(await of('prefix_lengths_per_routing_table', ids.default2!), [1, 14]);
  t.same(await of('connections_per_gateway', ids.gw!), [2, 10]);
  t.same(await of('cidrs_per_gateway', ids.gw!), [6, 50]);
  t.same(await of('cidrs_per_connection', ids.c!), [4, 15]);
  t.same(await of('advertised_cidrs_per_gateway', ids.rgw!), [1, 10]);
  t.same(await of('advertised_cidrs_per_vpc', 'r006-vpc-two'), [1, 15]);
  const all = await read();
  t.equal(new Set(all.map(({ name }) => name)).size, 13, 'all of them');
  const pages = await lab.get('/quotas?limit=3', { prefix: '/culvert/v1' });
  t.same([pages.body.quotas.length, pages.body.total_count], [3, all.length]);
  t.match(pages.body.next.href, /\/culvert\/v1\/quotas\?/);
  release();
});

t.test('a quota that is shown as used up is one that refuses', async (t) => {
  const { world, release } = await makeWorld(t, {
    ike_policies: 3,
    ipsec_policies: 2,
    connections_per_gateway: 3,
  });
  const { lab, ids } = world;
  let number = 7;
  const connections = `/vpn_gateways/${ids.gw}/connections`;
  const makers: Record<string, () => Promise<{ status: number; body: { errors?: { code: string }[] } }>> = {
    ike_policies: () => lab.post('/ike_policies', IKE),
    ipsec_policies: () => lab.post('/ipsec_policies', IPSEC),
    connections_per_gateway: () => lab.post(connections, policyConnection(number++)),
  };
  for (const [name, make] of Object.entries(makers)) {
    const left = async (): Promise<number> => {
      const { body } = await lab.get(`/quotas?name=${name}`, { prefix: '/culvert/v1' });
      const [quota] = body.quotas.filter(({ scope }: Quota) => ['us-south', ids.gw].includes(scope.id));
      return quota.limit - quota.used;
    };
    for (let rest = await left(); rest > 0; rest--) t.match(await make(), { status: 201 }, name);
    t.equal(await left(), 0);
    const refused = await make();
    t.equal(refused.status, 400);
    t.match(refused.body.errors?.[0]?.code, /_quota_exceeded$/, name);
  }
  release();
});
