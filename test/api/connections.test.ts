import t from 'tap';
import { ApiLab, EARLY, FLAT, IKE, PSK, policyConnection } from '../helpers/api-lab.js';

t.test('a policy mode connection', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const made = await lab.post(list, {
    psk: PSK,
    local: { cidrs: ['192.168.100.0/24'] },
    peer: { address: '169.21.50.5', cidrs: ['10.45.1.0/24'] },
  });
  t.equal(made.status, 201);
  const { id } = made.body;
  const path = `${list}/${id}`;
  t.match(made.body, {
    name: /^[a-z]+(-[a-z]+)+$/,
    href: `http://localhost/v1${path}`,
    psk: PSK,
    mode: 'policy',
    status: 'down',
    admin_state_up: true,
    authentication_mode: 'psk',
    establish_mode: 'bidirectional',
    dead_peer_detection: { action: 'restart', interval: 2, timeout: 10 },
    local: { cidrs: ['192.168.100.0/24'], ike_identities: [{ type: 'ipv4_address', value: '169.61.161.1' }] },
    peer: {
      type: 'address',
      address: '169.21.50.5',
      cidrs: ['10.45.1.0/24'],
      ike_identity: { type: 'ipv4_address', value: '169.21.50.5' },
    },
    resource_type: 'vpn_gateway_connection',
  });
  t.same(made.body.status_reasons, []);
  t.notOk('ike_policy' in made.body, 'absent when automatic');
  for (const field of ['tunnels', 'routing_protocol', 'distribute_traffic']) t.notOk(field in made.body);
  t.match(made.headers.etag, /^W\/"[0-9a-f-]{36}"$/);
  t.match((await lab.get(`/vpn_gateways/${gateway}`)).body.connections, [{ id, name: made.body.name }]);

  await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 1);
  const wish = lab.runner.desired.get(gateway)!;
  t.match(wish.members[0]?.connections[0], { id, peer: { address: '169.21.50.5' } });
  t.equal(wish.members[0]?.connections[0]?.name, made.body.name);

  lab.runner.setConnection(id, {
    status: 'down',
    status_reasons: [
      {
        code: 'peer_not_responding',
        message: 'The peer is silent.',
        more_info: 'vpc-vpn-health#vpn-connection-health',
        details: { cause: 'peer_silent' },
      },
    ],
  });
  t.same((await lab.get(path)).body.status_reasons, [
    {
      code: 'peer_not_responding',
      message: 'The peer is silent.',
      more_info: 'http://localhost/culvert/v1/docs/vpc-vpn-health?cause=peer_silent#vpn-connection-health',
    },
  ]);
  lab.runner.setConnection(id, { status: 'up', status_reasons: [] });
  t.equal((await lab.get(path)).body.status, 'up');
  t.equal((await lab.get(`${list}?status=up`)).body.total_count, 1);
  t.equal((await lab.get(`${list}?status=down`)).body.total_count, 0);
  t.equal((await lab.get(`${list}?status=sideways`)).status, 400);

  t.match((await lab.patch(path, { admin_state_up: false })).body, { admin_state_up: false, status: 'down' });
  const gone = await lab.delete(path);
  t.same([gone.status, gone.body], [202, undefined]);
  t.equal((await lab.get(path)).body.errors[0].code, 'vpn_connection_not_found');
  t.equal((await lab.patch(path, {})).status, 404);
  t.equal((await lab.delete(path)).status, 404);
  await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 0);
});

