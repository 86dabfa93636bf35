import t from 'tap';
import { ApiLab, EARLY, FLAT, IKE, policyConnection } from '../helpers/api-lab.js';

const IPSEC = { authentication_algorithm: 'sha256', encryption_algorithm: 'aes256', pfs: 'group_14' };

t.test('IKE policies', async (t) => {
  const lab = await ApiLab.open(t);
  const made = await lab.post('/ike_policies', {
    ...IKE,
    name: 'my-ike-policy',
    key_lifetime: 3600,
    resource_group: { id: 'fee82deba12e4c0fb69c3b09d1f12345' },
  });
  t.equal(made.status, 201);
  t.match(made.body.id, /^r006-/);
  t.match(made.body, {
    ...IKE,
    authentication_algorithms: ['sha256'],
    encryption_algorithms: ['aes256'],
    dh_groups: [14],
    key_lifetime: 3600,
    name: 'my-ike-policy',
    negotiation_mode: 'main',
    resource_type: 'ike_policy',
    resource_group: { id: 'fee82deba12e4c0fb69c3b09d1f12345', name: 'other' },
    connections: [],
  });
  const path = `/ike_policies/${made.body.id}`;
  t.same((await lab.get(path)).body, made.body);
  t.equal((await lab.patch(path, {})).body.key_lifetime, 3600);
  t.match((await lab.patch(path, { dh_group: 19, name: 'renamed', ike_version: 1 })).body, {
    dh_group: 19,
    dh_groups: [19],
    name: 'renamed',
    ike_version: 1,
  });
  t.equal((await lab.post('/ike_policies', IKE)).body.key_lifetime, 28_800);
  const list = (await lab.get('/ike_policies')).body;
  t.same([list.total_count, list.limit, list.ike_policies.length], [2, 50, 2]);
  t.equal((await lab.delete(path)).status, 204);
  for (const answer of [
    await lab.get(path),
    await lab.patch(path, {}),
    await lab.delete(path),
    await lab.get(`${path}/connections`),
  ]) {
    t.same([answer.status, answer.body.errors[0].code], [404, 'ike_policy_not_found']);
  }
});

t.test('IPsec policies', async (t) => {
  const lab = await ApiLab.open(t);
  const made = await lab.post('/ipsec_policies', {
    name: 'my-ipsec-policy',
    authentication_algorithm: 'disabled',
    encryption_algorithm: 'aes256gcm16',
    pfs: 'group_19',
    key_lifetime: 3600,
  });
  t.equal(made.status, 201);
  t.match(made.body, {
    authentication_algorithm: 'disabled',
    authentication_algorithms: ['disabled'],
    encryption_algorithm: 'aes256gcm16',
    pfs: 'group_19',
    pfs_groups: ['group_19'],
    encapsulation_mode: 'tunnel',
    transform_protocol: 'esp',
    resource_type: 'ipsec_policy',
  });
  const path = `/ipsec_policies/${made.body.id}`;
  t.equal((await lab.patch(path, { pfs: 'disabled' })).body.pfs, 'disabled');
  t.equal(
    (await lab.patch(path, { encryption_algorithm: 'aes128' })).status,
    400,
    'authentication is missing',
  );
  const cbc = await lab.patch(path, { encryption_algorithm: 'aes128', authentication_algorithm: 'sha512' });
  t.match(cbc.body, { encryption_algorithm: 'aes128', authentication_algorithm: 'sha512' });
  t.equal((await lab.post('/ipsec_policies', IPSEC)).body.key_lifetime, 3600);
  t.equal((await lab.get('/ipsec_policies')).body.total_count, 2);
  t.equal((await lab.delete(path)).status, 204);
  t.equal((await lab.delete(path)).body.errors[0].code, 'ipsec_policy_not_found');
  t.equal((await lab.get(`${path}/connections`)).status, 404);
});

