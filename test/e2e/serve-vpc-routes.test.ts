import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { MEMBER_ADDRESSES, ServeLab, SUBNETS_OF_TWO_MEMBERS, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

t.test('routes to connections follow the tunnels', { skip, timeout: 300_000 }, async (t) => {
  const lab = await ServeLab.open({ auth: 'none', api_keys: [], subnets: SUBNETS_OF_TWO_MEMBERS });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  const rulesOf = async (node: string) =>
    (await lab.network.run(node, ['sh', '-c', 'ip rule; ip -6 rule; ip route show table all proto 223']))
      .stdout;
  const before = await Promise.all(VPCS.map(({ node }) => rulesOf(node)));
  await lab.start();
  const get = async (path: string) => (await lab.call('GET', path)).body;
  const made = async (path: string, body: object) => {
    const answer = await lab.call('POST', path, body);
    t.equal(answer.status, 201, JSON.stringify(answer.body));
    return answer.body;
  };
  const known = (await get('/subnets')).subnets as { id: string; name: string; vpc: { id: string } }[];
  const subnetOf = (index: number) => known.find(({ name }) => name === `subnet-${index + 1}`)!;
  const gateways: string[] = [];
  for (const index of [0, 1]) {
    const body = { name: `gateway-${index + 1}`, subnet: { id: subnetOf(index).id } };
    gateways.push((await made('/vpn_gateways', body)).id);
  }
  for (const id of gateways) {
    await until('both members run', async () => (await get(`/vpn_gateways/${id}`)).health_state === 'ok');
  }
  // Each member of one end is a peer of each member of the other.
  const connections: string[][] = [[], []];
  const routes: string[][] = [[], []];
  for (const [index, id] of gateways.entries()) {
    for (const [n, address] of MEMBER_ADDRESSES[1 - index]!.entries()) {
      const body = { name: `to-member-${n + 1}`, psk: 'correct-horse-battery', peer: { address } };
      connections[index]!.push((await made(`/vpn_gateways/${id}/connections`, body)).id);
    }
  }
  t.equal(await lab.ping(vpc1, vpc2.hostAddress, 1), 0, 'without routes nothing gets through');
  for (const index of [0, 1]) {
    for (const [n, id] of connections[index]!.entries()) {
      const route = await made(`/vpcs/${subnetOf(index).vpc.id}/routes`, {
        name: `by-${n + 1}`,
        destination: VPCS[1 - index]!.cidr,
        zone: { name: 'us-south-1' },
        next_hop: { id },
        priority: n + 1,
      });
      routes[index]!.push(`/vpcs/${subnetOf(index).vpc.id}/routes/${route.id}`);
    }
  }
  const become = (path: string, state: string) =>
    until(`${path} is ${state}`, async () => (await get(path)).lifecycle_state === state);
  for (const path of routes.flat()) await become(path, 'stable');
  t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'through the first connection');
  t.equal(await lab.ping(vpc2, vpc1.hostAddress), 2);

  const [first, second] = routes[0] as [string, string];
  const down = `/vpn_gateways/${gateways[0]}/connections/${connections[0]![0]}`;
  t.equal((await lab.call('PATCH', down, { admin_state_up: false })).status, 200);
  await become(first, 'waiting');
  t.equal((await get(second)).lifecycle_state, 'stable');
  t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'through the other, while the first is down');
  t.equal((await lab.call('PATCH', down, { admin_state_up: true })).status, 200);
  await become(first, 'stable');

  t.match(await lab.call('DELETE', down), {
    status: 409,
    body: { errors: [{ code: 'vpn_connection_in_use' }] },
  });
  t.match(await lab.call('DELETE', `/vpn_gateways/${gateways[0]}`), {
    status: 409,
    body: { errors: [{ code: 'vpn_gateway_in_use' }] },
  });

  // A member dies with its TUN devices, and its route is taken by another tunnel.
  const [victim] = lab.gateways(`${gateways[0]}-0`);
  process.kill(victim!, 'SIGKILL');
  await until('it is gone', () => !lab.gateways(`${gateways[0]}-0`).includes(victim!));
  await until('the other one carries on', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);
  await until('all is well', async () => (await get(`/vpn_gateways/${gateways[0]}`)).health_state === 'ok');

  // A server that was killed leaves them in force; the next one takes them over.
  await become(first, 'stable');
  const laid = await rulesOf(vpc1.node);
  await lab.end('SIGKILL');
  t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'without a server');
  await lab.start();
  for (const path of routes.flat()) await become(path, 'stable');
  t.equal((await rulesOf(vpc1.node)).split('\n').length, laid.split('\n').length);
  t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2);

  // A subnet with a table of its own.
  const tables = `/vpcs/${subnetOf(0).vpc.id}/routing_tables`;
  const table = await made(tables, {
    routes: [
      { name: 'none', destination: '0.0.0.0/0', zone: { name: 'us-south-1' }, action: 'drop' },
      { name: 'home', destination: vpc1.cidr, zone: { name: 'us-south-1' }, action: 'delegate' },
    ],
  });
  const attach = (id: string) => lab.call('PUT', `/subnets/${subnetOf(0).id}/routing_table`, { id });
  t.equal((await attach(table.id)).status, 201);
  await until('it is closed', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 0);
  t.equal((await lab.call('DELETE', `${tables}/${table.id}`)).status, 409);
  const { id: usual } = await get(`/vpcs/${subnetOf(0).vpc.id}/default_routing_table`);
  t.equal((await attach(usual)).status, 201);
  await until('it is open again', async () => (await lab.ping(vpc1, vpc2.hostAddress, 1)) === 1);
  t.equal((await lab.call('DELETE', `${tables}/${table.id}`)).status, 204);

  for (const path of routes.flat()) t.equal((await lab.call('DELETE', path)).status, 204);
  await until('no rule is left', async () => {
    const after = await Promise.all(VPCS.map(({ node }) => rulesOf(node)));
    return after.every((text, index) => text === before[index]);
  });
  t.equal(await lab.end('SIGTERM'), 0);
});