t.test('patches', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const { id } = (await lab.post(list, policyConnection(1))).body;
  const path = `${list}/${id}`;
  const policy = await lab.post('/ike_policies', IKE);
  const changed = await lab.patch(path, {
    admin_state_up: false,
    dead_peer_detection: { action: 'clear', interval: 5, timeout: 30 },
    establish_mode: 'peer_only',
    name: 'renamed',
    peer: { address: '169.21.50.6' },
    psk: 'n3wSecret',
    ike_policy: { id: policy.body.id },
  });
  t.match(changed.body, {
    admin_state_up: false,
    dead_peer_detection: { action: 'clear', interval: 5, timeout: 30 },
    establish_mode: 'peer_only',
    name: 'renamed',
    psk: 'n3wSecret',
    ike_policy: { id: policy.body.id },
    peer: { address: '169.21.50.6', ike_identity: { value: '169.21.50.6' } },
  });
  t.match((await lab.patch(path, { dead_peer_detection: { interval: 6 } })).body.dead_peer_detection, {
    action: 'clear',
    interval: 6,
    timeout: 30,
  });
  const before = (await lab.get(path)).headers.etag;
  t.equal((await lab.patch(path, {})).headers.etag, before, 'no change, no new tag');
  t.equal((await lab.patch(path, { peer: {} })).headers.etag, before);
  t.equal((await lab.patch(path, { psk: null, name: null, peer: null })).headers.etag, before);
  const cleared = await lab.patch(path, { ike_policy: null, ipsec_policy: null });
  t.notOk('ike_policy' in cleared.body);

  const refuse = async (body: unknown, status: number, code: string): Promise<void> => {
    const answer = await lab.patch(path, body);
    t.same([answer.status, answer.body.errors[0].code], [status, code], JSON.stringify(body));
  };
  await refuse({ peer: { fqdn: 'b.example.com' } }, 400, 'validation_only_one');
  await refuse({ peer: { cidrs: ['10.0.0.0/8'] } }, 400, 'vpn_connection_update_cidrs_not_permitted');
  await refuse({ local: { cidrs: ['10.0.0.0/8'] } }, 400, 'vpn_connection_update_cidrs_not_permitted');
  await refuse({ mode: 'route' }, 400, 'bad_field');
  await refuse({ psk: 'short' }, 400, 'vpn_connection_invalid_psk_format');
  await refuse({ ike_policy: { id: 'none' } }, 404, 'ike_policy_not_found');
  await refuse({ dead_peer_detection: { interval: 31 } }, 400, 'validation_failure');
  await refuse({ peer: { address: '169.61.161.1' } }, 400, 'validation_invalid_address');
  await refuse({ name: '' }, 400, 'vpn_connection_invalid_name');
  await refuse('text', 400, 'bad_request');
  t.equal((await lab.get(path)).headers.etag, cleared.headers.etag, 'nothing was half done');

  const named = await lab.post(
    list,
    policyConnection(2, {
      peer: {
        fqdn: 'on-prem.example.com',
        cidrs: ['10.2.0.0/16'],
        ike_identity: { type: 'key_id', value: 'MTIzNA==' },
      },
    }),
  );
  const other = `${list}/${named.body.id}`;
  const moved = await lab.patch(other, { peer: { fqdn: 'new.example.com' } });
  t.match(moved.body.peer, {
    type: 'fqdn',
    fqdn: 'new.example.com',
    ike_identity: { type: 'key_id', value: 'MTIzNA==' },
  });
  t.equal((await lab.patch(other, { peer: { address: '1.2.3.4' } })).status, 400);
  t.equal((await lab.patch(other, { name: 'renamed' })).body.errors[0].code, 'vpn_connection_duplicate_name');
  t.equal((await lab.get(other, { version: FLAT })).body.peer_address, 'new.example.com', 'not resolved yet');
  lab.runner.setConnection(named.body.id, { ike: { peer_endpoint: '198.51.100.7:4500' } as never });
  t.equal((await lab.get(other, { version: FLAT })).body.peer_address, '198.51.100.7');
});

t.test('ETag and If-Match', async (t) => {
  const lab = await ApiLab.open(t);
  const list = `/vpn_gateways/${await lab.gateway('gw')}/connections`;
  const made = await lab.post(list, policyConnection(1));
  const path = `${list}/${made.body.id}`;
  const tag = made.headers.etag as string;
  t.equal((await lab.get(path)).headers.etag, tag);
  const match = (value: string) => ({ headers: { 'if-match': value } });
  const changed = await lab.patch(path, { name: 'two' }, match(tag));
  t.equal(changed.status, 200);
  t.not(changed.headers.etag, tag);
  t.equal((await lab.patch(path, { name: 'three' }, match(tag))).status, 412);
  t.equal((await lab.patch(path, { name: 'three' }, match('garbage'))).status, 412);
  t.equal((await lab.delete(path, match(tag))).status, 412);
  t.equal((await lab.patch(path, { name: 'three' }, match(`"x", ${changed.headers.etag}`))).status, 200);
  t.equal((await lab.patch(path, { name: 'four' }, match('*'))).status, 200);

  const now = (await lab.get(path)).headers.etag as string;
  const racers = await Promise.all(
    Array.from({ length: 20 }, (_, n) => lab.patch(path, { name: `racer-${n}` }, match(now))),
  );
  t.equal(racers.filter(({ status }) => status === 200).length, 1, 'one of twenty wins');
  t.equal(racers.filter(({ status }) => status === 412).length, 19);
  const last = (await lab.get(path)).headers.etag as string;
  t.equal((await lab.delete(path, match(last))).status, 202);
  t.equal((await lab.delete(path, match(last))).status, 404);
});