t.test('several algorithms', async (t) => {
  const lab = await ApiLab.open(t);
  const made = await lab.post('/ike_policies', {
    ike_version: 2,
    authentication_algorithms: ['sha512', 'sha256'],
    encryption_algorithm: 'aes256',
    dh_groups: [31, 19, 14],
  });
  t.match(made.body, {
    authentication_algorithm: 'multiple',
    authentication_algorithms: ['sha512', 'sha256'],
    encryption_algorithm: 'aes256',
    encryption_algorithms: ['aes256'],
    dh_group: 65_535,
    dh_groups: [31, 19, 14],
  });
  const path = `/ike_policies/${made.body.id}`;
  const nulls = {
    name: 'kept',
    authentication_algorithms: null,
    dh_groups: null,
    encryption_algorithms: null,
  };
  t.match(
    (await lab.patch(path, nulls)).body,
    { dh_groups: [31, 19, 14], name: 'kept' },
    'null is "not given"',
  );
  t.match((await lab.patch(path, { dh_group: 15 })).body, { dh_group: 15, dh_groups: [15] });
  t.match((await lab.patch(path, { dh_groups: [16, 15] })).body, { dh_group: 65_535, dh_groups: [16, 15] });
  t.match((await lab.patch(path, { dh_groups: [17] })).body, { dh_group: 17 });

  const refuse = async (body: object, code: string): Promise<void> => {
    const answer = await lab.post('/ike_policies', { ...IKE, ...body });
    t.same([answer.status, answer.body.errors[0].code], [400, code], JSON.stringify(body));
    t.equal((await lab.patch(path, body)).status, 400, 'nor in a patch');
  };
  await refuse({ dh_group: 14, dh_groups: [14] }, 'validation_only_one');
  await refuse({ authentication_algorithm: 'multiple' }, 'validation_enum');
  await refuse({ dh_group: 65_535 }, 'validation_enum');
  await refuse({ dh_group: null, dh_groups: [] }, 'validation_failure');
  await refuse({ dh_group: null, dh_groups: [14, 14] }, 'validation_failure');
  await refuse({ dh_group: null, dh_groups: [14, 99] }, 'validation_enum');
  const four = ['sha256', 'sha384', 'sha512', 'sha1'];
  await refuse({ authentication_algorithm: null, authentication_algorithms: four }, 'validation_failure');
  const one = await lab.post('/ike_policies', {
    ...IKE,
    ike_version: 1,
    dh_group: null,
    dh_groups: [14, 15],
  });
  t.equal(one.status, 400, 'IKEv1 has one algorithm a category');
  t.equal((await lab.patch(path, { ike_version: 1 })).status, 400);

  const mixed = await lab.post('/ipsec_policies', {
    authentication_algorithm: 'disabled',
    encryption_algorithms: ['aes256gcm16', 'aes256'],
    pfs_groups: ['group_14', 'disabled'],
  });
  t.equal(mixed.status, 400, 'GCM and others do not mix');
  const groups = await lab.post('/ipsec_policies', {
    authentication_algorithms: ['sha256'],
    encryption_algorithms: ['aes256', 'aes128'],
    pfs_groups: ['group_14', 'disabled'],
  });
  t.match(groups.body, {
    pfs: 'multiple',
    pfs_groups: ['group_14', 'disabled'],
    encryption_algorithm: 'multiple',
  });
});

