import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

t.test(
  'behind a gateway that was killed nothing is left, whoever takes it away',
  { skip, timeout: 240_000 },
  async (t) => {
    const lab = await ServeLab.open({ auth: 'none', api_keys: [] });
    t.teardown(() => lab.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
    const before = await lab.stateOf(vpc1.node);
    await lab.start();
    const around = () =>
      lab.network.check(vpc1.node, ['ip', 'route', 'show', 'proto', '223', vpc2.gatewayAddress]);
    /** A gateway whose peer lies in the network behind the tunnel: it lays a route to it around the tunnel. */
    const make = async (): Promise<string> => {
      const { subnets } = (await lab.call('GET', '/subnets')).body;
      const subnet = { id: subnets.find((one: { name: string }) => one.name === 'subnet-1').id };
      const { id } = (await lab.call('POST', '/vpn_gateways', { name: 'one', mode: 'policy', subnet })).body;
      const connection = await lab.call('POST', `/vpn_gateways/${id}/connections`, {
        psk: 'lkj14b1oi0alcniejkso',
        local: { cidrs: [vpc1.cidr] },
        peer: { address: vpc2.gatewayAddress, cidrs: ['192.0.2.0/25', vpc2.cidr] },
      });
      t.equal(connection.status, 201);
      await until(
        'it runs',
        async () => (await lab.call('GET', `/vpn_gateways/${id}`)).body.health_state === 'ok',
      );
      await until('its route is there', async () => (await around()).includes('dev wan'));
      return id;
    };
    const kill = (id: string): void => {
      for (const pid of lab.gateways(id)) process.kill(pid, 'SIGKILL');
    };
    const leftOf = (id: string) => readdirSync(join(lab.folder, 'run')).filter((name) => name.startsWith(id));

    await t.test('killed, and deleted before it is started again', async (t) => {
      const id = await make();
      kill(id);
      t.equal((await lab.call('DELETE', `/vpn_gateways/${id}`)).status, 202);
      await until('it is gone', async () => (await lab.call('GET', `/vpn_gateways/${id}`)).status === 404);
      t.equal(await lab.stateOf(vpc1.node), before);
      t.same(leftOf(id), []);
      t.same(lab.gateways(id), []);
    });

    await t.test('killed, and started again without what it had laid', async (t) => {
      const id = await make();
      const [connection] = (await lab.call('GET', `/vpn_gateways/${id}/connections`)).body.connections;
      kill(id);
      const path = `/vpn_gateways/${id}/connections/${connection.id}`;
      t.equal((await lab.call('DELETE', `${path}/peer/cidrs/192.0.2.0%2F25`)).status, 204);
      await until(
        'it runs again',
        async () => (await lab.call('GET', `/vpn_gateways/${id}`)).body.health_state === 'ok',
      );
      await until('without the route', async () => (await around()) === '');
      t.equal((await lab.call('DELETE', `/vpn_gateways/${id}`)).status, 202);
      await until('it is gone', async () => (await lab.call('GET', `/vpn_gateways/${id}`)).status === 404);
      t.equal(await lab.stateOf(vpc1.node), before);
    });

    await t.test('killed with its server, and unknown to the next one', async (t) => {
      const id = await make();
      await lab.end('SIGKILL');
      kill(id);
      t.match(await around(), /dev wan/, 'its route is still there');
      for (const name of ['store.db', 'store.db-wal', 'store.db-shm'])
        rmSync(join(lab.folder, name), { force: true });
      await lab.start();
      t.equal(await lab.stateOf(vpc1.node), before);
      t.same(leftOf(id), []);
      t.equal((await lab.call('GET', '/vpn_gateways')).body.total_count, 0);
    });
    t.equal(await lab.end('SIGTERM'), 0);
  },
);
