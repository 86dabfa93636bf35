import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun() || skipWithoutProgram('curl');

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];
const EARLY = 'version=2019-01-01';

/** The four calls of the example in "Using VPN with your VPC" (2019), and the one that looks at the outcome. */
const LOGIN = `curl -sS -X POST $rias_endpoint/identity/token --data-urlencode grant_type=urn:ibm:params:oauth:grant-type:apikey --data-urlencode apikey=$key`;
const GATEWAY = `curl -sS -H "Authorization: $iam_token" -X POST "$rias_endpoint/v1/vpn_gateways?${EARLY}" \
    -d '{
            "name": "'$name'",
            "subnet": {"id": "'$subnet'"}
        }'`;
const SHOW_GATEWAY = `curl -sS -H "Authorization: $iam_token" -X GET "$rias_endpoint/v1/vpn_gateways/$gwid?${EARLY}"`;
const CONNECTION = `curl -sS -H "Authorization: $iam_token" -X POST "$rias_endpoint/v1/vpn_gateways/$gwid/connections?${EARLY}" \
        -d '{
                "name": "'$name'",
                "peer_address": "'$gwaddress'",
                "psk": "VPNDemoPassword",
                "local_cidrs": [ "'$local'" ],
                "peer_cidrs": [ "'$peer'" ]
            }'`;
const CONNECTIONS = `curl -sS -H "Authorization: $iam_token" -X GET "$rias_endpoint/v1/vpn_gateways/$gwid/connections?${EARLY}"`;