t.test('what a policy cannot be', async (t) => {
  const lab = await ApiLab.open(t, { site: { quotas: { ike_policies: 2, ipsec_policies: 1 } } });
  const refuse = async (path: string, body: unknown, status: number, code: string): Promise<void> => {
    const answer = await lab.post(path, body);
    t.same([answer.status, answer.body.errors[0].code], [status, code], JSON.stringify(body));
  };
  for (const field of Object.keys(IKE)) {
    await refuse('/ike_policies', { ...IKE, [field]: undefined }, 400, 'validation_required_field');
  }
  for (const field of Object.keys(IPSEC)) {
    await refuse('/ipsec_policies', { ...IPSEC, [field]: undefined }, 400, 'validation_required_field');
  }
  await refuse('/ike_policies', { ...IKE, name: 'Not_Lower' }, 400, 'ike_policy_invalid_name');
  await refuse('/ipsec_policies', { ...IPSEC, name: '-' }, 400, 'ipsec_policy_invalid_name');
  await refuse('/ike_policies', { ...IKE, key_lifetime: 1799 }, 400, 'validation_min_value');
  await refuse('/ike_policies', { ...IKE, key_lifetime: 86_401 }, 400, 'validation_max_value');
  await refuse('/ike_policies', { ...IKE, key_lifetime: '3600' }, 400, 'validation_invalid_field_type');
  await refuse('/ike_policies', { ...IKE, ike_version: 3 }, 400, 'validation_enum');
  await refuse('/ike_policies', { ...IKE, dh_group: 25 }, 400, 'validation_enum');
  await refuse('/ike_policies', { ...IKE, encryption: 'aes256' }, 400, 'bad_field');
  await refuse('/ike_policies', { ...IKE, resource_group: { id: 'none' } }, 404, 'not_found');
  await refuse(
    '/ipsec_policies',
    { ...IPSEC, authentication_algorithm: 'disabled' },
    400,
    'validation_failure',
  );
  await refuse(
    '/ipsec_policies',
    { ...IPSEC, encryption_algorithm: 'aes128gcm16' },
    400,
    'validation_failure',
  );
  const several = await lab.post('/ike_policies', { ...IKE, dh_group: 'x', key_lifetime: 1, color: 'red' });
  t.equal(several.body.errors.length, 3, 'all faults at once');
  t.equal((await lab.get('/ike_policies')).body.total_count, 0);

  await lab.post('/ike_policies', { ...IKE, name: 'one' });
  const two = await lab.post('/ike_policies', { ...IKE, name: 'two' });
  await refuse('/ike_policies', { ...IKE, name: 'one' }, 409, 'ike_policy_duplicate_name');
  await refuse('/ike_policies', { ...IKE, name: 'three' }, 400, 'ike_policies_quota_exceeded');
  t.equal((await lab.patch(`/ike_policies/${two.body.id}`, { name: 'one' })).status, 409);
  await lab.post('/ipsec_policies', { ...IPSEC, name: 'one' });
  await refuse('/ipsec_policies', { ...IPSEC, name: 'one' }, 409, 'ipsec_policy_duplicate_name');
  await refuse('/ipsec_policies', IPSEC, 400, 'ipsec_policies_quota_exceeded');
});

t.test('algorithms of 2019', async (t) => {
  const lab = await ApiLab.open(t);
  const body = { ike_version: 1, authentication_algorithm: 'md5', encryption_algorithm: '3des', dh_group: 2 };
  const early = await lab.post(
    '/ike_policies',
    { ...body, key_lifetime: 300, name: 'Old_one' },
    { version: EARLY },
  );
  t.equal(early.status, 201);
  t.match(early.body, { ...body, key_lifetime: 300 });
  t.equal((await lab.get(`/ike_policies/${early.body.id}`)).body.encryption_algorithm, 'triple_des');
  t.equal((await lab.post('/ike_policies', { ...body, key_lifetime: 300 })).status, 400);
  for (const encryption_algorithm of ['3des', 'triple_des']) {
    const made = await lab.post('/ipsec_policies', {
      authentication_algorithm: 'sha1',
      encryption_algorithm,
      pfs: 'group_2',
    });
    t.equal(made.body.encryption_algorithm, 'triple_des');
  }
  const modern = await ApiLab.open(t, { site: { profile: 'modern' } });
  for (const weak of [
    { dh_group: 5 },
    { encryption_algorithm: 'triple_des' },
    { authentication_algorithm: 'sha1' },
  ]) {
    const answer = await modern.post('/ike_policies', { ...IKE, ...weak });
    t.same([answer.status, answer.body.errors[0].code], [400, 'validation_enum'], JSON.stringify(weak));
    t.match(answer.body.errors[0].message, /modern/);
  }
  t.equal((await modern.post('/ike_policies', IKE)).status, 201);
});

