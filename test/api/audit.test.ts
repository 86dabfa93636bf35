import { pino } from 'pino';
import t from 'tap';
import { auditedAs } from '../../src/api/audit/actions.js';
import { type AuditEntry, AuditTrail } from '../../src/api/audit/trail.js';
import { hashSecret, newSecret } from '../../src/api/auth/credentials.js';
import type { ApiAuth } from '../../src/api/options.js';
import { OPERATIONS } from '../../src/api/routes.js';
import { ApiLab, IKE, PSK, policyConnection } from '../helpers/api-lab.js';
import { CONTRACT } from '../helpers/contract-cases.js';
import { makeWorld, sendCase } from '../helpers/contract-world.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const EDITOR = newSecret();
const VIEWER = newSecret();
const API_KEY = newSecret();
const auth: ApiAuth = {
  mode: 'tokens',
  tokens: [
    { name: 'ed', role: 'editor', hash: hashSecret(EDITOR) },
    { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
  ],
  apiKeys: [{ name: 'robot', role: 'editor', hash: hashSecret(API_KEY) }],
};
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });
const own = { prefix: '/culvert/v1' };

async function newest(lab: ApiLab, query = '', options: object = {}) {
  const { status, body } = await lab.get(`/audit?limit=100${query}`, { ...own, ...options });
  if (status !== 200) throw new Error(JSON.stringify(body));
  return body.entries;
}