t.test('networks of a connection', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const made = await lab.post(list, policyConnection(1));
  const path = `${list}/${made.body.id}`;
  const code = async (answer: Promise<{ status: number; body: { errors: { code: string }[] } }>) => {
    const { status, body } = await answer;
    return [status, body?.errors[0]?.code];
  };
  for (const [side, own, other] of [
    ['local', '192.168.100.0', '192.168.101.0'],
    ['peer', '10.1.0.0', '10.77.0.0'],
  ] as const) {
    const modern = `${path}/${side}/cidrs`;
    const old = `${path}/${side}_cidrs`;
    const prefix = side === 'local' ? 24 : 16;
    t.same((await lab.get(modern)).body, { cidrs: [`${own}/${prefix}`] });
    t.same((await lab.get(old)).body, { [`${side}_cidrs`]: [`${own}/${prefix}`] });
    for (const version of [EARLY, FLAT, '2026-03-24']) {
      t.equal((await lab.put(`${modern}/${other}%2F24`, { version })).status, 201);
      t.equal((await lab.put(`${modern}/${other}%2F24`, { version })).status, 204, 'there already');
      t.equal((await lab.put(`${old}/${other}/24`, { version })).status, 204);
      t.equal((await lab.get(`${modern}/${other}%2f24`, { version })).status, 204);
      t.equal((await lab.get(`${old}/${other}/24`, { version })).status, 204);
      t.equal((await lab.delete(`${old}/${other}/24`, { version })).status, 204);
      t.equal((await lab.put(`${old}/${other}/24`, { version })).status, 204, 'added the old way');
      t.equal((await lab.delete(`${modern}/${other}%2F24`, { version })).status, 204);
      t.same(await code(lab.get(`${old}/${other}/24`, { version })), [404, 'vpn_connection_cidr_not_found']);
      t.same(await code(lab.delete(`${modern}/${other}%2F24`, { version })), [
        404,
        'vpn_connection_cidr_not_found',
      ]);
    }
    t.same(await code(lab.delete(`${modern}/${own}%2F${prefix}`)), [400, 'vpn_connection_cidr_not_deleted']);
    t.same(await code(lab.put(`${modern}/10.0.0.1%2F24`)), [400, 'vpn_connection_cidr_not_valid']);
    t.same(await code(lab.put(`${old}/10.0.0.1/24`)), [400, 'vpn_connection_cidr_not_valid']);
    t.same(await code(lab.get(`${old}/10.0.0.1/x`)), [400, 'vpn_connection_cidr_not_valid']);
    t.same(await code(lab.put(`${modern}/nonsense`)), [400, 'vpn_connection_cidr_not_valid']);
    t.same(await code(lab.put(`${path}x/${side}/cidrs/nonsense`)), [404, 'vpn_connection_not_found']);
    t.same(await code(lab.put(`/vpn_gateways/none/connections/x/${side}/cidrs/x`)), [
      404,
      'vpn_gateway_not_found',
    ]);
  }
  t.same(await code(lab.put(`${path}/peer/cidrs/192.168.100.0%2F25`)), [400, 'vpn_connection_cidr_overlap']);
  t.same(await code(lab.put(`${path}/local/cidrs/192.168.100.0%2F25`)), [400, 'vpn_connection_cidr_overlap']);
  t.equal((await lab.put(`${path}/peer/cidrs/0.0.0.0%2F0`)).status, 400, 'it holds the other peer network');
  const put = await lab.send('PUT', `${path}/local/cidrs/192.168.102.0%2F24`, {
    headers: { 'content-type': 'application/json', 'content-length': '0' },
  });
  t.equal(put.status, 201, 'an empty body under a JSON content type');
  await lab.until(
    () => lab.runner.desired.get(gateway)?.members[0]?.connections[0]?.local.cidrs.length === 2,
  );

  for (let n = 103; n < 115; n++) {
    t.equal((await lab.put(`${path}/local/cidrs/192.168.${n}.0%2F24`)).status, 201);
  }
  t.same(await code(lab.put(`${path}/local/cidrs/192.168.115.0%2F24`)), [
    400,
    'vpn_connection_local_subnets_quota_exceeded_for_connection',
  ]);
  t.same(await code(lab.put(`${path}/peer/cidrs/10.99.0.0%2F24`)), [
    400,
    'vpn_connection_peer_subnets_quota_exceeded_for_connection',
  ]);
  const many = (n: number) =>
    lab.post(list, {
      psk: PSK,
      local: { cidrs: ['192.168.100.0/24'] },
      peer: { address: `169.21.51.${n}`, cidrs: Array.from({ length: 14 }, (_, i) => `10.${n}.${i}.0/24`) },
    });
  t.equal((await many(21)).status, 201);
  t.equal((await many(22)).status, 201);
  t.same(await code(many(23)), [400, 'vpn_connection_peer_subnets_quota_exceeded']);

  const route = await lab.gateway('route', 'route');
  const tunnel = await lab.post(`/vpn_gateways/${route}/connections`, {
    psk: PSK,
    peer: { address: '1.2.3.4' },
  });
  const wrong = `/vpn_gateways/${route}/connections/${tunnel.body.id}`;
  for (const target of [`${wrong}/local/cidrs`, `${wrong}/peer_cidrs`]) {
    t.same(await code(lab.get(target)), [400, 'vpn_connection_update_cidrs_not_permitted']);
  }
});

