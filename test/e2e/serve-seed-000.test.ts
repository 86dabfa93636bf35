import t from 'tap';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { ServeLab, until, VPCS } from '../helpers/serve-lab.js';

const skip = skipWithoutTun() || skipWithoutProgram('curl');

const [vpc1, vpc2] = [VPCS[0]!, VPCS[1]!];

/** The calls of "Adding connections to a VPN gateway" (2025), with the comma that its JSON lacks. */
const CREATE = `curl -sS -X POST "$vpc_api_endpoint/v1/vpn_gateways/$vpnGatewayId/connections?version=$api_version&generation=2" \
        -H "Authorization: $iam_token" \
        -d '{
            "name": "my-vpn-connection",
            "psk": "'$psk'",
            "dead_peer_detection": {
                "action": "restart",
                "interval": 2,
                "timeout": 10
            },
            "local": {
                "cidrs": '$localCidrs'
            },
            "peer": {
                "cidrs": '$remoteCidrs',
                "address": "7.8.9.10"
            },
            "ike_policy": {
                "id": "'$ikePolicyId'"
            },
            "ipsec_policy": {
                "id": "'$ipsecPolicyId'"
            }
        }'`;
const CREATE_ADVANCED = `curl -sS -X POST "$vpc_api_endpoint/v1/vpn_gateways/$vpnGatewayId/connections?version=$api_version&generation=2"  \
         -H "Authorization: $iam_token"      -d '{
         "name": "my-advanced-vpn-connection",
         "establish_mode": "peer_only",
         "psk": "'$psk'",
         "dead_peer_detection": {
             "action": "restart",
             "interval": 2,
             "timeout": 10
         },
         "local": {
             "cidrs": '$localCidrs',
             "ike_identities": [
                 {
                     "type": "key_id",
                     "value": "dGVzdGtleQ=="
                 }
             ]
         },
         "peer": {
             "cidrs": '$remoteCidrs',
             "ike_identity": {
                 "type": "hostname",
                 "value": "cisco-asa"
             },
             "fqdn": "on-prem.test.com"
         },
         "ike_policy": {
             "id": "'$ikePolicyId'"
         },
         "ipsec_policy": {
             "id": "'$ipsecPolicyId'"
         },
         "distribute_traffic":true
     }'`;
const ADD_CIDR = `curl -sS -o /dev/null -w '%{http_code}' -X PUT "$vpc_api_endpoint/v1/vpn_gateways/$vpnGatewayId/connections/$connectionId/$side/\${cidr_prefix}/\${prefix_length}?version=$api_version&generation=2" \
        -H "Authorization: $iam_token"`;

