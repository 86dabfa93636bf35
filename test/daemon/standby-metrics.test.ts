import t from 'tap';
import { ServerMetrics } from '../../src/daemon/metrics/server-metrics.js';
import { ObjectImage } from '../../src/store/object-image.js';
import { KIND } from '../../src/store/records.js';
import { absentSnapshot } from '../../src/telemetry/metrics/absent.js';
import { exampleGateway } from '../helpers/example-gateway.js';

t.test('who of two members is active, whether the other is ready, and how often that changed', async (t) => {
  const objects = { revision: 1, get: () => undefined, list: () => [] };
  const site = { vpcs: [] } as never;
  const own = { running: true, restarts: 0, snapshot: absentSnapshot(exampleGateway()) };
  const moment = {
    ...{ objects, site },
    members: [
      {
        ...{ ...own, id: 'one', member: 1 },
        standby: { isReady: false, term: 4, takeovers: { switch: 2, ended: 1, silent: 0 } },
      },
      { ...own, id: 'two', member: 0 },
    ],
  };
  const { families } = await new ServerMetrics().document(moment, {} as never);
  const valuesOf = (name: string) => families.find((one) => one.name === name)?.values;
  const gateway = own.snapshot.name;
  t.same(valuesOf('culvert_ha_role'), [
    { labels: { gateway, member: '1' }, value: 0 },
    { labels: { gateway, member: '2' }, value: 1 },
  ]);
  t.same(valuesOf('culvert_ha_standby_ready'), [{ labels: { gateway }, value: 0 }]);
  t.same(valuesOf('culvert_ha_term'), [{ labels: { gateway }, value: 4 }]);
  t.same(valuesOf('culvert_ha_takeovers_total'), [
    { labels: { gateway, reason: 'switch' }, value: 2 },
    { labels: { gateway, reason: 'ended' }, value: 1 },
    { labels: { gateway, reason: 'silent' }, value: 0 },
  ]);
});

t.test('gateways of two VPCs that share a name have that of their VPC before it', async (t) => {
  const stored = ([id, name, vpc]: readonly [string, string, string]) => ({
    ...{ kind: KIND.gateway, id, created: 1, revision: 1 },
    value: { name, vpc, mode: 'policy', resourceGroup: 'rg', members: [{}] },
  });
  const gateways = [
    ['one', 'west', 'vpc-a'],
    ['two', 'east', 'vpc-a'],
    ['three', 'west', 'vpc-b'],
  ] as const;
  const objects = ObjectImage.of(1, gateways.map(stored));
  const site = { vpcs: [{ id: 'vpc-a', name: 'blue' }], resourceGroups: [] } as never;
  const snapshot = absentSnapshot(exampleGateway());
  const members = ['one', 'two', 'three', 'gone'].map((id) => {
    return { id, member: 0, running: true, restarts: 0, snapshot };
  });
  const shown = await new ServerMetrics().document({ objects, site, members }, {} as never);
  t.same(
    shown.gateways.map((one) => one.snapshot.name),
    ['blue/west', 'east', 'vpc-b/west', snapshot.name],
  );
});