t.test('static route mode', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw', 'route');
  const list = `/vpn_gateways/${gateway}/connections`;
  const made = await lab.post(list, { psk: PSK, peer: { address: '169.21.50.5' }, distribute_traffic: true });
  t.equal(made.status, 201);
  const { id } = made.body;
  t.match(made.body, {
    mode: 'route',
    routing_protocol: 'none',
    distribute_traffic: true,
    local: {
      ike_identities: [
        { type: 'ipv4_address', value: '169.61.161.1' },
        { type: 'ipv4_address', value: '169.61.161.2' },
      ],
    },
    tunnels: [
      { public_ip: { address: '169.61.161.1' }, status: 'down' },
      { public_ip: { address: '169.61.161.2' }, status: 'down' },
    ],
  });
  t.notOk('cidrs' in made.body.local);
  t.match((await lab.get(`${list}/${id}`, { version: FLAT })).body, {
    mode: 'route',
    peer_address: '169.21.50.5',
    tunnels: [{}, {}],
  });
  t.equal((await lab.patch(`${list}/${id}`, { distribute_traffic: false })).body.distribute_traffic, false);
  await lab.until(() => lab.runner.desired.get(gateway)?.members[1]?.connections.length === 1);
  t.same(
    lab.runner.desired.get(gateway)?.members.map(({ connections }) => connections[0]?.local.ikeIdentities),
    [[{ type: 'ipv4_address', value: '169.61.161.1' }], [{ type: 'ipv4_address', value: '169.61.161.2' }]],
    'each member has its own identity',
  );
  const peerOnly = await lab.post(list, {
    psk: PSK,
    establish_mode: 'peer_only',
    local: {
      ike_identities: [
        { type: 'ipv4_address', value: '2.2.2.2' },
        { type: 'fqdn', value: 'sadsadasd.com' },
      ],
    },
    peer: { address: '169.21.50.6', ike_identity: { type: 'key_id', value: 'MTIzNA==' } },
  });
  t.equal(peerOnly.status, 201, 'the peer-only example');
  await lab.until(() => lab.runner.desired.get(gateway)?.members[1]?.connections.length === 2);
  t.same(lab.runner.desired.get(gateway)?.members[1]?.connections[1]?.local.ikeIdentities, [
    { type: 'fqdn', value: 'sadsadasd.com' },
  ]);
  const refuse = async (body: object, code: string): Promise<void> => {
    const answer = await lab.post(list, { psk: PSK, peer: { address: '169.21.50.9' }, ...body });
    t.same([answer.status, answer.body.errors[0].code], [400, code], JSON.stringify(body));
  };
  await refuse({ local: { cidrs: ['10.0.0.0/8'] } }, 'bad_field');
  await refuse({ local: { ike_identities: [{ type: 'fqdn', value: 'a.b' }] } }, 'validation_failure');
  await refuse({ routing_protocol: 'bgp' }, 'bad_field');
  await refuse({ peer: { address: '169.21.50.9', asn: 65534 } }, 'bad_field');
  await refuse({ tunnels: [] }, 'bad_field');
  const bgp = await lab.post(list, {
    psk: PSK,
    peer: { address: '1.2.3.4', asn: 1 },
    routing_protocol: 'bgp',
    tunnels: [{}, {}],
  });
  t.match(bgp.body.errors[0], { target: { name: 'routing_protocol' }, message: /BGP/ });
  t.equal((await lab.patch(`${list}/${id}`, { tunnels: [] })).body.errors[0].target.name, 'If-Match');
  const tag = { headers: { 'if-match': '*' } };
  t.equal((await lab.patch(`${list}/${id}`, { tunnels: [] }, tag)).body.errors[0].target.name, 'tunnels');
});