t.test('who did what to which object, when, from where and with which outcome', async (t) => {
  const lab = await ApiLab.open(t, { auth });
  const gateway = { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy' };
  const { id } = (await lab.post('/vpn_gateways', gateway, bearer(EDITOR))).body;
  lab.now = new Date(lab.now.getTime() + 1000);
  const connections = `/vpn_gateways/${id}/connections`;
  const made = await lab.post(connections, { ...policyConnection(1), name: 'c' }, bearer(EDITOR));
  await lab.get(`${connections}/${made.body.id}`, bearer(VIEWER));
  await lab.delete(`/vpn_gateways/${id}`, bearer(VIEWER));
  await lab.post('/ike_policies', { ...IKE, dh_group: 99 }, bearer(EDITOR));
  const entries = await newest(lab, '', bearer(VIEWER));
  const ed = { name: 'ed', role: 'editor', by: 'token', address: '127.0.0.1' };
  const vi = { name: 'vi', role: 'viewer', by: 'token', address: '127.0.0.1' };
  const target = { resource_type: 'vpn_gateway_connection', id: made.body.id };
  const byPeople = entries.filter((one: { initiator: { name: string } }) => one.initiator.name !== 'culvert');
  t.match(byPeople, [
    {
      action: 'is.vpn.ike-policy.create',
      outcome: 'failure',
      initiator: ed,
      reason: { status: 400, code: 'validation_enum' },
    },
    {
      action: 'is.vpn.vpn-gateway.delete',
      outcome: 'failure',
      initiator: vi,
      target: { resource_type: 'vpn_gateway', id },
      reason: { status: 403, code: 'not_authorized' },
    },
    { action: 'is.vpn.vpn-connection.read', outcome: 'success', initiator: vi, target },
    {
      action: 'is.vpn.vpn-connection.create',
      outcome: 'success',
      initiator: ed,
      target: { ...target, name: 'c' },
      at: lab.now.toISOString(),
      request_id: made.headers['x-request-id'],
    },
    { action: 'is.vpn.vpn-gateway.create', initiator: ed, target: { id, name: 'gw' } },
  ]);
  t.match(
    entries.find((one: { initiator: { name: string } }) => one.initiator.name === 'culvert'),
    { action: 'is.vpn.vpn-gateway.update', initiator: { by: 'server' } },
    'what the server does by itself, too',
  );
  for (const [query, count] of [
    ['&who=vi&outcome=failure', 1],
    ['&action=is.vpn.vpn-connection', 2],
    [`&target=${made.body.id}`, 2],
    ['&who=nobody', 0],
  ] as const) {
    t.equal((await newest(lab, query, bearer(EDITOR))).length, count, query);
  }
});

t.test('every operation of the documents has its action', async (t) => {
  const { world, release } = await makeWorld(t);
  const named = OPERATIONS.filter((one) => auditedAs(one) !== undefined);
  t.same(
    OPERATIONS.filter((one) => !named.includes(one)).map(({ path }) => path.split('/')[1]),
    OPERATIONS.filter(({ tag }) => tag === 'Surroundings').map(({ path }) => path.split('/')[1]),
    'all but those about what gateways are made in',
  );
  const words =
    'vpn-gateway|vpn-connection|vpn-connection_local-cidr|vpn-connection_peer-cidr|ike-policy|ipsec-policy';
  const routing = 'vpc\\.(routing-table|routing-table_route|vpc-route)|subnet\\.routing-table';
  const verbs = 'create|delete|update|read|list|restore|attach|switch';
  const pattern = new RegExp(`^(is\\.(vpn\\.(${words})|${routing})|culvert\\.[a-z]+)\\.(${verbs})$`);
  for (const operation of named) {
    const { action } = auditedAs(operation)!;
    t.match(action, pattern, operation.id);
    if (operation.method !== 'GET' || operation.id === 'list_audit') continue;
    const { params = {}, cases } = CONTRACT[operation.id]!;
    const good = cases.findLast(({ code }) => code === undefined);
    if (good === undefined) continue;
    await sendCase(world, operation.id, { ...good, params: { ...params, ...good.params } });
    t.match(await newest(world.lab, `&action=${action}`), [{ action, outcome: 'success' }], operation.id);
  }
  const { action } = auditedAs(OPERATIONS.find(({ id }) => id === 'list_ike_policies')!)!;
  t.equal(action, 'is.vpn.ike-policy.list');
  release();
});

t.test('logins: refused ones are folded by address, and nothing in the trail is a secret', async (t) => {
  const lab = await ApiLab.open(t, { auth });
  const login = (apikey: string) =>
    lab.server.app.inject({
      method: 'POST',
      url: '/identity/token',
      payload: `grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=${apikey}`,
    });
  t.equal((await login(API_KEY)).statusCode, 200);
  const guess = newSecret();
  for (let tries = 0; tries < 5; tries++) await lab.get('/vpn_gateways', bearer(guess));
  t.equal((await login(guess)).statusCode, 400);
  lab.now = new Date(lab.now.getTime() + 61_000);
  await lab.get('/vpn_gateways', bearer(guess));
  await lab.post('/vpn_gateways', { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy' }, bearer(EDITOR));
  const [gateway] = (await lab.get('/vpn_gateways', bearer(EDITOR))).body.vpn_gateways;
  await lab.post(`/vpn_gateways/${gateway.id}/connections`, policyConnection(1), bearer(EDITOR));
  const logins = await newest(lab, '&action=culvert.login', bearer(EDITOR));
  const address = '127.0.0.1';
  const refused = {
    outcome: 'failure',
    initiator: { address },
    reason: { status: 401, code: 'token_invalid' },
  };
  t.match(logins, [refused, refused, { outcome: 'success', initiator: { name: 'robot', address } }]);
  const repeats = logins.map((one: { repeats?: number }) => one.repeats ?? 0);
  t.same(repeats, [5, 0, 0], 'those in between are one entry');
  const text = JSON.stringify(await newest(lab, '', bearer(EDITOR)));
  for (const secret of [PSK, EDITOR, API_KEY, guess]) t.notMatch(text, secret);
});

t.test('pages neither repeat nor leave out entries, though each reading adds one', async (t) => {
  const lab = await ApiLab.open(t);
  for (let n = 0; n < 7; n++) await lab.post('/ike_policies', { ...IKE, name: `policy-${n}` });
  const names: string[] = [];
  let next: string | undefined = '/audit?limit=2&action=is.vpn.ike-policy';
  while (next !== undefined) {
    const { body } = await lab.get(next, own);
    names.push(...body.entries.map((one: { target: { name: string } }) => one.target.name));
    next = body.next?.href.replace(/^.*\/culvert\/v1/, '');
    await lab.get('/ipsec_policies');
  }
  t.same(
    names,
    [6, 5, 4, 3, 2, 1, 0].map((n) => `policy-${n}`),
  );
});

t.test('changes are there again after a restart, and their own number of entries is kept', async (t) => {
  const store = openMemoryStore();
  const before = await ApiLab.open(t, { store: { ...bound(store), close: async () => undefined } });
  await before.post('/ike_policies', { ...IKE, name: 'kept' });
  const after = await ApiLab.open(t, { store });
  const target = { resource_type: 'ike_policy', name: 'kept' };
  t.match(await newest(after, '&action=is.vpn'), [{ action: 'is.vpn.ike-policy.create', target }]);

  const trail = await AuditTrail.open(store, pino({ level: 'silent' }));
  const entry: AuditEntry = {
    at: '2026-01-01T00:00:00Z',
    action: 'is.vpn.ike-policy.list',
    outcome: 'success',
    initiator: {},
  };
  for (let n = 0; n < 20_000; n++) trail.requested(entry);
  const kept = trail.entries();
  t.ok(kept.length < 6000, `${kept.length} entries are kept`);
  t.equal(kept[0]?.entry.action, 'is.vpn.ike-policy.create', 'the change is not pushed out by reads');
  t.equal(kept.at(-1)?.number, 20_001);
});

/** The store's methods, to be spread into another one. */
function bound(store: ReturnType<typeof openMemoryStore>) {
  return {
    snapshot: () => store.snapshot(),
    commit: (...given: Parameters<typeof store.commit>) => store.commit(...given),
    watch: (...given: Parameters<typeof store.watch>) => store.watch(...given),
    notes: (...given: Parameters<typeof store.notes>) => store.notes(...given),
    probe: () => store.probe(),
  };
}
