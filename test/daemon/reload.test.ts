import { writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { stringify } from 'yaml';
import { ControlClient } from '../../src/daemon/control/client.js';
import { rereadFile } from '../../src/daemon/gateway/reread-file.js';
import {
  ADDRESS,
  type FileChange,
  GatewayBench,
  isUp,
  PSK,
  type Side,
  type TestGateway,
} from '../helpers/gateway-pair.js';

const CIDR = { a: '10.1.0.0/24', b: '10.2.0.0/24' };

/** The file of one end, as an operator edits it. */
function edit(pair: GatewayBench, side: Side, connections: object[], change: FileChange = {}): void {
  const gateway = {
    name: `site-${side}`,
    address: ADDRESS[side],
    control: pair.control(side),
    ...change.gateway,
  };
  writeFileSync(`${pair.folder}/${side}.yaml`, stringify({ gateway, ...change.policies, connections }));
}

function entry(side: Side, over: object = {}): object {
  const other = side === 'a' ? 'b' : 'a';
  return {
    name: 'c',
    psk: PSK,
    local: { cidrs: [CIDR[side]] },
    peer: { address: ADDRESS[other], cidrs: [CIDR[other]] },
    ...over,
  };
}

async function both(t: {
  teardown(fn: () => unknown): unknown;
}): Promise<{ pair: GatewayBench; a: TestGateway; b: TestGateway }> {
  const pair = new GatewayBench();
  t.teardown(() => pair.dispose());
  const start = async (side: Side): Promise<TestGateway> => {
    edit(pair, side, [entry(side)]);
    return await pair.start(side, {}, { reread: () => rereadFile(`${pair.folder}/${side}.yaml`) });
  };
  const [a, b] = [await start('a'), await start('b')];
  await a.until(isUp);
  await b.until(isUp);
  return { pair, a, b };
}

t.test('errors in the file change nothing and are told with their place', async (t) => {
  const { pair, a } = await both(t);
  const before = a.connection();
  edit(pair, 'a', [entry('a', { ike_policy: 'missing' })]);
  const report = a.gateway.reload();
  t.match(report, { ok: false, errors: [{ path: 'connections[0].ike_policy', line: 15 }], connections: [] });
  writeFileSync(`${pair.folder}/a.yaml`, 'gateway: [');
  t.equal(a.gateway.reload().ok, false);
  edit(pair, 'a', [entry('a', { psk: undefined, psk_file: 'no-such-file' })]);
  t.match(a.gateway.reload().errors, [{ path: 'connections[0].psk_file' }]);
  t.same(a.connection().ike, before.ike);
  t.match(a.lines.join(''), /the configuration was not applied/);
});

t.test('what needs a restart refuses the whole change', async (t) => {
  const { pair, a } = await both(t);
  edit(pair, 'a', [entry('a'), entry('a', { name: 'd' })], { gateway: { address: '127.9.9.9' } });
  edit(pair, 'a', [entry('a')], { gateway: { interface: 'other0' } });
  t.match(a.gateway.reload(), { ok: false, gateway: [{ field: 'gateway.interface', action: 'restart' }] });
  t.equal(a.gateway.status().connections.length, 1);
  edit(pair, 'a', [entry('a')], { gateway: { encapsulation: 'auto' } });
  t.match(a.gateway.reload(), {
    ok: false,
    gateway: [{ field: 'gateway.encapsulation', action: 'restart' }],
  });
  edit(pair, 'a', [entry('a')], { gateway: { name: 'new-name' }, policies: { limits: { half_open: 77 } } });
  t.match(a.gateway.reload(), {
    ok: true,
    gateway: [{ field: 'gateway.name' }, { field: 'limits', action: 'next_start' }],
    unchanged: 1,
  });
  t.equal(a.gateway.status().gateway.name, 'new-name');
});

t.test('a dry run tells and does nothing; the control socket and its JSON', async (t) => {
  const { pair, a } = await both(t);
  edit(pair, 'a', [entry('a', { admin_state_up: false })]);
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  const plan = await client.reload({ dry_run: true });
  t.match(plan, {
    ok: true,
    dry_run: true,
    connections: [
      { name: 'c', change: 'change', changes: [{ field: 'admin_state_up: false', action: 'stop' }] },
    ],
    unchanged: 0,
  });
  await sleep(100);
  t.ok(isUp(a.connection()), 'it is still up');
  const done = await client.reload();
  t.match(done, { ok: true, dry_run: false });
  await a.until((one) => one.status === 'down' && one.children.length === 0);
  t.equal(a.connection().admin_state_up, false);
  t.match(await client.reload(), { connections: [], unchanged: 1 }, 'twice is once');
  edit(pair, 'a', [entry('a')]);
  await client.reload();
  await a.until(isUp);
});

t.test('a peer that now takes its first message on port 4500 only is negotiated with there', async (t) => {
  const { pair, a } = await both(t);
  const before = a.connection().ike?.initiator_spi;
  const { peer } = entry('a') as { peer: object };
  edit(pair, 'a', [entry('a', { peer: { ...peer, port: 4500 } })]);
  t.match(a.gateway.reload(), {
    ok: true,
    connections: [{ name: 'c', changes: [{ field: 'peer.port', action: 'new_connection_sa' }] }],
  });
  await a.until((one) => isUp(one) && one.ike !== null && one.ike.initiator_spi !== before);
  const begun = a.lines.filter((line) => line.includes('ike-initiating'));
  t.match(begun.at(-1), `${ADDRESS.b}:4500`);
  t.notOk(begun.slice(0, -1).some((line) => line.includes(`${ADDRESS.b}:4500`)));
});

t.test('connections come and go and change their name; the others are not touched', async (t) => {
  const { pair, a, b } = await both(t);
  const before = a.connection();
  const second = (side: Side): object => {
    const other = side === 'a' ? 'b' : 'a';
    const id = (name: string) => ({ type: 'fqdn', value: `${name}.example` });
    const nets = { a: '10.11.0.0/24', b: '10.12.0.0/24' };
    return {
      name: 'second',
      psk: 'another-shared-key',
      local: { cidrs: [nets[side]], ike_identities: [id(side)] },
      peer: { address: ADDRESS[other], cidrs: [nets[other]], ike_identity: id(other) },
    };
  };
  for (const [side, gateway] of [
    ['a', a],
    ['b', b],
  ] as const) {
    edit(pair, side, [entry(side), second(side)]);
    t.match(gateway.gateway.reload(), {
      ok: true,
      connections: [{ name: 'second', change: 'add' }],
      unchanged: 1,
    });
  }
  const find = (gateway: TestGateway, name: string) =>
    gateway.gateway.status().connections.find((one) => one.name === name);
  await a.until(() => find(a, 'second')?.status === 'up');
  t.same(a.connection().ike, before.ike, 'the first one is the same IKE SA');

  edit(pair, 'a', [{ ...entry('a'), name: 'renamed' }, second('a')]);
  t.match(a.gateway.reload(), {
    connections: [{ name: 'renamed', from: 'c', change: 'rename' }],
    unchanged: 1,
  });
  const renamed = find(a, 'renamed')!;
  t.equal(renamed.status, 'up');
  t.same(renamed.ike, before.ike, 'its SAs go on');
  t.same(renamed.children[0]?.spi_in, before.children[0]?.spi_in);

  edit(pair, 'a', [{ ...entry('a'), name: 'renamed' }]);
  t.match(a.gateway.reload(), { connections: [{ name: 'second', change: 'remove' }], unchanged: 1 });
  await b.until(() => find(b, 'second')?.status === 'down');
  t.equal(find(a, 'second'), undefined);

  // A new connection may have the old name of the renamed one.
  edit(pair, 'a', [
    { ...entry('a'), name: 'renamed' },
    { ...second('a'), name: 'c' },
  ]);
  a.gateway.reload();
  await a.until(() => find(a, 'c')?.status === 'up');
  t.same(find(a, 'renamed')!.ike, before.ike);
});

t.test('policies: the child SA and the IKE SA are replaced, the connection never goes down', async (t) => {
  const { pair, a, b } = await both(t);
  const before = a.connection();
  let downs = 0;
  const policies = {
    ike_policies: [
      { name: 'p', encryption_algorithm: 'aes128', authentication_algorithm: 'sha256', dh_group: 19 },
    ],
    ipsec_policies: [
      {
        name: 'q',
        encryption_algorithm: 'aes256gcm16',
        authentication_algorithm: 'disabled',
        pfs: 'group_19',
      },
    ],
  };
  for (const [side, gateway] of [
    ['b', b],
    ['a', a],
  ] as const) {
    edit(pair, side, [entry(side, { ipsec_policy: 'q' })], { policies });
    t.match(gateway.gateway.reload(), {
      connections: [{ name: 'c', changes: [{ field: 'ipsec_policy', action: 'rekey_children' }] }],
    });
  }
  const watch = (one: { status: string }): void => void (one.status === 'down' && downs++);
  const rekeyed = await a.until((one) => {
    watch(one);
    return one.children.length === 1 && one.children[0]!.dh_group === 'group_19';
  });
  t.equal(rekeyed.children[0]!.encryption, 'aes256gcm16');
  t.equal(rekeyed.ike!.initiator_spi, before.ike!.initiator_spi, 'the IKE SA stayed');

  for (const [side, gateway] of [
    ['b', b],
    ['a', a],
  ] as const) {
    edit(pair, side, [entry(side, { ike_policy: 'p', ipsec_policy: 'q' })], { policies });
    t.match(gateway.gateway.reload(), { ok: true });
  }
  const after = await a.until((one) => {
    watch(one);
    return one.ike?.dh_group === 'group_19';
  });
  t.equal(after.ike!.encryption, 'aes128');
  t.equal(downs, 0);
});

t.test('a new key counts at the next negotiation; a waiting attempt starts at once', async (t) => {
  const { pair, a, b } = await both(t);
  const before = a.connection().ike;
  for (const [side, gateway] of [
    ['a', a],
    ['b', b],
  ] as const) {
    edit(pair, side, [entry(side, { psk: 'a-quite-different-key' })]);
    t.match(gateway.gateway.reload(), {
      connections: [{ changes: [{ field: 'psk', action: 'next_authentication' }] }],
    });
  }
  t.same(a.connection().ike, before, 'nothing happens to what stands');
  edit(pair, 'a', [entry('a', { psk: 'a-third-key-entirely' })]);
  a.gateway.reload();
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  await client.down({ name: 'c' });
  await client.up({ name: 'c' });
  await a.until((one) =>
    one.status_reasons.some((reason) => reason.code === 'cannot_authenticate_connection'),
  );
  edit(pair, 'a', [entry('a', { psk: 'a-quite-different-key' })]);
  a.gateway.reload();
  await a.until(isUp);
});
