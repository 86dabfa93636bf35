import t, { type Test } from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { statusReason } from '../../src/connection/reasons.js';
import { ApiLab, EARLY, FLAT, NEW, policyConnection } from '../helpers/api-lab.js';

const MISMATCH = statusReason({
  cause: 'psk_mismatch',
  message: 'The proof of the peer was made with another key',
});

async function lab(t: Test, mode: 'policy' | 'route' = 'policy') {
  const opened = await ApiLab.open(t);
  const gateway = await opened.gateway('gw', mode, mode === 'policy' ? '0717-sub' : '0717-sub2');
  const list = `/vpn_gateways/${gateway}/connections`;
  const body = mode === 'policy' ? {} : { local: undefined, peer: { address: '169.21.50.1' } };
  const made = await opened.post(list, { ...policyConnection(1), name: 'to-branch', ...body });
  const id: string = made.body.id;
  await opened.until(() => opened.runner.desired.get(gateway)?.members[0]?.connections.length === 1);
  return { lab: opened, gateway, id, path: `${list}/${id}` };
}

t.test('the diagnosis is what the gateway explains, at every version and under both prefixes', async (t) => {
  const { lab: api, id, path } = await lab(t);
  api.runner.setConnection(id, { status: 'down', status_reasons: [MISMATCH] });
  const first = await api.get(`${path}/diagnosis`);
  t.match(first.body, {
    name: 'to-branch',
    status: 'down',
    verdict: /^The connection is down\. The proof of the peer was made with another key/,
    cause: 'psk_mismatch',
    advice: [/Enter the same pre-shared key/],
    timeline: [],
    connection: {
      id,
      status_reasons: [
        {
          details: { cause: 'psk_mismatch' },
          more_info: /^http:\/\/localhost\/culvert\/v1\/docs\/vpc-vpn-health\?cause=psk_mismatch#/,
        },
      ],
    },
  });
  t.notOk('tunnels' in first.body, 'a gateway in policy mode has one member');
  t.equal(first.headers['cache-control'], 'no-store');
  for (const version of [NEW, FLAT, EARLY]) {
    t.same((await api.get(`${path}/diagnosis`, { version })).body, first.body, version);
  }
  t.same((await api.get(`${path}/diagnosis`, { prefix: '/culvert/v1' })).body, first.body);
  api.runner.setConnection(id, { status: 'up', status_reasons: [] });
  t.match((await api.get(`${path}/diagnosis`)).body, { status: 'up', cause: null, advice: [] });
});

t.test('a viewer may read it, and it is noted as a read of the connection', async (t) => {
  const token = 'a-token-for-a-viewer';
  const auth = {
    mode: 'tokens',
    tokens: [
      { name: 'vi', role: 'viewer', hash: hashSecret(token) },
      { name: 'ed', role: 'editor', hash: hashSecret('a-token-for-an-editor') },
    ],
    apiKeys: [],
  } as const;
  const api = await ApiLab.open(t, { auth });
  const as = (secret: string) => ({ headers: { authorization: `Bearer ${secret}` } });
  const editor = as('a-token-for-an-editor');
  const made = await api.post(
    '/vpn_gateways',
    { name: 'gw', mode: 'policy', subnet: { id: '0717-sub' } },
    editor,
  );
  const list = `/vpn_gateways/${made.body.id}/connections`;
  const id = (await api.post(list, policyConnection(1), editor)).body.id;
  t.equal((await api.get(`${list}/${id}/diagnosis`, as(token))).status, 200);
  const audit = await api.get('/audit', { prefix: '/culvert/v1', ...editor });
  t.match(audit.body.entries[0], {
    action: 'is.vpn.vpn-connection.read',
    outcome: 'success',
    initiator: { name: 'vi' },
    target: { id },
  });
});

