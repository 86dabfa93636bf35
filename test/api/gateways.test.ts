import t from 'tap';
import { ApiLab, EARLY, FLAT, NEW, policyConnection } from '../helpers/api-lab.js';

t.test('a policy mode gateway from pending to gone', async (t) => {
  const lab = await ApiLab.open(t);
  lab.runner.startsAs = 'starting';
  const made = await lab.post('/vpn_gateways', { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy' });
  t.equal(made.status, 201);
  const { id } = made.body;
  t.match(id, /^0717-[0-9a-f-]{36}$/);
  t.match(made.body, {
    name: 'gw',
    mode: 'policy',
    lifecycle_state: 'pending',
    health_state: 'inapplicable',
    href: `http://localhost/v1/vpn_gateways/${id}`,
    crn: `crn:v1:bluemix:public:is:us-south:a/b668aa2600ac21c890aef16a6210b2fd::vpn:${id}`,
    resource_type: 'vpn_gateway',
    resource_group: { id: 'rg1', name: 'default' },
    subnet: { id: '0717-sub', name: 'subnet-1', resource_type: 'subnet' },
    vpc: { id: 'r006-vpc-one', name: 'vpc-one', resource_type: 'vpc' },
    members: [
      { role: 'active', public_ip: { address: '169.61.161.1' }, private_ip: { address: '192.168.100.4' } },
      { role: 'standby', public_ip: { address: '0.0.0.0' }, private_ip: { address: '192.168.100.5' } },
    ],
  });
  for (const list of ['connections', 'health_reasons', 'lifecycle_reasons']) t.same(made.body[list], []);
  t.notOk('status' in made.body);
  t.notOk('advertised_cidrs' in made.body);

  const pending = await lab.delete(`/vpn_gateways/${id}`);
  t.match([pending.status, pending.body.errors[0].code], [409, 'vpn_gateway_invalid_state']);

  await lab.until(() => lab.runner.desired.has(id));
  t.match(lab.runner.desired.get(id), {
    name: 'gw',
    subnetCidr: '192.168.100.0/24',
    vpc: { name: 'vpc-one' },
  });
  t.equal(lab.runner.desired.get(id)?.members.length, 1, 'the standby is ready to run the same');
  t.match(lab.runner.desired.get(id)?.members[0]?.gateway, { address: '169.61.161.1', mode: 'policy' });
  lab.runner.setState(id, 'running');
  await lab.until(async () => (await lab.get(`/vpn_gateways/${id}`)).body.lifecycle_state === 'stable');
  t.equal((await lab.get(`/vpn_gateways/${id}`)).body.health_state, 'ok');

  lab.runner.setState(id, 'down');
  t.match((await lab.get(`/vpn_gateways/${id}`)).body, {
    lifecycle_state: 'stable',
    health_state: 'faulted',
    health_reasons: [{ code: 'internal_error' }],
  });
  lab.runner.setState(id, 'running');

  const roles = async () => {
    const { members } = (await lab.get(`/vpn_gateways/${id}`)).body;
    return members.map((one: { role: string; public_ip: { address: string }; health_state: string }) =>
      [one.role, one.public_ip.address, one.health_state].join(' '),
    );
  };
  const [ACTIVE, STANDBY] = ['active 169.61.161.1', 'standby 0.0.0.0'];
  const refused = await lab.post(`/vpn_gateways/${id}/switch`, undefined);
  t.match([refused.status, refused.body.errors[0].code], [409, 'vpn_gateway_invalid_state']);
  lab.runner.standbys.set(id, { active: 0, isReady: true });
  t.same(await roles(), [`${ACTIVE} ok`, `${STANDBY} ok`]);
  t.equal((await lab.post(`/vpn_gateways/${id}/switch`, undefined)).status, 202);
  t.same(
    await roles(),
    [`${STANDBY} degraded`, `${ACTIVE} ok`],
    'role and address follow the member that speaks',
  );
  const after = (await lab.get(`/vpn_gateways/${id}`)).body;
  t.match(after.members[0].health_reasons, [
    { code: 'internal_error', message: /^The standby is not ready/ },
  ]);
  t.equal(after.health_state, 'ok', 'a standby that is not ready takes nothing from the gateway');
  lab.runner.standbys.delete(id);

  const { body: connection } = await lab.post(`/vpn_gateways/${id}/connections`, policyConnection(1));
  let finish = (): void => undefined;
  lab.runner.stopping = new Promise((resolve) => {
    finish = resolve;
  });
  const gone = await lab.delete(`/vpn_gateways/${id}`);
  t.same([gone.status, gone.body], [202, undefined]);
  t.equal((await lab.get(`/vpn_gateways/${id}`)).body.lifecycle_state, 'deleting');
  t.equal((await lab.delete(`/vpn_gateways/${id}`)).status, 202, 'again');
  const late = await lab.post(`/vpn_gateways/${id}/connections`, policyConnection(2));
  t.match([late.status, late.body.errors[0].code], [409, 'vpn_gateway_invalid_state']);
  t.equal((await lab.patch(`/vpn_gateways/${id}`, { name: 'late' })).status, 409);
  finish();
  await lab.until(async () => (await lab.get(`/vpn_gateways/${id}`)).status === 404);
  const lost = await lab.get(`/vpn_gateways/${id}/connections/${connection.id}`);
  t.match([lost.status, lost.body.errors[0].code], [404, 'vpn_gateway_not_found']);
  t.same((await lab.store.snapshot()).list('vpn_gateway_connection'), [], 'its connections went along');
  t.equal(lab.runner.desired.size, 0);
});

t.test('a gateway that cannot be started is failed, and can be deleted', async (t) => {
  const lab = await ApiLab.open(t);
  lab.runner.startsAs = 'failed';
  const { body } = await lab.post('/vpn_gateways', { subnet: { id: '0717-sub' } });
  await lab.until(async () => (await lab.get(`/vpn_gateways/${body.id}`)).body.lifecycle_state === 'failed');
  const old = await lab.get(`/vpn_gateways/${body.id}`, { version: FLAT });
  t.match(old.body, { lifecycle_state: 'failed', health_state: 'faulted' });
  t.equal((await lab.get(`/vpn_gateways/${body.id}`, { version: '2023-10-09' })).body.status, 'failed');
  t.equal((await lab.delete(`/vpn_gateways/${body.id}`)).status, 202);
  await lab.until(async () => (await lab.get(`/vpn_gateways/${body.id}`)).status === 404);
});

t.test('a runner that fails is asked again', async (t) => {
  const lab = await ApiLab.open(t);
  lab.runner.failNext = 'no memory';
  const { body } = await lab.post('/vpn_gateways', { subnet: { id: '0717-sub' } });
  await lab.until(() => lab.log.some((line) => line.includes('no memory')));
  const deadline = Date.now() + 5000;
  while (!lab.runner.desired.has(body.id) && Date.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  t.ok(lab.runner.desired.has(body.id));
});

t.test('route mode', async (t) => {
  const lab = await ApiLab.open(t);
  const made = await lab.post('/vpn_gateways', {
    subnet: {
      crn: 'crn:v1:bluemix:public:is:us-south-1:a/aa2432b1fa4d4ace891e9b80fc104e34::subnet:0717-sub',
    },
    advertised_cidrs: ['10.45.0.0/24'],
  });
  t.match(made.body, {
    mode: 'route',
    local_asn: 64520,
    advertised_cidrs: ['10.45.0.0/24'],
    name: /^[a-z]+(-[a-z]+)+$/,
    members: [
      { role: 'active', public_ip: { address: '169.61.161.1' } },
      { role: 'active', public_ip: { address: '169.61.161.2' } },
    ],
  });
  const second = await lab.post('/vpn_gateways', { subnet: { id: '0717-sub' } });
  t.match(
    [second.status, second.body.errors[0].code],
    [400, 'vpn_gateways_quota_exceeded'],
    'one a zone and VPC',
  );
  const path = `/vpn_gateways/${made.body.id}`;
  t.equal((await lab.patch(path, { local_asn: 64521, name: 'new-name' })).body.local_asn, 64521);
  for (const asn of [0, 13884, 36351, 64512, 64513, 65100, 65200, 65234, 65402, 65433, 65500, 4201065999]) {
    t.equal((await lab.patch(path, { local_asn: asn })).status, 400, String(asn));
  }
  t.equal((await lab.patch(path, { local_asn: 4294967296 })).body.errors[0].code, 'validation_max_value');
  t.equal((await lab.patch(path, {})).body.name, 'new-name');

  await lab.until(() => lab.runner.desired.has(made.body.id));
  t.equal(lab.runner.desired.get(made.body.id)?.members.length, 2);
  lab.runner.setState(made.body.id, 'degraded');
  const degraded = await lab.get(path);
  await lab.until(async () => (await lab.get(path)).body.lifecycle_state === 'stable');
  t.match((await lab.get(path)).body, {
    health_state: 'degraded',
    members: [{ health_state: 'ok' }, { health_state: 'faulted' }],
  });
  t.ok(degraded);
});

t.test('advertised networks', async (t) => {
  const lab = await ApiLab.open(t);
  const id = await lab.gateway('gw', 'route');
  const path = `/vpn_gateways/${id}/advertised_cidrs`;
  t.same((await lab.get(path)).body, { advertised_cidrs: [] });
  t.equal((await lab.put(`${path}/10.45.0.0%2F24`)).status, 204);
  t.equal((await lab.put(`${path}/10.45.0.0%2f24`)).status, 204, 'twice is no error');
  t.same((await lab.get(path)).body, { advertised_cidrs: ['10.45.0.0/24'] });
  t.equal((await lab.get(`${path}/10.45.0.0%2F24`)).status, 204);
  t.equal((await lab.get(`${path}/10.46.0.0%2F24`)).status, 404);
  t.equal((await lab.put(`${path}/10.45.0.1%2F24`)).body.errors[0].code, 'validation_invalid_cidr');
  for (let n = 1; n < 10; n++) t.equal((await lab.put(`${path}/10.${n}.0.0%2F24`)).status, 204);
  t.match(await lab.put(`${path}/10.99.0.0%2F24`), { status: 400 }, 'ten are the most');
  t.equal((await lab.delete(`${path}/10.45.0.0%2F24`)).status, 204);
  t.equal((await lab.delete(`${path}/10.45.0.0%2F24`)).status, 404);
  const other = await lab.gateway('policy', 'policy');
  t.equal((await lab.get(`/vpn_gateways/${other}/advertised_cidrs`)).status, 400);
  t.equal((await lab.get('/vpn_gateways/nowhere/advertised_cidrs')).status, 404);

  t.match((await lab.get(`/vpn_gateways/${id}/service_connections?limit=10`)).body, {
    service_connections: [],
    total_count: 0,
  });
  t.equal((await lab.get(`/vpn_gateways/${id}/service_connections/0717-sc`)).status, 404);
});

t.test('what a gateway cannot be', async (t) => {
  const lab = await ApiLab.open(t, { site: { quotas: { gateways_per_zone: 4 } } });
  const refused = async (body: unknown, status: number, code: string): Promise<void> => {
    const answer = await lab.post('/vpn_gateways', body);
    t.same([answer.status, answer.body.errors[0].code], [status, code], JSON.stringify(body));
  };
  const subnet = { id: '0717-sub' };
  await refused({}, 400, 'vpn_gateway_missing_subnet_id');
  await refused({ subnet: {} }, 400, 'validation_required_field');
  await refused({ subnet: { id: 'a', href: 'http://x/b' } }, 400, 'validation_only_one');
  await refused({ subnet: { id: 'nowhere' } }, 404, 'vpn_gateway_subnet_not_found');
  await refused({ subnet: 'nowhere' }, 400, 'validation_invalid_field_type');
  await refused({ subnet, name: 'Upper' }, 400, 'vpn_gateway_invalid_name');
  await refused({ subnet, mode: 'magic' }, 400, 'validation_enum');
  await refused({ subnet, resource_group: { id: 'none' } }, 404, 'not_found');
  await refused({ subnet, mode: 'policy', local_asn: 64520 }, 400, 'bad_field');
  await refused({ subnet, mode: 'policy', advertised_cidrs: [] }, 400, 'bad_field');
  await refused({ subnet, advertised_cidrs: ['10.0.0.1/8'] }, 400, 'validation_invalid_cidr');
  await refused({ subnet, advertised_cidrs: ['10.0.0.0/8', '10.0.0.0/8'] }, 400, 'validation_failure');
  await refused({ subnet, connections: [] }, 400, 'bad_field');
  await refused([], 400, 'bad_request');
  t.equal((await lab.get('/vpn_gateways')).body.total_count, 0, 'nothing was half done');

  await lab.gateway('one');
  await refused({ subnet, mode: 'policy', name: 'one' }, 409, 'vpn_gateway_duplicate_name');
  t.ok(await lab.gateway('one', 'policy', '0717-sub2'), 'names are unique within a VPC');
  for (const name of ['two', 'three', 'four']) await lab.gateway(name);
  await refused({ subnet, mode: 'policy' }, 400, 'vpn_gateways_quota_exceeded');

  const full = await ApiLab.open(t, {
    site: {
      subnets: [
        { id: 'tiny', name: 'tiny', vpc: 'vpc-one', cidr: '10.9.0.0/28', public_addresses: ['169.61.161.1'] },
      ],
    },
  });
  const answer = await full.post('/vpn_gateways', { subnet: { id: 'tiny' } });
  t.match([answer.status, answer.body.errors[0].code], [409, 'vpn_gateway_subnet_status_error']);
  await full.gateway('last', 'policy', 'tiny');
  const none = await full.post('/vpn_gateways', { subnet: { id: 'tiny' }, mode: 'policy' });
  t.match([none.status, none.body.errors[0].code], [409, 'vpn_gateway_subnet_status_error']);
});

t.test('forms by version', async (t) => {
  const lab = await ApiLab.open(t);
  const early = await lab.post(
    '/vpn_gateways',
    { name: 'VPN_gateway-1', subnet: { id: '0717-sub' } },
    { version: EARLY },
  );
  t.equal(early.status, 201);
  t.match(early.body.id, /^[0-9a-f]{8}-/, 'a bare UUID');
  t.match(early.body, {
    status: 'pending',
    public_ip: { address: '169.61.161.1' },
    subnet: { id: '0717-sub', name: 'subnet-1' },
    resource_group: { id: 'rg1' },
  });
  t.same(Object.keys(early.body).slice(0, 9), [
    'id',
    'crn',
    'name',
    'href',
    'created_at',
    'status',
    'public_ip',
    'subnet',
    'resource_group',
  ]);
  t.same(Object.keys(early.body.subnet), ['id', 'name', 'href']);
  const path = `/vpn_gateways/${early.body.id}`;
  await lab.until(async () => (await lab.get(path)).body.lifecycle_state === 'stable');
  t.equal((await lab.get(path, { version: EARLY })).body.status, 'available');
  t.equal((await lab.get(path)).body.mode, 'policy', 'there was no other mode');

  const second = await lab.get(path, { version: '2020-11-12' });
  t.notOk('mode' in second.body);
  t.match(second.body, { status: 'available', members: [{ status: 'available' }, {}] });
  t.equal((await lab.get(path, { version: '2020-11-13' })).body.mode, 'policy');
  t.equal((await lab.get(path, { version: '2023-10-09' })).body.status, 'available');
  t.notOk('status' in (await lab.get(path, { version: '2023-10-10' })).body);
  const mode = await lab.post(
    '/vpn_gateways',
    { subnet: { id: '0717-sub' }, mode: 'route' },
    { version: EARLY },
  );
  t.match(mode.body.errors[0], { code: 'bad_field', target: { name: 'mode', type: 'field' } });
  t.same(await lab.delete(path, { version: EARLY }).then(({ status }) => status), 204);

  for (const [query, code] of [
    ['', 'invalid_version'],
    ['?version=yesterday', 'invalid_version'],
    ['?version=2024-02-30', 'invalid_version'],
    ['?version=2018-12-31', 'version_not_supported'],
    ['?version=2026-11-23', 'invalid_version_range'],
    [`?version=${NEW}&generation=1`, 'invalid_generation_parameter'],
    [`?version=${NEW}&version=${NEW}`, 'invalid_version'],
  ] as const) {
    const answer = await lab.server.app.inject({
      url: `/v1/vpn_gateways${query}`,
      headers: { host: 'localhost' },
    });
    const { status, body } = lab.checked('GET', '/v1/vpn_gateways', answer);
    t.same([status, body.errors[0].code], [400, code], query);
    t.equal(body.errors[0].target.type, 'parameter');
  }
  for (const query of [
    `?version=${EARLY}`,
    `?version=${EARLY}&generation=1`,
    '?version=2026-11-22&generation=2&x=y',
  ]) {
    const answer = await lab.server.app.inject({
      url: `/v1/vpn_gateways${query}`,
      headers: { host: 'localhost' },
    });
    t.equal(answer.statusCode, 200, query);
  }
});

t.test('lists of gateways', async (t) => {
  const lab = await ApiLab.open(t);
  const a = await lab.gateway('aa');
  const c = await lab.gateway('cc', 'route');
  await lab.post('/vpn_gateways', {
    name: 'bb',
    mode: 'policy',
    subnet: { href: 'http://localhost/v1/subnets/0717-sub2' },
    resource_group: { id: 'fee82deba12e4c0fb69c3b09d1f12345' },
  });
  const names = async (query: string): Promise<string[]> =>
    (await lab.get(`/vpn_gateways${query}`)).body.vpn_gateways.map(({ name }: { name: string }) => name);
  t.same(await names(''), ['bb', 'cc', 'aa'], 'newest first');
  t.same(await names('?sort=created_at'), ['aa', 'cc', 'bb']);
  t.same(await names('?sort=name'), ['aa', 'bb', 'cc']);
  t.same(await names('?sort=-name'), ['cc', 'bb', 'aa']);
  t.same(await names('?mode=route'), ['cc']);
  t.same(await names('?resource_group.id=fee82deba12e4c0fb69c3b09d1f12345'), ['bb']);
  t.same(await names('?resource_group.id=none'), []);
  t.equal((await lab.get('/vpn_gateways?sort=size')).body.errors[0].code, 'validation_enum');
  t.equal((await lab.get('/vpn_gateways?mode=x')).status, 400);
  t.equal((await lab.patch(`/vpn_gateways/${a}`, { name: 'cc' })).status, 409);
  t.equal((await lab.patch(`/vpn_gateways/${a}`, { name: 'aa' })).status, 200);
  t.equal((await lab.patch(`/vpn_gateways/${a}`, { local_asn: 1 })).status, 400);
  t.equal((await lab.get(`/vpn_gateways/${c}x`)).status, 404);
  t.equal((await lab.patch('/vpn_gateways/none', 'no object')).status, 404, 'parents before bodies');
});
