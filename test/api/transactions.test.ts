import t, { type Test } from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { ApiLab, IKE, type LabAnswer, PSK, policyConnection } from '../helpers/api-lab.js';

/** A gateway with two connections: 1 uses policy `one`. */
async function open(t: Test) {
  const lab = await ApiLab.open(t);
  const policy = (await lab.post('/ike_policies', { ...IKE, name: 'one' })).body.id as string;
  const gateway = await lab.gateway('gw');
  const make = async (n: number, more: object = {}): Promise<string> =>
    (await lab.post(`/vpn_gateways/${gateway}/connections`, policyConnection(n, more))).body.id;
  const ids = [await make(1, { ike_policy: { id: policy } }), await make(2)] as const;
  const update = (id: string, body: object) => ({
    operation: 'update_vpn_gateway_connection',
    gateway: { id: gateway },
    id,
    body,
  });
  const get = async (id: string) => (await lab.get(`/vpn_gateways/${gateway}/connections/${id}`)).body;
  const revision = async () => (await lab.store.snapshot()).revision;
  return { lab, policy, gateway, ids, update, get, revision };
}

const faultsOf = ({ body }: LabAnswer): [string, string][] =>
  body.errors.map(({ code, target }: { code: string; target: { name: string } }) => [code, target.name]);

t.test('two connections swap their networks in one commit and one desired state', async (t) => {
  const { lab, gateway, ids, update, get, revision } = await open(t);
  await lab.until(() => lab.runner.desired.get(gateway)?.members[0]?.connections.length === 2);
  const before = await revision();
  lab.runner.calls.length = 0;
  const [first, second] = ids;
  const answer = await lab.transact([
    update(first, { peer: { cidrs: ['10.2.0.0/16'] } }),
    update(second, { peer: { cidrs: ['10.1.0.0/16'] } }),
  ]);
  t.match(answer, {
    status: 200,
    body: {
      dry_run: false,
      steps: [{ operation: 'update_vpn_gateway_connection', id: first }, { id: second }],
    },
  });
  t.equal(await revision(), before + 1);
  t.same((await get(first)).peer.cidrs, ['10.2.0.0/16']);
  t.same((await get(second)).peer.cidrs, ['10.1.0.0/16']);
  await lab.until(() => lab.runner.calls.length > 0);
  t.same(lab.runner.calls, [`patch ${gateway}`], 'the gateway is handed one desired state');
});

t.test('a dry run says what would be, and changes nothing', async (t) => {
  const { lab, ids, update, revision } = await open(t);
  const before = await revision();
  const legal = await lab.transact([update(ids[0], { peer: { cidrs: ['10.7.0.0/16'] } })], { dry_run: true });
  t.match(legal, { status: 200, body: { dry_run: true, steps: [{ id: ids[0] }] } });
  const refused = await lab.transact([update(ids[0], { peer: { cidrs: ['10.2.3.0/24'] } })], {
    dry_run: true,
  });
  t.equal(refused.status, 400);
  t.same(faultsOf(refused), [['vpn_connection_cidr_overlap', 'steps[0].body.peer.cidrs[0]']]);
  t.match(
    refused.body.errors[0].message,
    /^steps\[0\]: peer\.cidrs\[0\] "10\.2\.3\.0\/24" overlaps "10\.2\.0\.0\/16"/,
  );
  t.equal(await revision(), before);
});

t.test('all or nothing, and every faulty step is named', async (t) => {
  const { lab, policy, ids, update, get, revision } = await open(t);
  const before = await revision();
  const answer = await lab.transact([
    update(ids[0], { psk: 'another-good-key' }),
    update(ids[1], { dead_peer_detection: { interval: 0 } }),
    { operation: 'update_ike_policy', id: policy, body: { key_lifetime: 1 } },
  ]);
  t.same(faultsOf(answer), [
    ['validation_min_value', 'steps[1].body.dead_peer_detection.interval'],
    ['validation_min_value', 'steps[2].body.key_lifetime'],
  ]);
  t.equal(await revision(), before);
  t.equal((await get(ids[0])).psk, PSK);
});

t.test('the order of the steps does not matter', async (t) => {
  const { lab, policy, gateway, ids, update, get } = await open(t);
  const answer = await lab.transact([
    {
      operation: 'create_vpn_gateway_connection',
      gateway: { name: 'new' },
      body: policyConnection(5, { ike_policy: { name: 'two' } }),
    },
    update(ids[0], { ike_policy: { name: 'two' }, name: 'connection-2' }),
    update(ids[1], { name: 'connection-1' }),
    { operation: 'delete_ike_policy', id: policy },
    { operation: 'create_vpn_gateway', body: { name: 'new', mode: 'policy', subnet: { id: '0717-sub' } } },
    { operation: 'create_ike_policy', body: { ...IKE, name: 'two' } },
  ]);
  t.equal(answer.status, 200);
  const [made, , , , owner, two] = answer.body.steps;
  t.match(await get(ids[0]), { name: 'connection-2', ike_policy: { id: two.id } });
  t.match((await lab.get(`/vpn_gateways/${owner.id}/connections/${made.id}`)).body, {
    ike_policy: { name: 'two' },
  });
  const inUse = await lab.transact([{ operation: 'delete_ike_policy', id: two.id }]);
  t.match(inUse, { status: 409 });
  t.same(faultsOf(inUse), [['ike_policy_in_use', 'steps[0]']]);
  t.ok(gateway);
});

