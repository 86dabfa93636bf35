import t from 'tap';
import { ConnectionNames } from '../../src/connection/connection-names.js';
import { type ConnectionPlan, knownIds, type PlanStep, planConnections } from '../../src/connection/plan.js';
import { type PlannedConnection, RELOAD_TABLE, type ReloadField } from '../../src/connection/reload-table.js';
import type { ConnectionConfig, EspProposalSpec, IkeProposalSpec } from '../../src/ike/config.js';
import { utf8 } from '../../src/util/bytes.js';
import { SecretKey } from '../../src/util/secret.js';
import { Dh, Encr, IdType, Integ, Prf } from '../../src/wire/ike/registry.js';
import { connection, network } from './samples.js';

const IKE: IkeProposalSpec = {
  encryption: [{ id: Encr.AES_CBC, keyBits: 256 }],
  integrity: [Integ.HMAC_SHA2_256_128],
  prf: [Prf.HMAC_SHA2_256],
  dh: [Dh.MODP_2048],
};
const ESP: EspProposalSpec = { encryption: IKE.encryption, integrity: IKE.integrity, dh: [] };
const FULL: Partial<ConnectionConfig> = { ikeProposals: [IKE], espProposals: [ESP] };

function planned(
  over: Partial<ConnectionConfig> = {},
  more: Partial<PlannedConnection> = {},
): PlannedConnection {
  return { config: connection('c', { ...FULL, ...over }), peer: '192.0.2.2', ...more };
}

function plan(after: PlannedConnection, before = planned()): ConnectionPlan | undefined {
  const plans = planConnections([before], [after]);
  t.ok(plans.length <= 1, 'one connection, one plan at most');
  return plans[0];
}

/** The plan for a list of connections that were read with nothing but their names. */
function planRead(
  before: readonly PlannedConnection[],
  after: readonly PlannedConnection[],
): ConnectionPlan[] {
  const ids = knownIds(before, after);
  const named = after.map(({ config, ...rest }, i) => ({
    ...rest,
    config: { ...config, id: ids[i]!, name: config.id },
  }));
  return planConnections(before, named);
}

const renew = (scope: Extract<PlanStep, { kind: 'renew' }>['scope']): PlanStep => ({ kind: 'renew', scope });
const retry: PlanStep = { kind: 'retry' };
const base = connection('c');
const identity = { idType: IdType.FQDN, data: utf8('other.example') };

interface Case {
  readonly field: ReloadField;
  readonly over?: Partial<ConnectionConfig>;
  readonly more?: Partial<PlannedConnection>;
  readonly before?: PlannedConnection;
  readonly steps: readonly PlanStep[];
  /** Where it differs: the same change of a connection that never initiates. */
  readonly peerOnly?: readonly PlanStep[];
}

const CASES: readonly Case[] = [
  { field: 'psk', over: { psk: new SecretKey(utf8('another-horse-battery')) }, steps: [retry] },
  { field: 'dead_peer_detection', over: { dpd: { action: 'hold', interval: 2, timeout: 10 } }, steps: [] },
  { field: 'dead_peer_detection', over: { dpd: { action: 'restart', interval: 3, timeout: 10 } }, steps: [] },
  { field: 'admin_state_up: false', over: { adminUp: false }, steps: [] },
  { field: 'admin_state_up: true', before: planned({ adminUp: false }), steps: [] },
  { field: 'ike_policy key_lifetime', over: { ikeLifetime: 600 }, steps: [renew('lifetimes')] },
  { field: 'ipsec_policy key_lifetime', over: { childLifetime: 600 }, steps: [renew('lifetimes')] },
  { field: 'ike_policy ike_version', over: { initiateVersion: 1 }, steps: [{ kind: 'renegotiate' }, retry] },
  { field: 'ike_policy accepted versions', over: { acceptVersions: [2] }, steps: [retry] },
  {
    field: 'ike_policy',
    over: { ikeProposals: [{ ...IKE, dh: [Dh.ECP_256] }] },
    steps: [renew('ike'), retry],
    peerOnly: [retry],
  },
  {
    field: 'ipsec_policy',
    over: { espProposals: [{ ...ESP, dh: [Dh.MODP_2048] }] },
    steps: [renew('children'), retry],
    peerOnly: [retry],
  },
  {
    field: 'cidrs added',
    over: { local: { ...base.local, selectors: [...base.local.selectors, network('10.9.0.0/24')] } },
    steps: [{ kind: 'cover' }, retry],
    peerOnly: [retry],
  },
  {
    field: 'cidrs removed',
    before: planned({ peer: { ...base.peer, selectors: [...base.peer.selectors, network('10.9.0.0/24')] } }),
    steps: [renew('networks'), retry],
  },
  {
    field: 'peer.address',
    more: { peer: '198.51.100.7' },
    steps: [renew('connection'), retry],
    peerOnly: [{ kind: 'renegotiate' }, retry],
  },
  {
    field: 'peer.port',
    over: { peer: { ...base.peer, port: 4500 } },
    steps: [renew('connection'), retry],
    peerOnly: [{ kind: 'renegotiate' }, retry],
  },
  {
    field: 'peer.ike_identity',
    over: { peer: { ...base.peer, identity } },
    steps: [renew('connection'), retry],
    peerOnly: [{ kind: 'renegotiate' }, retry],
  },
  {
    field: 'local.ike_identities',
    over: { local: { ...base.local, identity } },
    steps: [renew('connection'), retry],
    peerOnly: [{ kind: 'renegotiate' }, retry],
  },
  { field: 'routes', more: { routes: ['10.8.0.0/16'] }, steps: [] },
  { field: 'distribute_traffic', more: { distributeTraffic: true }, steps: [] },
  { field: 'interface', more: { interface: 'vpn7' }, steps: [] },
];