t.test('what a connection cannot be', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const peer = { address: '169.21.50.1', cidrs: ['10.1.0.0/16'] };
  const refuse = async (body: unknown, status: number, code: string, target?: string): Promise<void> => {
    const answer = await lab.post(list, body);
    t.same([answer.status, answer.body.errors[0].code], [status, code], JSON.stringify(body));
    if (target !== undefined) t.equal(answer.body.errors[0].target.name, target);
  };
  const given = (more: object) => policyConnection(1, more);
  await refuse(given({ psk: undefined }), 400, 'validation_required_field', 'psk');
  for (const psk of ['short', '0xabcdef', '0sabcdef', 'with space', 'x'.repeat(129), 'smörgås']) {
    const answer = await lab.post(list, given({ psk }));
    t.same([answer.status, answer.body.errors[0].code], [400, 'vpn_connection_invalid_psk_format'], psk);
    t.notMatch(JSON.stringify(answer.body), psk, 'the key is not in the answer');
  }
  await refuse(given({ psk: 123456 }), 400, 'validation_invalid_field_type', 'psk');
  await refuse(given({ local: undefined }), 400, 'vpn_connection_local_cidrs_required');
  await refuse(given({ local: { cidrs: [] } }), 400, 'vpn_connection_local_cidrs_required');
  await refuse(
    given({ local: { cidrs: '10.0.0.0/8' } }),
    400,
    'validation_invalid_field_type',
    'local.cidrs',
  );
  await refuse(given({ peer: { address: '169.21.50.1' } }), 400, 'vpn_connection_peer_cidrs_required');
  await refuse(given({ peer: undefined }), 400, 'validation_required_field', 'peer');
  await refuse(given({ peer: { cidrs: ['10.1.0.0/16'] } }), 400, 'validation_required_field');
  await refuse(given({ peer: { ...peer, fqdn: 'b.example.com' } }), 400, 'validation_only_one');
  await refuse(given({ peer: { ...peer, address: 'b.example.com' } }), 400, 'validation_invalid_address');
  await refuse(given({ peer: { ...peer, address: '169.61.161.1' } }), 400, 'validation_invalid_address');
  await refuse(
    given({ peer: { ...peer, cidrs: ['10.1.0.1/16'] } }),
    400,
    'vpn_connection_cidr_not_valid',
    'peer.cidrs[0]',
  );
  await refuse(
    given({ peer: { ...peer, cidrs: ['10.1.0.0/16', '10.1.0.0/16'] } }),
    400,
    'vpn_connection_cidr_duplicated',
  );
  await refuse(
    given({ peer: { ...peer, cidrs: ['10.1.0.0/16', '10.1.1.0/24'] } }),
    400,
    'vpn_connection_cidr_overlap',
  );
  await refuse(given({ peer: { ...peer, cidrs: ['192.168.0.0/16'] } }), 400, 'vpn_connection_cidr_overlap');
  await refuse(
    given({ peer: { ...peer, ike_identity: { type: 'key_id', value: '?' } } }),
    400,
    'validation_failure',
  );
  await refuse(
    given({ peer: { ...peer, ike_identity: { type: 'magic', value: 'x' } } }),
    400,
    'validation_enum',
  );
  await refuse(given({ dead_peer_detection: { interval: 11 } }), 400, 'validation_failure');
  await refuse(given({ dead_peer_detection: { interval: 0 } }), 400, 'validation_min_value');
  await refuse(given({ dead_peer_detection: { timeout: 86_400 } }), 400, 'validation_max_value');
  await refuse(given({ establish_mode: 'never' }), 400, 'validation_enum');
  await refuse(given({ ike_policy: { id: 'none' } }), 404, 'ike_policy_not_found');
  await refuse(given({ ipsec_policy: { id: 'none' } }), 404, 'ipsec_policy_not_found');
  await refuse(given({ peer_address: '1.2.3.4' }), 400, 'bad_field', 'peer_address');
  await refuse(given({ name: 'x_y' }), 400, 'vpn_connection_invalid_name', 'name');
  await refuse(
    given({
      local: {
        cidrs: ['192.168.100.0/24'],
        ike_identities: [
          { type: 'fqdn', value: 'a.b' },
          { type: 'fqdn', value: 'c.d' },
        ],
      },
    }),
    400,
    'validation_failure',
  );
  t.equal((await lab.get(list)).body.total_count, 0);
  const missing = await lab.post('/vpn_gateways/none/connections', 'no object');
  t.same([missing.status, missing.body.errors[0].code], [404, 'vpn_gateway_not_found']);

  t.equal(
    (await lab.post(list, given({ distribute_traffic: true }))).status,
    201,
    'taken for nothing in policy mode',
  );
  await refuse(policyConnection(2, { name: 'connection-1' }), 409, 'vpn_connection_duplicate_name');
  await refuse(
    policyConnection(2, { peer: { ...peer, address: '169.21.50.2' } }),
    400,
    'vpn_connection_cidr_overlap',
  );
  await refuse(policyConnection(2, { peer }), 400, 'vpn_connection_pair_cidrs_duplicated');
  const other = await lab.gateway('gw-2');
  const clash = await lab.post(
    `/vpn_gateways/${other}/connections`,
    policyConnection(2, { peer: { ...peer, address: '169.21.50.2' } }),
  );
  t.equal(clash.body.errors?.[0].code, 'vpn_connection_cidr_overlap', 'two peers with one network in a VPC');
  const elsewhere = await lab.gateway('gw-3', 'policy', '0717-sub2');
  const fine = await lab.post(
    `/vpn_gateways/${elsewhere}/connections`,
    policyConnection(2, { peer: { ...peer, address: '169.21.50.2' } }),
  );
  t.equal(fine.status, 201, 'another VPC');

  const alike = { peer: { address: '169.21.50.1', cidrs: ['10.200.0.0/16'] } };
  await refuse(policyConnection(3, { ...alike, psk: 'another-key' }), 400, 'validation_failure');
  t.equal(
    (await lab.post(list, policyConnection(3, { ...alike, psk: 'another-key', admin_state_up: false })))
      .status,
    201,
  );
  for (let n = 10; n < 18; n++) t.equal((await lab.post(list, policyConnection(n))).status, 201);
  await refuse(policyConnection(99), 400, 'vpn_connections_quota_exceeded');
});

