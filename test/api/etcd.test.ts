import t from 'tap';
import { EtcdClient } from '../../src/store/etcd/client.js';
import { openEtcdStore } from '../../src/store/etcd/etcd-store.js';
import { SECRET_FIELDS } from '../../src/store/records.js';
import { ApiLab, policyConnection } from '../helpers/api-lab.js';
import { EtcdLab, skipWithoutEtcd } from '../helpers/etcd-lab.js';

t.test('two servers with one store in etcd', { skip: skipWithoutEtcd() }, async (t) => {
  const lab = await (await EtcdLab.open(t)).ready();
  const open = async (first: number): Promise<ApiLab> =>
    ApiLab.open(t, {
      store: await openEtcdStore({
        ...{ kv: new EtcdClient(lab.place('api', first)), cluster: 'api', secretFields: SECRET_FIELDS },
      }),
    });
  const [a, b] = [await open(0), await open(1)];
  const gateway = await a.gateway('gw');
  const list = `/vpn_gateways/${gateway}/connections`;
  const made = await b.post(list, policyConnection(1));
  t.equal(made.status, 201, 'what one has made, the other one changes');
  t.match((await a.get(list)).body.connections, [{ id: made.body.id }], 'and it is seen at once');
  const names = ['x', 'y', 'z'].flatMap((name) => [a, b].map((one, n) => ({ one, name: `${name}${n}` })));
  const answers = await Promise.all(
    names.map(({ one, name }, n) => one.post(list, policyConnection(n + 2, { name }))),
  );
  t.same(
    answers.map(({ status }) => status),
    names.map(() => 201),
    'those that meet are worked out again',
  );
  t.equal((await b.get(list)).body.connections.length, 7);
  const [taken, free] = await Promise.all(
    [a, b].map((one, n) => one.post(list, policyConnection(20 + n, { name: 'same' }))),
  );
  t.same([taken!.status, free!.status].sort(), [201, 409], 'of two with one name one is refused');
  const running = (one: ApiLab) => [...one.runner.desired.values()].flatMap(({ members }) => members);
  await a.until(() => running(a).flatMap(({ connections }) => connections).length === 8);
  await b.until(() => running(b).flatMap(({ connections }) => connections).length === 8);
  const created = async (one: ApiLab): Promise<string[]> => {
    const { body } = await one.get('/audit?action=is.vpn.vpn-connection.create&outcome=success', {
      prefix: '/culvert/v1',
    });
    return body.entries.map(({ target }: { target: { id: string } }) => target.id);
  };
  t.equal((await created(a)).length, 8);
  t.same(await created(b), await created(a), 'who did what is the same at both');
  await Promise.all(lab.members.slice(1).map((member) => member.kill()));
  t.equal((await b.get(list)).status, 200, 'without a majority reads go on');
  const refused = await b.post(list, policyConnection(30));
  t.match(refused, { status: 503, headers: { 'retry-after': '5' } });
  t.match(refused.body.errors[0].code, /^store_un(available|certain)$/);
});
