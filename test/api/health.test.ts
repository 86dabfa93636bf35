import t from 'tap';
import { statusReason } from '../../src/connection/reasons.js';
import { ApiLab, policyConnection } from '../helpers/api-lab.js';

const MORE_INFO = 'http://localhost/culvert/v1/docs/vpc-vpn-health#vpn-gateway-health';

t.test('the reasons of a gateway that is not well are told apart', async (t) => {
  const lab = await ApiLab.open(t);
  const id = await lab.gateway('gw', 'policy', '0717-sub');
  const read = async () => {
    const { health_state, health_reasons, members } = (await lab.get(`/vpn_gateways/${id}`)).body;
    t.same(members[0].health_reasons, health_reasons, 'those of its one member are its own');
    return { state: health_state, reasons: health_reasons };
  };
  t.same(await read(), { state: 'ok', reasons: [] });
  for (const [state, kind, message, code, text] of [
    ['down', 'starting', undefined, 'internal_error', 'The gateway is being started.'],
    [
      'down',
      'address',
      'the address 169.61.161.1 cannot be added: EPERM',
      'cannot_reserve_ip_address',
      'The gateway cannot have its public address, and is tried again: the address 169.61.161.1 cannot be added: EPERM',
    ],
    [
      'failed',
      'start',
      'there is no network namespace one: make it with `ip netns add one`',
      'internal_error',
      'The gateway cannot be started, and is tried again: there is no network namespace one: make it with `ip netns add one`',
    ],
    [
      'down',
      'ended',
      'it is being started again',
      'internal_error',
      'The gateway has ended by itself, and is started again: it is being started again',
    ],
    [
      'down',
      'silent',
      'no answer since noon',
      'internal_error',
      'The gateway runs and does not answer: no answer since noon',
    ],
  ] as const) {
    lab.runner.setState(id, state);
    lab.runner.setFault(id, 0, { kind, ...(message === undefined ? {} : { message }) });
    t.same(
      await read(),
      { state: 'faulted', reasons: [{ code, message: text, more_info: MORE_INFO }] },
      kind,
    );
  }
});

t.test('a fault of a connection on this host degrades its gateway, one of its peer does not', async (t) => {
  const lab = await ApiLab.open(t);
  const id = await lab.gateway('gw', 'policy', '0717-sub');
  const list = `/vpn_gateways/${id}/connections`;
  const connection = (await lab.post(list, { ...policyConnection(1), name: 'to-branch' })).body.id;
  const health = async () => {
    const { health_state, health_reasons } = (await lab.get(`/vpn_gateways/${id}`)).body;
    return [health_state, ...health_reasons.map((one: { code: string }) => one.code)];
  };
  await lab.until(() => lab.runner.desired.get(id)?.members[0]?.connections.length === 1);
  const silent = statusReason({ cause: 'peer_silent', message: 'The peer is silent.' });
  lab.runner.setConnection(connection, { status: 'down', status_reasons: [silent] });
  t.same(await health(), ['ok']);
  for (const [cause, code] of [
    ['local_route_conflict', 'cannot_create_vpc_route'],
    ['peer_address_in_networks', 'cannot_create_vpc_route'],
    ['tun_error', 'internal_error'],
  ] as const) {
    const reason = statusReason({ cause, message: 'There is a route to 10.2.0.0/24 already.' });
    lab.runner.setConnection(connection, { status: 'degraded', status_reasons: [silent, reason] });
    t.same(await health(), ['degraded', code], cause);
  }
  const [{ message }] = (await lab.get(`/vpn_gateways/${id}`)).body.health_reasons;
  t.match(message, /^Connection to-branch: There is a route to 10\.2\.0\.0\/24 already\. /);
});

t.test('in route mode a member has its own reasons, and the gateway those of both', async (t) => {
  const lab = await ApiLab.open(t);
  const id = await lab.gateway('gw', 'route', '0717-sub2');
  lab.runner.setState(id, 'degraded');
  lab.runner.setFault(id, 1, { kind: 'silent', message: 'no answer since noon' });
  const { health_state, health_reasons, members, lifecycle_state } = (await lab.get(`/vpn_gateways/${id}`))
    .body;
  t.same([lifecycle_state, health_state, health_reasons.length], ['stable', 'degraded', 1]);
  const [first, second] = members;
  t.match(
    health_reasons[0].message,
    `does not answer (member ${second.public_ip.address}): no answer since noon`,
  );
  t.same([first.health_state, first.health_reasons], ['ok', []]);
  t.same([second.health_state, second.health_reasons], ['faulted', health_reasons]);
});

t.test(
  'a creation that failed has its reason in the lifecycle, too, by the code of the contract',
  async (t) => {
    const lab = await ApiLab.open(t);
    lab.runner.startsAs = 'starting';
    const { id } = (await lab.post('/vpn_gateways', { subnet: { id: '0717-sub' }, mode: 'policy' })).body;
    lab.runner.setFault(id, 0, { kind: 'address', message: 'EPERM' });
    await lab.until(() => lab.runner.desired.has(id));
    const pending = (await lab.get(`/vpn_gateways/${id}`)).body;
    t.match(pending, { lifecycle_state: 'pending', health_state: 'inapplicable', health_reasons: [] });
    lab.runner.setState(id, 'failed');
    await lab.until(async () => (await lab.get(`/vpn_gateways/${id}`)).body.lifecycle_state === 'failed');
    const { health_reasons, lifecycle_reasons } = (await lab.get(`/vpn_gateways/${id}`)).body;
    t.match(health_reasons, [{ code: 'cannot_reserve_ip_address', message: /EPERM/ }]);
    t.match(lifecycle_reasons, [{ code: 'internal_error', message: /EPERM/ }]);
  },
);