t.test('a gateway whose process cannot be asked: its fault, the remedy and what comes next', async (t) => {
  const { lab: api, gateway, path } = await lab(t);
  for (const [kind, message, cause, verdict] of [
    [
      'starting',
      undefined,
      'gateway_starting',
      /no gateway process carries it\. The gateway is being started\.$/,
    ],
    ['address', 'EPERM', 'gateway_address', /cannot have its public address, and is tried again: EPERM$/],
    ['start', 'no namespace one', 'gateway_not_started', /cannot be started, .*: no namespace one$/],
    ['ended', 'it is being started', 'gateway_ended', /has ended by itself, .*: it is being started$/],
    [
      'silent',
      'no answer since noon',
      'gateway_silent',
      /^What the connection does is not known\. The gateway runs/,
    ],
  ] as const) {
    api.runner.setState(gateway, 'down');
    api.runner.setFault(gateway, 0, { kind, ...(message === undefined ? {} : { message }) });
    const { status, body } = await api.get(`${path}/diagnosis`);
    t.equal(status, 200);
    t.match(
      body,
      { name: 'to-branch', status: 'down', verdict, cause, connection: null, timeline: [] },
      kind,
    );
    t.same([body.advice.length, body.next.length], [1, 1], 'what to do, and what happens by itself');
    const [reason] = (await api.get(path)).body.status_reasons;
    t.equal(reason.code, 'internal_error');
    t.ok(body.verdict.endsWith(reason.message), 'status_reasons say the same');
  }
});

t.test(
  'in route mode each tunnel has its own diagnosis, and the worst of them speaks for the connection',
  async (t) => {
    const { lab: api, gateway, id, path } = await lab(t, 'route');
    api.runner.setConnection(id, { status: 'down', status_reasons: [MISMATCH] });
    const both = (await api.get(`${path}/diagnosis`)).body;
    t.match(both, { status: 'down', cause: 'psk_mismatch', tunnels: [{ cause: 'psk_mismatch' }, {}] });
    t.not(both.tunnels[0].public_ip.address, both.tunnels[1].public_ip.address);
    api.runner.setConnection(id, { status: 'up', status_reasons: [] });
    api.runner.setState(gateway, 'degraded');
    api.runner.setFault(gateway, 1, { kind: 'ended', message: 'again' });
    const half = (await api.get(`${path}/diagnosis`)).body;
    t.match(half, {
      status: 'degraded',
      cause: 'gateway_ended',
      verdict: new RegExp(
        `^One of its two tunnels is up\\. Of the other one, at ${half.tunnels[1].public_ip.address}: `,
      ),
      tunnels: [
        { status: 'up', cause: null },
        { status: 'down', cause: 'gateway_ended', connection: null },
      ],
    });
  },
);

t.test('two members that fail for different causes of one code are both heard', async (t) => {
  const { lab: api, gateway, id, path } = await lab(t, 'route');
  const reasonsAt = async () => (await api.get(path)).body.status_reasons;
  api.runner.setConnection(id, { status: 'down', status_reasons: [MISMATCH] });
  t.equal((await reasonsAt()).length, 1, 'the same cause is said once');
  api.runner.setState(gateway, 'down');
  api.runner.setFault(gateway, 0, { kind: 'ended', message: 'a' });
  api.runner.setFault(gateway, 1, { kind: 'start', message: 'b' });
  t.match(await reasonsAt(), [{ message: /ended by itself/ }, { message: /cannot be started/ }]);
});

t.test('what no gateway has taken over', async (t) => {
  const { lab: api, gateway, id, path } = await lab(t);
  const desired = api.runner.desired.get(gateway)!;
  const members = desired.members.map((file) => ({ ...file, connections: [] }));
  api.runner.desired.set(gateway, { ...desired, members });
  t.match((await api.get(`${path}/diagnosis`)).body, { cause: 'not_taken_over', connection: null });
  api.runner.desired.set(gateway, desired);
  let release = (): void => undefined;
  api.runner.stopping = new Promise((resolve) => {
    release = resolve;
  });
  await api.delete(`/vpn_gateways/${gateway}`);
  api.runner.setState(gateway, 'down');
  t.match((await api.get(`${path}/diagnosis`)).body, { cause: 'gateway_deleting', connection: null }, id);
  release();
});

t.test('a connection that was restored without its key', async (t) => {
  const { lab: api, path } = await lab(t);
  const own = { prefix: '/culvert/v1' };
  const backup = (await api.get('/backup?keys=omit', own)).body;
  const restored = await ApiLab.open(t);
  t.equal((await restored.post('/restore', { backup }, own)).status, 200);
  t.match((await restored.get(`${path}/diagnosis`)).body, {
    name: 'to-branch',
    status: 'down',
    cause: 'no_key',
    verdict: /restored from a backup without its pre-shared key/,
    advice: [/^Set psk/],
    connection: null,
  });
});
