import t, { type Test } from 'tap';
import { type HistoryDocument, type HistoryWish, STEPS } from '../../src/telemetry/history.js';
import { ApiLab, EARLY, NEW, policyConnection } from '../helpers/api-lab.js';

const POINT = {
  ...{ at: '2026-11-22T09:59:00.000Z', seconds: 60, up_seconds: 58, degraded_seconds: 0 },
  ...{ bytes_in: 1000, bytes_out: 2000, packets_in: 10, packets_out: 20, round_trip_ms: 1.5 },
};
const GAP = {
  ...{ at: '2026-11-22T10:00:00.000Z', seconds: 0, up_seconds: null, degraded_seconds: null },
  ...{ bytes_in: null, bytes_out: null, packets_in: null, packets_out: null, round_trip_ms: null },
};
const SINCE = '2026-11-22T08:00:00.000Z';

async function lab(t: Test, mode: 'policy' | 'route' = 'policy') {
  const api = await ApiLab.open(t);
  const gateway = await api.gateway('gw', mode, mode === 'policy' ? '0717-sub' : '0717-sub2');
  const list = `/vpn_gateways/${gateway}/connections`;
  const routed = { local: undefined, peer: { address: '169.21.50.1' } };
  const body = { ...policyConnection(1), name: 'to-branch', ...(mode === 'policy' ? {} : routed) };
  const { id } = (await api.post(list, body)).body;
  await api.until(() => api.runner.desired.get(gateway)?.members[0]?.connections.length === 1);
  const wishes: HistoryWish[] = [];
  api.runner.setHistory(id, (wish): HistoryDocument => {
    wishes.push(wish);
    return { name: 'of the process', since: SINCE, step: wish.step ?? 60, points: [POINT, GAP] };
  });
  return { api, gateway, path: `${list}/${id}/history`, wishes };
}

t.test('the history is what the gateway keeps, at every version and under both prefixes', async (t) => {
  const { api, path, wishes } = await lab(t);
  const from = '2026-11-22T09:59:00Z';
  const { status, body, headers } = await api.get(`${path}?step=60&from=${from}`);
  t.equal(status, 200);
  t.same(body, {
    name: 'to-branch',
    members: [{ public_ip: { address: '169.61.161.1' }, since: SINCE, step: 60, points: [POINT, GAP] }],
  });
  t.equal(headers['cache-control'], 'no-store');
  for (const version of [NEW, EARLY]) t.same((await api.get(`${path}?step=60`, { version })).body, body);
  t.same((await api.get(path, { prefix: '/culvert/v1' })).body, body);
  t.same(wishes, [
    { step: 60, from },
    { step: 60, from: undefined },
    { step: 60, from: undefined },
    { step: undefined, from: undefined },
  ]);
});

t.test('parameters: the steps that are kept, and times of RFC 3339', async (t) => {
  const { api, path, wishes } = await lab(t);
  for (const step of STEPS) t.equal((await api.get(`${path}?step=${step}`)).status, 200, `${step}`);
  const before = wishes.length;
  for (const [query, code, name, message] of [
    ['step=7', 'validation_enum', 'step', /not one of 1, 60, 3600/],
    ['step=60.0', 'validation_enum', 'step', /./],
    ['step=', 'validation_enum', 'step', /./],
    ['from=yesterday', 'validation_failure', 'from', /write it as 2026-11-30T12:00:00Z/],
    ['from=1764504000', 'validation_failure', 'from', /./],
    ['from=2026-11-22T09:00:00Z&from=2026-11-22T10:00:00Z', 'validation_failure', 'from', /./],
  ] as const) {
    const { status, body } = await api.get(`${path}?${query}`);
    t.match([status, body.errors[0]], [400, { code, message, target: { name, type: 'parameter' } }], query);
  }
  t.equal(wishes.length, before, 'no gateway is asked for what cannot be');
});

t.test('in route mode each member has its own; one that cannot be asked says why', async (t) => {
  const { api, gateway, path } = await lab(t, 'route');
  const two = (await api.get(path)).body.members;
  t.match(two, [{ since: SINCE }, { since: SINCE }]);
  t.not(two[0].public_ip.address, two[1].public_ip.address);
  api.runner.setState(gateway, 'degraded');
  api.runner.setFault(gateway, 1, { kind: 'ended', message: 'again' });
  const half = (await api.get(path)).body.members;
  t.match(half[0], { since: SINCE, points: [POINT, GAP] });
  t.notOk('fault' in half[0]);
  t.same(half[1], {
    public_ip: two[1].public_ip,
    ...{ since: null, step: null, points: [] },
    fault: 'The gateway has ended by itself, and is started again: again',
  });
});