t.test('what a single PATCH leaves alone is changed in place', async (t) => {
  const { lab, ids, update, get } = await open(t);
  const id = ids[0];
  await lab.transact([
    update(id, {
      local: { cidrs: ['192.168.8.0/24'], ike_identities: [{ type: 'fqdn', value: 'me.example' }] },
      peer: { fqdn: 'branch.example', ike_identity: { type: 'key_id', value: 'MTIzNA==' } },
    }),
  ]);
  t.match(await get(id), {
    local: { cidrs: ['192.168.8.0/24'], ike_identities: [{ type: 'fqdn', value: 'me.example' }] },
    peer: { type: 'fqdn', fqdn: 'branch.example', cidrs: ['10.1.0.0/16'], ike_identity: { type: 'key_id' } },
  });
  await lab.transact([
    update(id, {
      local: { ike_identities: [] },
      peer: { address: '169.21.50.77', ike_identity: null },
      ike_policy: null,
    }),
  ]);
  const body = await get(id);
  t.match(body, {
    local: { cidrs: ['192.168.8.0/24'], ike_identities: [{ type: 'ipv4_address', value: '169.61.161.1' }] },
    peer: { type: 'address', address: '169.21.50.77', ike_identity: { value: '169.21.50.77' } },
  });
  t.notOk('ike_policy' in body);
  const both = await lab.transact([update(id, { peer: { address: '169.21.50.1', fqdn: 'a.example' } })]);
  t.same(faultsOf(both), [['validation_only_one', 'steps[0].body.peer.fqdn']]);
});

t.test('quotas count what there is in the end', async (t) => {
  const { lab, gateway, ids } = await open(t);
  const create = (n: number) => ({
    operation: 'create_vpn_gateway_connection',
    gateway: { id: gateway },
    body: policyConnection(n),
  });
  const eight = [3, 4, 5, 6, 7, 8, 9, 10, 11].map(create);
  const many = await lab.transact(eight);
  t.match(many.body.errors[0], {
    code: 'vpn_connections_quota_exceeded',
    message: /11 connections on the gateway and the quota is 10/,
  });
  const gone = { operation: 'delete_vpn_gateway_connection', gateway: { id: gateway }, id: ids[0] };
  t.equal((await lab.transact([...eight, gone])).status, 200);
});

t.test('gateways that are deleted count as gone in a dry run only', async (t) => {
  const { lab, gateway } = await open(t);
  const replace = [
    { operation: 'create_vpn_gateway', body: { name: 'gw', mode: 'policy', subnet: { id: '0717-sub' } } },
    { operation: 'create_vpn_gateway_connection', gateway: { name: 'gw' }, body: policyConnection(1) },
  ];
  const deletion = { operation: 'delete_vpn_gateway', id: gateway };
  t.equal((await lab.transact([deletion, ...replace], { dry_run: true })).status, 200);
  t.equal((await lab.transact([deletion, ...replace])).status, 400, 'now, "gw" is the name of two');
  let release = (): void => undefined;
  lab.runner.stopping = new Promise((resolve) => {
    release = resolve;
  });
  t.equal((await lab.transact([deletion])).status, 200);
  t.equal((await lab.get(`/vpn_gateways/${gateway}`)).body.lifecycle_state, 'deleting');
  t.equal((await lab.transact(replace, { dry_run: true })).status, 200);
  t.equal((await lab.transact(replace.slice(0, 1))).status, 409);
  release();
  await lab.until(async () => (await lab.get(`/vpn_gateways/${gateway}`)).status === 404);
  t.equal((await lab.transact(replace)).status, 200);
});

t.test('it takes an editor', async (t) => {
  const token = (name: string, role: 'editor' | 'viewer') => ({
    name,
    role,
    hash: hashSecret(`${name}-secret`),
  });
  const lab = await ApiLab.open(t, {
    auth: {
      mode: 'tokens',
      tokens: [token('ed', 'editor'), token('vi', 'viewer')],
      apiKeys: [],
    },
  });
  const send = (name: string) =>
    lab.send('POST', '/transactions', {
      prefix: '/culvert/v1',
      body: { steps: [] },
      headers: { authorization: `Bearer ${name}-secret` },
    });
  t.equal((await send('ed')).status, 200);
  t.match(await send('vi'), { status: 403, body: { errors: [{ code: 'not_authorized' }] } });
  t.match(await send('xy'), { status: 401 });
});

t.test('the audit says what was done, as for single changes', async (t) => {
  const { lab, gateway, ids, update, revision } = await open(t);
  const before = await revision();
  await lab.transact([
    update(ids[0], { psk: 'another-good-key' }),
    { operation: 'delete_vpn_gateway_connection', gateway: { id: gateway }, id: ids[1] },
  ]);
  const notes = await lab.store.notes(before, 10);
  t.equal(notes.length, 1);
  t.match(notes[0]!.note, {
    changes: [
      { action: 'is.vpn.vpn-connection.delete', id: ids[1] },
      { action: 'is.vpn.vpn-connection.update', id: ids[0], after: { psk: '[redacted, changed]' } },
    ],
  });
  t.notMatch(JSON.stringify(notes), /another-good-key/);
});