t.test('policies and the connections that use them', async (t) => {
  const lab = await ApiLab.open(t);
  const gateway = await lab.gateway('gw');
  const ike = (await lab.post('/ike_policies', { ...IKE, name: 'ike' })).body;
  const ipsec = (await lab.post('/ipsec_policies', { ...IPSEC, name: 'ipsec' })).body;
  const connection = await lab.post(
    `/vpn_gateways/${gateway}/connections`,
    policyConnection(1, { ike_policy: { id: ike.id }, ipsec_policy: { href: ipsec.href } }),
  );
  t.match(connection.body, {
    ike_policy: { id: ike.id, name: 'ike', resource_type: 'ike_policy' },
    ipsec_policy: { id: ipsec.id, name: 'ipsec', resource_type: 'ipsec_policy' },
  });
  for (const [path, code] of [
    [`/ike_policies/${ike.id}`, 'ike_policy_in_use'],
    [`/ipsec_policies/${ipsec.id}`, 'ipsec_policy_in_use'],
  ] as const) {
    const answer = await lab.delete(path);
    t.same([answer.status, answer.body.errors[0].code], [409, code]);
    t.match((await lab.get(path)).body.connections, [{ id: connection.body.id, name: 'connection-1' }]);
    for (const version of [EARLY, FLAT]) {
      t.match((await lab.get(`${path}/connections`, { version })).body, {
        total_count: 1,
        connections: [{ id: connection.body.id, peer_address: '169.21.50.1' }],
      });
    }
    t.equal((await lab.get(`${path}/connections?limit=10`)).body.connections[0].psk, connection.body.psk);
  }
  await lab.patch(`/ike_policies/${ike.id}`, { dh_group: 19 });
  const file = () => lab.runner.desired.get(gateway)?.members[0];
  await lab.until(() => file()?.ikePolicies.find(({ name }) => name === ike.id)?.dhGroups[0] === 19);
  t.equal(file()?.connections[0]?.ikePolicy, ike.id, 'an update reaches the gateway');

  await lab.delete(`/vpn_gateways/${gateway}`);
  await lab.until(async () => (await lab.get(`/vpn_gateways/${gateway}`)).status === 404);
  t.equal((await lab.get(`/ike_policies/${ike.id}`)).status, 200, 'policies survive');
  t.equal((await lab.delete(`/ike_policies/${ike.id}`)).status, 204);
});

t.test(
  'every group of the documents is taken in policies, weak ones unless the profile is modern',
  async (t) => {
    const lab = await ApiLab.open(t);
    const groups = [14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 31];
    const { dh_group: _, ...ike } = IKE;
    const { pfs: __, ...ipsec } = IPSEC;
    for (const group of groups) {
      t.match(
        await lab.post('/ike_policies', { ...ike, dh_group: group }),
        { status: 201 },
        `DH group ${group}`,
      );
      t.match(await lab.post('/ipsec_policies', { ...ipsec, pfs: `group_${group}` }), { status: 201 });
    }
    t.same((await lab.post('/ike_policies', { ...ike, dh_groups: groups })).body.dh_groups, groups);
    const names = groups.map((group) => `group_${group}`);
    t.same((await lab.post('/ipsec_policies', { ...ipsec, pfs_groups: names })).body.pfs_groups, names);
    const modern = await ApiLab.open(t, { site: { profile: 'modern' } });
    for (const group of [22, 23, 24]) {
      const refused = [
        await modern.post('/ike_policies', { ...ike, dh_group: group }),
        await modern.post('/ipsec_policies', { ...ipsec, pfs: `group_${group}` }),
      ];
      for (const { status, body } of refused) t.same([status, body.errors[0].code], [400, 'validation_enum']);
    }
  },
);