t.test('two VPCs by curl alone, then changes, crashes and the end', { skip, timeout: 240_000 }, async (t) => {
  const lab = await ServeLab.open({ orphan_seconds: 20 });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  const before = await Promise.all(VPCS.map(({ node }) => lab.stateOf(node)));
  await lab.start();
  const token = JSON.parse(await lab.sh(LOGIN, { key: lab.apiKey }));
  const iam_token = `Bearer ${token.access_token}`;
  const call = async (script: string, variables: Record<string, string> = {}) =>
    JSON.parse(await lab.sh(script, { iam_token, ...variables }));
  const api = (method: string, path: string, body?: object, version = '2026-03-24') => {
    const data = body === undefined ? '' : `-H 'Content-Type: application/json' -d '${JSON.stringify(body)}'`;
    const url = `"$rias_endpoint/v1${path}?version=${version}&generation=2"`;
    const script = `curl -sS -w '\\n%{http_code}' -X ${method} -H "Authorization: $iam_token" ${data} ${url}`;
    return lab.sh(script, { iam_token }).then((text) => {
      const [, answer = '', status = ''] = /^([\s\S]*)\n([0-9]+)$/.exec(text) ?? [];
      return { status: Number(status), body: answer === '' ? undefined : JSON.parse(answer) };
    });
  };
  const subnets = (await api('GET', '/subnets')).body.subnets as { id: string; name: string }[];
  const subnet = (name: string) => subnets.find((one) => one.name === name)!.id;
  let gw1 = '';
  let gw2 = '';
  let c1 = '';

  await t.test('the example: two gateways, two connections, one network', async (t) => {
    t.match(await lab.sh(`curl -sS "$rias_endpoint/v1/vpn_gateways?${EARLY}"`), /token_missing/);
    const made1 = await call(GATEWAY, { name: 'vpn-gateway-1', subnet: subnet('subnet-1') });
    t.match(made1, {
      crn: `crn:v1:bluemix:public:is:us-south:a/b668aa2600ac21c890aef16a6210b2fd::vpn:${made1.id}`,
      name: 'vpn-gateway-1',
      href: `${lab.url}/v1/vpn_gateways/${made1.id}`,
      created_at: /^20.*Z$/,
      status: 'pending',
      public_ip: { address: vpc1.gatewayAddress },
      subnet: {
        id: subnet('subnet-1'),
        name: 'subnet-1',
        href: `${lab.url}/v1/subnets/${subnet('subnet-1')}`,
      },
      resource_group: { id: String, href: String },
    });
    const made2 = await call(GATEWAY, { name: 'vpn-gateway-2', subnet: subnet('subnet-2') });
    gw1 = made1.id;
    gw2 = made2.id;
    await until('both gateways are available', async () => {
      const seen = [await call(SHOW_GATEWAY, { gwid: gw1 }), await call(SHOW_GATEWAY, { gwid: gw2 })];
      return seen.every(({ status }) => status === 'available');
    });
    const connection1 = await call(CONNECTION, {
      name: 'vpn-connection-to-vpn-gateway-2',
      gwid: gw1,
      gwaddress: made2.public_ip.address,
      local: vpc1.cidr,
      peer: vpc2.cidr,
    });
    t.match(connection1, {
      href: `${lab.url}/v1/vpn_gateways/${gw1}/connections/${connection1.id}`,
      local_cidrs: [vpc1.cidr],
      peer_cidrs: [vpc2.cidr],
      peer_address: vpc2.gatewayAddress,
      admin_state_up: true,
      psk: 'VPNDemoPassword',
      dead_peer_detection: { action: 'none', interval: 30, timeout: 120 },
      created_at: /^20.*Z$/,
      route_mode: 'policy',
      authentication_mode: 'psk',
      status: 'down',
    });
    c1 = connection1.id;
    t.equal(
      (await call(CONNECTIONS, { gwid: gw1 })).connections[0].status,
      'down',
      'the peer knows nothing yet',
    );
    t.equal(await lab.ping(vpc1, vpc2.hostAddress, 1), 0, 'nothing gets through');
    const connection2 = await call(CONNECTION, {
      name: 'vpn-connection-to-vpn-gateway-1',
      gwid: gw2,
      gwaddress: made1.public_ip.address,
      local: vpc2.cidr,
      peer: vpc1.cidr,
    });
    t.equal(connection2.status, 'down');
    for (const gwid of [gw1, gw2]) {
      const list = await until(`the connection of ${gwid} is up`, async () => {
        const seen = await call(CONNECTIONS, { gwid });
        return seen.connections[0].status === 'up' && seen;
      });
      t.equal(list.limit, 10);
      t.equal(list.first.href, `${lab.url}/v1/vpn_gateways/${gwid}/connections?limit=10`);
    }
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2);
    t.equal(await lab.ping(vpc2, vpc1.hostAddress), 2);
  });

  const healthOf = async (id: string) => (await api('GET', `/vpn_gateways/${id}`)).body.health_state;
  const statusOf = async () => (await api('GET', `/vpn_gateways/${gw1}/connections/${c1}`)).body.status;
  const isUp = async () => (await statusOf()) === 'up';

  await t.test('changes have their effect at once, and no other', async (t) => {
    const pids = lab.gateways();
    const path = `/vpn_gateways/${gw1}/connections/${c1}`;
    t.match(await api('PATCH', path, { admin_state_up: false }), { status: 200, body: { status: 'down' } });
    await until('the peer sees it go', async () => {
      const { body } = await api('GET', `/vpn_gateways/${gw2}/connections`);
      return body.connections[0].status === 'down';
    });
    t.equal(await lab.ping(vpc1, vpc2.hostAddress, 1), 0);
    await api('PATCH', path, {
      admin_state_up: true,
      dead_peer_detection: { action: 'restart', interval: 2, timeout: 10 },
    });
    await until('it is up again', isUp);

    const socket = join(lab.folder, 'run', `${gw1}-0.sock`);
    const seen = async (name: string) => {
      const { code, out } = await lab.culvert('status', '--control', socket, name, '--output', 'json');
      return code === 1 ? undefined : JSON.parse(out);
    };
    const { name } = (await api('GET', path)).body;
    const before = await seen(name);
    t.equal((await api('PATCH', path, { name: 'renamed' })).body.name, 'renamed');
    const after = await until('the process knows the new name', () => seen('renamed'));
    t.equal(after.id, c1);
    t.equal(after.ike.initiator_spi, before.ike.initiator_spi, 'its SAs go on under the new name');
    t.same(
      after.children.map((child: { spi_in: string }) => child.spi_in),
      before.children.map((child: { spi_in: string }) => child.spi_in),
    );
    t.equal(await seen(name), undefined);
    t.equal(await lab.ping(vpc1, vpc2.hostAddress, 1), 1);
    await api('PATCH', path, { name });

    // A further network on both sides, by both families of paths.
    for (const { node } of VPCS.slice(0, 1)) {
      await lab.network.check(node, ['ip', 'address', 'add', '10.9.0.1/24', 'dev', 'lo']);
    }
    const early = `/vpn_gateways/${gw1}/connections/${c1}/local_cidrs/10.9.0.0/24`;
    t.equal((await api('PUT', early, undefined, '2019-01-01')).status, 204);
    const [c2] = (await api('GET', `/vpn_gateways/${gw2}/connections`)).body.connections;
    const late = `/vpn_gateways/${gw2}/connections/${c2.id}/peer/cidrs/10.9.0.0%2F24`;
    t.equal((await api('PUT', late)).status, 201);
    await until('the new network is reached', async () => (await lab.ping(vpc2, '10.9.0.1', 1)) === 1);
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'and the others still are');
    t.equal((await api('DELETE', `${path}/local/cidrs/10.9.0.0%2F24`)).status, 204);
    await until('it is gone again', async () => (await lab.ping(vpc2, '10.9.0.1', 1)) === 0);
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2);
    t.equal((await api('DELETE', late)).status, 204);

    t.equal((await api('PATCH', path, { psk: 'AnotherPassword' })).status, 200);
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'a new key counts for the next negotiation');
    t.equal((await api('PATCH', path, { psk: 'VPNDemoPassword' })).status, 200);
    t.same(lab.gateways(), pids, 'by the same processes');
  });

  await t.test('a wrong key is told by the API', async (t) => {
    const path = `/vpn_gateways/${gw1}/connections/${c1}`;
    await api('PATCH', path, { psk: 'AnotherPassword', admin_state_up: false });
    await api('PATCH', path, { admin_state_up: true });
    const { body } = await until('the reason is there', async () => {
      const answer = await api('GET', path);
      return answer.body.status_reasons.length > 0 && answer;
    });
    t.match(body, { status: 'down', status_reasons: [{ code: 'cannot_authenticate_connection' }] });
    await api('PATCH', path, { psk: 'VPNDemoPassword', admin_state_up: false });
    await api('PATCH', path, { admin_state_up: true });
    await until('it is up again', isUp);
  });

  await t.test('a gateway that is killed is started again, and no other notices', async (t) => {
    const [victim] = lab.gateways(gw1);
    const other = lab.gateways(gw2);
    process.kill(victim!, 'SIGKILL');
    await until('another process has taken its place', () => {
      const now = lab.gateways(gw1);
      return now.length === 1 && now[0] !== victim;
    });
    await until('it is healthy again', async () => (await healthOf(gw1)) === 'ok');
    await until('and connected', isUp);
    await until('and carries traffic', async () => (await lab.ping(vpc1, vpc2.hostAddress)) === 2);
    t.same(lab.gateways(gw2), other);
  });

  await t.test('gateways outlive a server that is killed; the next one goes on with them', async (t) => {
    const pids = lab.gateways();
    await lab.end('SIGKILL');
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2, 'without a server');
    await lab.start();
    t.same(lab.gateways(), pids);
    await until('it knows their state', isUp);
    const { body } = await api('GET', `/vpn_gateways/${gw1}/connections/${c1}`, undefined, '2019-01-01');
    t.match(body, { psk: 'VPNDemoPassword', dead_peer_detection: { action: 'restart' } }, 'and every change');
  });

  await t.test('export and apply', async (t) => {
    const file = join(lab.folder, 'vpn.yaml');
    t.match(await lab.culvert('export', '-f', file), { code: 0 });
    const pids = lab.gateways();
    t.match(await lab.culvert('apply', '-f', file, '--prune'), {
      code: 0,
      out: 'nothing to do: 4 objects are as the file says\n',
    });
    t.same(lab.gateways(), pids);
    const table = (await lab.culvert('vpn-gateway-connections', 'vpn-gateway-1')).out;
    t.match(table, /^vpn-connection-to-vpn-gateway-2 +up +up +192\.0\.2\.2 /m);
  });

  await t.test('a deleted gateway leaves nothing behind', async (t) => {
    const early = { iam_token, gwid: gw1 };
    const script = `curl -sS -o /dev/null -w '%{http_code}' -H "Authorization: $iam_token" -X DELETE "$rias_endpoint/v1/vpn_gateways/$gwid?${EARLY}"`;
    t.equal(await lab.sh(script, early), '204');
    await until('it is gone', async () => (await api('GET', `/vpn_gateways/${gw1}`)).status === 404);
    t.same(lab.gateways(gw1), []);
    await lab.network.check('vpc-1', ['ip', 'address', 'del', '10.9.0.1/24', 'dev', 'lo']);
    t.equal(await lab.stateOf(vpc1.node), before[0]);
    t.same(
      readdirSync(join(lab.folder, 'run')).filter((name) => name.startsWith(gw1)),
      [],
    );
  });

  await t.test('the end of the server is the end of its gateways', async (t) => {
    t.equal(await lab.end('SIGTERM'), 0);
    t.same(lab.gateways(), []);
    t.equal(await lab.stateOf(vpc2.node), before[1]);
    t.same(readdirSync(join(lab.folder, 'run')), []);
  });
});