t.test('each field alone is one change with the action of the table and its steps', async (t) => {
  for (const { field, over = {}, more = {}, before, steps, peerOnly } of CASES) {
    for (const establishMode of ['bidirectional', 'peer_only'] as const) {
      const from = before ?? planned();
      const result = plan(planned({ ...over, establishMode }, more), {
        ...from,
        config: { ...from.config, establishMode },
      });
      const name = `${field}, ${establishMode}`;
      const { action, effect } = RELOAD_TABLE[field];
      t.same(result?.changes, [{ field, action, effect }], name);
      t.equal(result?.change, 'change', name);
      t.same(result?.steps, establishMode === 'peer_only' ? (peerOnly ?? steps) : steps, name);
    }
  }
});

t.test('every field of a connection has a case, so that none is forgotten', async (t) => {
  const elsewhere: ReloadField[] = [
    'connection added',
    'connection removed',
    'name',
    'establish_mode',
    'limits',
  ];
  const tested = new Set<string>([...CASES.map(({ field }) => field), ...elsewhere]);
  const left = Object.keys(RELOAD_TABLE).filter((field) => !tested.has(field));
  t.same(
    left.filter((field) => !field.startsWith('gateway.')),
    [],
  );
});

t.test('what does not differ is in no plan', async (t) => {
  t.equal(plan(planned()), undefined);
  const resolved = { ...base.peer, addresses: ['203.0.113.9'] };
  t.equal(plan(planned({ peer: resolved })), undefined, 'a host name that resolves to something else');
  const split = { ...base.local, selectors: [network('10.1.0.128/25'), network('10.1.0.0/25')] };
  t.equal(plan(planned({ local: split })), undefined, 'the same networks, spelled otherwise');
  for (const side of ['local', 'peer'] as const) {
    const loud = {
      ...base[side],
      identity: { idType: IdType.FQDN, data: utf8(side === 'local' ? 'A.Example' : 'b.EXAMPLE.') },
    };
    t.equal(plan(planned({ [side]: loud })), undefined, `the name of ${side} in another case (RFC 4343)`);
  }
  const many = ['a', 'b', 'c'].map((name) => ({ config: connection(name, FULL), peer: '192.0.2.2' }));
  t.same(planConnections(many, [...many].reverse()), [], 'another order');
});

t.test('establish_mode alone', async (t) => {
  const passive = planned({ establishMode: 'peer_only' });
  t.match(plan(planned(), passive), {
    changes: [{ field: 'establish_mode' }],
    steps: [retry],
  });
  t.match(plan(passive), {
    changes: [{ field: 'establish_mode' }],
    steps: [],
  });
});