t.test('connections that only their networks tell apart', async (t) => {
  const lab = await ApiLab.open(t);
  const list = `/vpn_gateways/${await lab.gateway('gw')}/connections`;
  const policy = async (ike_version: number): Promise<{ id: string }> => {
    const algorithms = { authentication_algorithm: 'sha256', encryption_algorithm: 'aes256', dh_group: 14 };
    return { id: (await lab.post('/ike_policies', { ...algorithms, ike_version })).body.id };
  };
  const [one, two] = [await policy(1), await policy(2)];
  const to = (n: number, ike_policy: object | null, more: object = {}) =>
    policyConnection(n, { ike_policy, peer: { address: '169.21.50.1', cidrs: [`10.${n}.0.0/16`] }, ...more });
  const refused = async (answer: Promise<{ status: number; body: unknown }>, name: string) =>
    t.match(
      await answer,
      {
        status: 400,
        body: { errors: [{ code: 'validation_failure', message: /IKEv1 .* other IKE identities/ }] },
      },
      name,
    );

  const first = (await lab.post(list, to(1, one))).body;
  await refused(lab.post(list, to(2, one)), 'a second one with IKEv1');
  const identities = {
    local: { cidrs: ['192.168.100.0/24'], ike_identities: [{ type: 'fqdn', value: 'two.example' }] },
  };
  t.equal((await lab.post(list, to(3, one, identities))).status, 201, 'an identity tells them apart');
  const second = await lab.post(list, to(2, one, { admin_state_up: false }));
  t.equal(second.status, 201, 'one that is down is in no way of others');
  await refused(lab.patch(`${list}/${second.body.id}`, { admin_state_up: true }), 'both up');
  for (const { id } of [first, second.body])
    await lab.patch(`${list}/${id}`, { ike_policy: two, admin_state_up: false });
  for (const { id } of [first, second.body]) {
    t.equal(
      (await lab.patch(`${list}/${id}`, { admin_state_up: true })).status,
      200,
      'with IKEv2 they may stand',
    );
  }
  const target = { name: 'ike_version', type: 'field' };
  const change = await lab.patch(`/ike_policies/${two.id}`, { ike_version: 1 });
  t.match(change, { status: 400, body: { errors: [{ code: 'validation_failure', target }] } });
  t.match(
    change.body.errors[0].message,
    /refused by connection connection-2, which has the peer .* of connection connection-1/,
  );
  t.equal((await lab.patch(`/ike_policies/${two.id}`, { key_lifetime: 7200 })).status, 200);
  await lab.delete(`${list}/${first.id}`);
  t.equal((await lab.patch(`/ike_policies/${two.id}`, { ike_version: 1 })).status, 200, 'one alone may');
});

