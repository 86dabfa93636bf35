import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { ApiLab, PSK } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';

t.test('routing tables and routes, by the arguments of the reference CLI', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-routing-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const lab = await ApiLab.open(t);
  const socketPath = join(folder, 'api.sock');
  await lab.server.listen({ socketPath });
  const cli = (...argv: string[]) => commandLine(...argv, '--endpoint', `unix:${socketPath}`);
  const json = async (...argv: string[]) => {
    const { code, out, err } = await cli(...argv, '--output', 'json');
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${err}`);
    return JSON.parse(out);
  };
  const gateway = await lab.gateway('routed', 'route', '0717-sub2');
  const peer = { name: 'c', psk: PSK, peer: { address: '169.21.50.9' } };
  const { body: connection } = await lab.post(`/vpn_gateways/${gateway}/connections`, peer);

  const create = ['vpc-routing-table-create', 'vpc-two', '--name', 'mine'];
  const flags = ['--ar-rtf', 'vpn_server,vpn_gateway', '--direct-link-ingress', 'true'];
  const table = await json(...create, ...flags, '--advertise-routes-to', 'direct_link');
  t.match(table, {
    name: 'mine',
    accept_routes_from: [{ resource_type: 'vpn_gateway' }, { resource_type: 'vpn_server' }],
    advertise_routes_to: ['direct_link'],
    route_direct_link_ingress: true,
  });
  const update = ['vpc-routing-table-update', 'vpc-two', 'mine'];
  const closed = ['--cl-arf', '--advertise-routes-to', '', '--direct-link-ingress', 'false'];
  t.match(await cli(...update, ...closed), { code: 1, err: /advertise_routes_to/ });
  t.match(await json(...update, '--cl-arf', '--name', 'own'), { name: 'own', accept_routes_from: [] });
  t.match(await cli(...update.slice(0, 2), 'own'), { code: 2, err: /at least one option/ });
  t.match(await cli('vpc-routing-tables', 'vpc-two'), { code: 0, out: /own .* 0 / });
  t.equal((await json('vpc-routing-table', 'vpc-two', 'own')).id, table.id);
  const usual = await json('vpc-default-routing-table', 'vpc-two');
  t.equal(usual.is_default, true);

  const add = ['vpc-routing-table-route-create', 'vpc-two', usual.name, '--zone', 'us-south-2'];
  const hop = ['--next-hop', 'c', '--vpngw', 'routed'];
  const made = await json(...add, '--destination', '10.2.0.0/24', ...hop, '--name', 'r', '--priority', '0');
  t.match(made, { name: 'r', priority: 0, next_hop: { id: connection.id } });
  t.match(await json(...add, '--destination', '10.3.0.0/24', '--action', 'drop', '--name', 'd'), {
    action: 'drop',
  });
  t.match(await json(...add, '--destination', '10.4.0.0/24', '--next-hop', connection.id), {
    next_hop: { name: 'c' },
  });
  t.match(await cli(...add, '--destination', '10.5.0.0/24', '--vpngw', 'routed'), {
    code: 2,
    err: /--next-hop/,
  });
  t.match(await cli(...add.slice(0, 3), '--destination', '10.5.0.0/24'), { code: 2, err: /needs --zone/ });
  const { out } = await cli('vpc-routing-table-routes', 'vpc-two', usual.id);
  t.match(out, /^r +waiting +us-south-2 +10\.2\.0\.0\/24 +deliver +c +0 +user/m);
  const states = await cli('vpc-route-states', 'vpc-two');
  t.match(states.out, /^r .*10\.2\.0\.0\/24 +waiting .*\(member 1 down\) \(member 2 down\)/m);
  t.match(states.out, /^d .*10\.3\.0\.0\/24 +stable /m);
  const told: { name: string; reason?: string }[] = await json('vpc-route-states', 'vpc-two');
  t.match(told.find(({ name }) => name === 'r')?.reason, /^no tunnel of connection c is up/);
  const change = ['vpc-routing-table-route-update', 'vpc-two', usual.name, 'r'];
  t.match(await json(...change, '--next-hop', '192.168.0.9', '--advertise', 'true'), {
    next_hop: { address: '192.168.0.9' },
    advertise: true,
  });
  t.match(await cli('vpc-routing-table-route', 'vpc-two', usual.name, 'none'), {
    code: 1,
    err: /no route of/,
  });
  t.equal((await cli('vpc-routing-table-route-delete', 'vpc-two', usual.name, 'r', 'd', '-f')).code, 0);
  t.equal((await json('vpc-routing-table-routes', 'vpc-two', usual.name)).length, 1);

  const free = ['--direct-link-ingress', 'false'];
  t.match(await cli('subnet-update', 'subnet-2', '--routing-table-id', 'own'), { code: 1, err: /ingress/ });
  await lab.patch(
    `/vpcs/r006-vpc-two/routing_tables/${table.id}`,
    { advertise_routes_to: [] },
    {
      headers: { 'if-match': '*' },
    },
  );
  await json('vpc-routing-table-update', 'vpc-two', 'own', ...free);
  t.equal((await json('subnet-update', 'subnet-2', '--routing-table-id', 'own')).routing_table.name, 'own');
  t.equal((await json('subnet-routing-table', 'subnet-2')).id, table.id);
  t.match(await cli('subnet-update', 'subnet-2'), { code: 2, err: /--routing-table-id/ });
  t.match(await cli('vpc-routing-table-delete', 'vpc-two', 'own', '-f'), {
    code: 1,
    err: /attached to subnet/,
  });
  await json('subnet-update', 'subnet-2', '--routing-table-id', usual.id);
  t.equal((await cli('vpc-routing-table-delete', 'vpc-two', 'own', '-f')).code, 0);
});