t.test('the strongest action includes the weaker ones', async (t) => {
  const all = planned(
    {
      ikeLifetime: 600,
      ikeProposals: [],
      espProposals: [],
      dpd: { action: 'none', interval: 1, timeout: 2 },
    },
    { peer: 'vpn.example' },
  );
  const result = plan(all);
  t.equal(result?.changes.length, 5, 'all differences are shown');
  t.same(result?.steps, [renew('connection'), retry], 'and one new negotiation covers them');
  t.same(plan(planned({ initiateVersion: 1 }, { peer: 'vpn.example' }))?.steps, [
    { kind: 'renegotiate' },
    retry,
  ]);
  t.same(
    plan(planned({ ikeLifetime: 600, ikeProposals: [], espProposals: [] }))?.steps,
    [renew('lifetimes'), renew('ike'), renew('children'), retry],
    'rekeyings go one after the other',
  );
});

t.test('a connection that is to be down gets no steps, whatever else changed', async (t) => {
  t.same(plan(planned({ adminUp: false, ikeProposals: [] }, { peer: 'vpn.example' }))?.steps, []);
});

t.test('connections come, go and change their names', async (t) => {
  const one = (name: string, over: Partial<ConnectionConfig> = {}) => ({
    config: connection(name, { ...FULL, ...over }),
    peer: '192.0.2.2',
  });
  t.match(planConnections([one('a')], [one('a'), one('b', { ikeLifetime: 600 })]), [
    { name: 'b', change: 'add', changes: [{ action: 'start' }], steps: [] },
  ]);
  t.match(planConnections([one('a'), one('b')], [one('b')]), [
    { name: 'a', change: 'remove', changes: [{ action: 'stop' }] },
  ]);
  t.match(planRead([one('a')], [one('b')]), [
    { name: 'b', from: 'a', change: 'rename', changes: [{ field: 'name', action: 'none' }], steps: [] },
  ]);
  const other = planRead([one('a')], [one('b', { childLifetime: 600 })]);
  t.same(
    other.map((p) => [p.name, p.change]),
    [
      ['b', 'add'],
      ['a', 'remove'],
    ],
    'with another difference it is another one',
  );
  t.match(
    planConnections([one('a')], [one('a', { name: 'b', childLifetime: 600 })]),
    [
      {
        id: 'a',
        name: 'b',
        from: 'a',
        change: 'rename',
        changes: [{ field: 'name' }, { field: 'ipsec_policy key_lifetime' }],
        steps: [renew('lifetimes')],
      },
    ],
    'unless it has an id of its own',
  );
});

t.test('a connection that is read from a file again keeps its id', async (t) => {
  const one = (id: string, over: Partial<ConnectionConfig> = {}) => ({
    config: connection(id, { ...FULL, ...over }),
    peer: '192.0.2.2',
  });
  const short = { childLifetime: 600 };
  t.same(
    knownIds([one('a'), one('b', short)], [one('b', short), one('a', short)]),
    ['b', 'a'],
    'by its name',
  );
  t.same(knownIds([one('a')], [one('z'), one('a', short)]), ['z', 'a'], 'a name that stays is no other one');
  t.same(knownIds([one('a')], [one('b')]), ['a'], 'by what it is, where its name is gone');
  const renamed = one('a', { name: 'b' });
  t.same(knownIds([renamed], [one('b', short)]), ['a'], 'whatever it was called first');
  t.same(knownIds([renamed], [one('b'), one('a')]), ['a', 'a~2'], 'its first name may go to another one');
  t.same(knownIds([renamed], [one('a', short), one('b')]), ['a~2', 'a'], 'in any order');
  t.same(knownIds([renamed], [one('a', short)]), ['a~2'], 'even where it is gone itself');
  t.same(knownIds([one('a')], [one('b'), one('c')]), ['a', 'c'], 'one twin each');
});

t.test('names are for people', async (t) => {
  const names = new ConnectionNames();
  names.configure([
    { id: '1', name: 'a' },
    { id: '2', name: 'b' },
  ]);
  t.same([names.nameOf('1'), names.find('b'), names.find('1'), names.find('c')], ['a', '2', '1', undefined]);
  const event = { kind: 'advisory', connection: '2', code: 'weak_algorithm', message: '' } as const;
  t.match(names.named(event), { connection: 'b', code: 'weak_algorithm' });
  names.configure([{ id: '1', name: 'b' }]);
  t.same([names.nameOf('1'), names.find('b'), names.find('a')], ['b', '1', undefined], 'another name');
  t.equal(names.nameOf('2'), 'b', 'the last events of what is gone have its name');
  t.equal(names.find('2'), undefined);
  t.equal(names.nameOf('3'), '3');
});