t.test('the form until 2024-04-29, and that of 2019', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const flat = {
    name: 'vpn-connection-to-vpn-gateway-2',
    peer_address: '169.61.161.150',
    psk: 'VPNDemoPassword',
    local_cidrs: ['192.168.100.0/24'],
    peer_cidrs: ['192.168.0.0/24'],
  };
  const made = await lab.post(list, flat, { version: EARLY });
  t.equal(made.status, 201);
  const { id } = made.body;
  t.match(made.body, {
    ...flat,
    admin_state_up: true,
    dead_peer_detection: { action: 'none', interval: 30, timeout: 120 },
    route_mode: 'policy',
    authentication_mode: 'psk',
    status: 'down',
  });
  t.notOk('mode' in made.body);
  const page = await lab.get(list, { version: EARLY });
  t.equal(page.body.limit, 10);
  t.equal(page.body.first.href, `http://localhost/v1${list}?limit=10`);
  const path = `${list}/${id}`;
  t.match((await lab.get(path, { version: FLAT })).body, { peer_address: '169.61.161.150', mode: 'policy' });
  t.match((await lab.get(path)).body, {
    peer: { address: '169.61.161.150' },
    establish_mode: 'bidirectional',
  });
  const moved = await lab.patch(
    path,
    { peer_address: '169.61.161.151', name: 'New_Name' },
    { version: EARLY },
  );
  t.match(moved.body, { peer_address: '169.61.161.151', name: 'New_Name' });
  const second = { ...flat, name: 'second', peer_address: '169.61.161.160', peer_cidrs: ['10.9.0.0/16'] };
  t.match((await lab.post(list, second, { version: FLAT })).body.dead_peer_detection, { action: 'restart' });

  const refuse = async (body: object, code: string, target: string): Promise<void> => {
    const answer = await lab.post(list, { ...flat, name: 'third', ...body }, { version: FLAT });
    t.match(answer.body.errors?.[0], { code, target: { name: target } }, JSON.stringify(body));
  };
  await refuse({ peer: { address: '1.2.3.4' } }, 'bad_field', 'peer');
  await refuse({ peer_address: 'b.example.com' }, 'validation_invalid_address', 'peer_address');
  await refuse({ local_cidrs: undefined }, 'vpn_connection_local_cidrs_required', 'local_cidrs');
  await refuse({ peer_cidrs: [] }, 'vpn_connection_peer_cidrs_required', 'peer_cidrs');
  await refuse({ peer_cidrs: ['10.0.0.1/8'] }, 'vpn_connection_cidr_not_valid', 'peer_cidrs[0]');
  const patchCidrs = await lab.patch(path, { local_cidrs: ['10.0.0.0/8'] }, { version: FLAT });
  t.equal(patchCidrs.body.errors[0].code, 'vpn_connection_update_cidrs_not_permitted');
  t.equal((await lab.delete(path, { version: EARLY })).status, 204);
});
