import { join } from 'node:path';
import t from 'tap';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { MEMBER_ADDRESSES, ServeLab, SUBNETS_OF_TWO_MEMBERS, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun();

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

interface Tunnel {
  readonly public_ip: { readonly address: string };
  readonly status: string;
}

t.test(
  'route mode by the API: two members a gateway, and routes decide',
  { skip, timeout: 300_000 },
  async (t) => {
    const lab = await ServeLab.open({ auth: 'none', api_keys: [], subnets: SUBNETS_OF_TWO_MEMBERS });
    t.teardown(() => lab.dispose());
    t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
    const before = await Promise.all(VPCS.map(({ node }) => lab.stateOf(node)));
    await lab.start();
    const known = (await lab.call('GET', '/subnets')).body.subnets as { id: string; name: string }[];
    const gateways: string[] = [];
    for (const { name } of SUBNETS_OF_TWO_MEMBERS) {
      const subnet = { id: known.find((one) => one.name === name)!.id };
      const { status, body } = await lab.call('POST', '/vpn_gateways', { name: `gateway-${name}`, subnet });
      t.match({ status, body }, { status: 201, body: { mode: 'route', local_asn: 64_520 } });
      gateways.push(body.id);
    }
    const [one, two] = gateways as [string, string];
    for (const [index, id] of gateways.entries()) {
      const gateway = await until('both members run', async () => {
        const { body } = await lab.call('GET', `/vpn_gateways/${id}`);
        return body.lifecycle_state === 'stable' && body.health_state === 'ok' && body;
      });
      const members = gateway.members as { role: string; public_ip: { address: string } }[];
      t.same(
        members.map(({ role, public_ip }) => [role, public_ip.address]),
        MEMBER_ADDRESSES[index]!.map((address) => ['active', address]),
      );
      t.equal(lab.gateways(id).length, 2, 'a process each');
      t.equal((await lab.call('PUT', `/vpn_gateways/${id}/advertised_cidrs/10.45.0.0%2F16`)).status, 204);
    }

    // Each member of one end is a peer of each member of the other: four tunnels.
    for (const [id, peers] of [
      [one, MEMBER_ADDRESSES[1]],
      [two, MEMBER_ADDRESSES[0]],
    ] as const) {
      for (const [n, address] of peers.entries()) {
        const body = {
          name: `to-member-${n + 1}`,
          psk: 'correct-horse-battery',
          peer: { address },
          distribute_traffic: true,
        };
        const made = await lab.call('POST', `/vpn_gateways/${id}/connections`, body);
        t.match(made, {
          status: 201,
          body: { mode: 'route', distribute_traffic: true, routing_protocol: 'none' },
        });
        t.same(
          (made.body.local.ike_identities as { value: string }[]).map(({ value }) => value),
          MEMBER_ADDRESSES[id === one ? 0 : 1],
          'an identity for each member',
        );
      }
    }
    const connectionsOf = async (id: string) =>
      (await lab.call('GET', `/vpn_gateways/${id}/connections`)).body.connections as {
        name: string;
        status: string;
        tunnels: Tunnel[];
      }[];
    const allUp = async (id: string) => {
      const all = await connectionsOf(id);
      return (
        all.length === 2 && all.every(({ tunnels }) => tunnels.every(({ status }) => status === 'up')) && all
      );
    };
    for (const id of gateways) {
      const all = await until('every tunnel is up', () => allUp(id));
      for (const { status, tunnels } of all) {
        t.equal(status, 'up');
        t.same(
          tunnels.map(({ public_ip }) => public_ip.address),
          MEMBER_ADDRESSES[id === one ? 0 : 1],
        );
      }
    }

    /** Device of a connection at a member, as the operator finds it. */
    const device = async (id: string, member: number, name: string): Promise<string> => {
      const control = join(lab.folder, 'run', `${id}-${member}.sock`);
      const { out } = await lab.culvert('status', '--control', control, '--output', 'json');
      const connections = (await lab.call('GET', `/vpn_gateways/${id}/connections`)).body.connections;
      const wanted = connections.find((each: { name: string }) => each.name === name).id;
      return JSON.parse(out).connections.find((each: { id: string }) => each.id === wanted).interface;
    };
    const route = (node: string, cidr: string, through: string) =>
      lab.network.check(node, ['ip', 'route', 'replace', cidr, 'dev', through]);
    t.equal(await lab.ping(vpc1, vpc2.hostAddress, 1), 0, 'without routes nothing gets through');
    await route(vpc1.node, vpc2.cidr, await device(one, 0, 'to-member-1'));
    await route(vpc2.node, vpc1.cidr, await device(two, 0, 'to-member-1'));
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'through the first tunnel');
    t.equal(await lab.ping(vpc2, vpc1.hostAddress), 2);
    await route(vpc1.node, vpc2.cidr, await device(one, 1, 'to-member-2'));
    await route(vpc2.node, vpc1.cidr, await device(two, 1, 'to-member-2'));
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'through the tunnel between the second members');

    const [victim] = lab.gateways(`${one}-0`);
    process.kill(victim!, 'SIGKILL');
    await until('the gateway has only one member', async () => {
      const { body } = await lab.call('GET', `/vpn_gateways/${one}`);
      return body.health_state === 'degraded' || lab.gateways(`${one}-0`).some((pid) => pid !== victim);
    });
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'the other one carries on');
    await until(
      'and then two again',
      async () => (await lab.call('GET', `/vpn_gateways/${one}`)).body.health_state === 'ok',
    );
    for (const id of gateways) await until('every tunnel is up again', () => allUp(id));

    for (const id of gateways) t.equal((await lab.call('DELETE', `/vpn_gateways/${id}`)).status, 202);
    for (const [index, id] of gateways.entries()) {
      await until('it is gone', async () => (await lab.call('GET', `/vpn_gateways/${id}`)).status === 404);
      t.equal(await lab.stateOf(VPCS[index]!.node), before[index], 'with devices, addresses and routes');
    }
    t.equal(await lab.end('SIGTERM'), 0);
  },
);