t.test('the calls of the document, and its settings on the wire', { skip, timeout: 110_000 }, async (t) => {
  const lab = await ServeLab.open({ auth: 'none', api_keys: [] });
  t.teardown(() => lab.dispose());
  t.teardown(() => t.passing() || t.comment(lab.log.slice(-6000)));
  await lab.start();
  const json = async (...argv: string[]) => {
    const { code, out, err } = await lab.culvert(...argv, '--output', 'json');
    if (code !== 0) throw new Error(`${argv.join(' ')}: ${err}`);
    return JSON.parse(out);
  };
  await json('vpn-gateway-create', 'one', 'subnet-1');
  await json('vpn-gateway-create', 'two', 'subnet-2');
  const gateway = await json('vpn-gateway', 'one');
  const ike = await json('ike-policy-create', 'ike', 'sha384', '19', 'aes256', '2');
  const ipsec = await json('ipsec-policy-create', 'ipsec', 'sha256', 'aes256', 'group_19');

  await t.test('curl', async (t) => {
    const variables = {
      iam_token: 'none',
      api_version: '2025-08-20',
      vpnGatewayId: gateway.id,
      psk: 'lkj14b1oi0alcniejkso',
      ikePolicyId: ike.id,
      ipsecPolicyId: ipsec.id,
    };
    const first = { localCidrs: '["10.240.0.0/24"]', remoteCidrs: '["192.168.1.0/24"]' };
    const made = JSON.parse(await lab.sh(CREATE, { ...variables, ...first }));
    t.match(made, { name: 'my-vpn-connection', peer: { address: '7.8.9.10' }, ike_policy: { id: ike.id } });
    const second = { localCidrs: '["10.241.0.0/24"]', remoteCidrs: '["192.168.2.0/24"]' };
    t.match(JSON.parse(await lab.sh(CREATE_ADVANCED, { ...variables, ...second })), {
      establish_mode: 'peer_only',
      local: { ike_identities: [{ type: 'key_id', value: 'dGVzdGtleQ==' }] },
      peer: {
        fqdn: 'on-prem.test.com',
        type: 'fqdn',
        ike_identity: { type: 'hostname', value: 'cisco-asa' },
      },
    });
    const cidr = { connectionId: made.id, cidr_prefix: '3.3.3.0', prefix_length: '24' };
    t.equal(await lab.sh(ADD_CIDR, { ...variables, ...cidr, side: 'local_cidrs' }), '204');
    const other = { ...cidr, cidr_prefix: '4.4.4.0' };
    t.equal(await lab.sh(ADD_CIDR, { ...variables, ...other, side: 'peer_cidrs' }), '204');
    t.match(await json('vpn-gateway-connection', 'one', 'my-vpn-connection'), {
      local: { cidrs: ['10.240.0.0/24', '3.3.3.0/24'] },
      peer: { cidrs: ['192.168.1.0/24', '4.4.4.0/24'] },
      status: 'down',
    });
  });

  await t.test('peer only, known by a key id, with policies and dead peer detection', async (t) => {
    const policies = ['--ike-policy', 'ike', '--ipsec-policy', 'ipsec'];
    const dpd = ['--dead-peer-detection-action', 'clear', '--dead-peer-detection-interval', '33'];
    const common = ['lkj14b1oi0alcniejkso', ...policies, ...dpd, '--dead-peer-detection-timeout', '100'];
    const waits = await json(
      ...['vpn-gateway-connection-create', 'waits', 'one', vpc2.gatewayAddress, ...common],
      ...['--local-cidr', vpc1.cidr, '--peer-cidr', vpc2.cidr, '--establish-mode', 'peer_only'],
      ...['--peer-ike-identity-type', 'key_id', '--peer-ike-identity-value', 'MTIzNA=='],
    );
    t.equal(waits.status, 'down');
    await json(
      ...['vpn-gateway-connection-create', 'begins', 'two', vpc1.gatewayAddress, ...common],
      ...['--local-cidr', vpc2.cidr, '--peer-cidr', vpc1.cidr],
      ...['--local-ike-identities', '[{type:key_id,value:MTIzNA==}]'],
    );
    await until(
      'it is up',
      async () => (await json('vpn-gateway-connection', 'one', 'waits')).status === 'up',
    );
    t.equal(await lab.ping(vpc1, vpc2.hostAddress), 2);
    t.match(await lab.culvert('vpn-gateway-connection-explain', 'one', 'waits'), {
      code: 0,
      out: /^The connection with .* is up for 1 pair of networks\.\n[\s\S]*What happened lately/,
    });
    t.match(await lab.culvert('vpn-gateway-connection-explain', 'one', 'my-vpn-connection'), {
      code: 1,
      out: /^The connection is down\. [\s\S]*cause: /,
    });
    const history = `/vpn_gateways/${gateway.id}/connections/${waits.id}/history`;
    await until('the pings are in the history', async () => {
      const { points } = (await lab.call('GET', history)).body.members[0];
      const total = (field: string): number =>
        points.reduce((sum: number, point: Record<string, number>) => sum + point[field]!, 0);
      return total('packets_in') >= 2 && total('packets_out') >= 2 && total('up_seconds') > 0;
    });
    t.match(
      lab.log,
      /IKEv2 SA \d+ established as responder with key_id:/,
      'the one that waits has not begun',
    );
  });
  t.equal(await lab.end('SIGTERM'), 0);
  t.same(lab.gateways(), []);
});
