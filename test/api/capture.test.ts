import t from 'tap';
import { ApiLab, policyConnection } from '../helpers/api-lab.js';
import { EDITOR, TWO_ROLES, VIEWER } from '../helpers/two-roles.js';

const bearer = (token: string) => ({
  prefix: '/culvert/v1',
  headers: { authorization: `Bearer ${token}` },
});

interface Row {
  readonly outcome: string;
  readonly initiator: { readonly name: string };
  readonly target: { readonly id: string };
}

t.test('a capture is for editors, and audited', async (t) => {
  const lab = await ApiLab.open(t, { auth: TWO_ROLES });
  const v1 = { ...bearer(EDITOR), prefix: '/v1' };
  const gateway = { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy' };
  const { id } = (await lab.post('/vpn_gateways', gateway, v1)).body;
  const made = await lab.post(`/vpn_gateways/${id}/connections`, policyConnection(1), v1);
  const connection = made.body.id;
  const path = `/vpn_gateways/${id}/connections/${connection}/capture`;
  t.equal((await lab.post(path, {}, bearer(VIEWER))).status, 403);
  t.same(
    lab.runner.calls.filter((call) => call.startsWith('capture')),
    [],
    'nothing was begun',
  );
  t.match(await lab.post(path, { seconds: 5, inner: true }, bearer(EDITOR)), {
    status: 200,
    body: `${connection} {"seconds":5,"inner":true}`,
    headers: { 'content-type': 'application/x-pcapng', 'cache-control': 'no-store' },
  });
  t.match(await lab.post(path, { member: 2 }, bearer(EDITOR)), {
    status: 409,
    body: { errors: [{ message: 'a capture runs already' }] },
  });
  t.match(await lab.post(path, { keys: true }, bearer(EDITOR)), { status: 400 }, 'keys are not given out');
  const { body } = await lab.get('/audit?action=culvert.capture.create', bearer(EDITOR));
  t.same(
    body.entries.map(({ outcome, initiator, target }: Row) => [outcome, initiator.name, target.id]),
    [
      ['failure', 'ed', connection],
      ['failure', 'ed', connection],
      ['success', 'ed', connection],
      ['failure', 'vi', connection],
    ],
  );
});
