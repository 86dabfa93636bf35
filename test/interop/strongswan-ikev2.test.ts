import t, { type Test } from 'tap';
import type { ConnectionStatusDocument } from '../../src/connection/status.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { SITE_B } from '../helpers/site-lab.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  carriesTraffic,
  culvertConfig,
  ESP,
  gone,
  IKE,
  MATRIX,
  swanConnection,
  withPair,
  worksBehindRouter,
} from '../helpers/strongswan-pair.js';

const skip = skipWithoutStrongswan();

type Case = (typeof MATRIX)[number];

function hasSuites(t: Test, connection: ConnectionStatusDocument, wanted: Case): void {
  const { ike, children } = connection;
  t.same(
    { encryption: ike?.encryption, integrity: ike?.integrity, dh_group: ike?.dh_group },
    wanted.ike,
    'the IKE suite is the only one strongSwan takes',
  );
  t.same(
    { encryption: children[0]?.encryption, integrity: children[0]?.integrity },
    wanted.esp,
    'so is the ESP suite',
  );
}

t.test('the auto-negotiation matrix, strongSwan initiates', { skip }, async (t) => {
  await withPair(t, culvertConfig({ establishMode: 'peer_only' }), undefined, async (pair) => {
    for (const wanted of MATRIX) {
      await t.test(wanted.title, async (t) => {
        await pair.swan.load(swanConnection(wanted.offer));
        const { ok, output } = await pair.swan.initiate();
        t.ok(ok, output.split('\n').at(-2) ?? 'initiated');
        const connection = await pair.culvert.until('to-b', (c) => c.status === 'up');
        t.equal(connection.ike?.role, 'responder');
        hasSuites(t, connection, wanted);
        await carriesTraffic(t, pair);
        await pair.swan.terminate();
        await gone(pair);
      });
    }
  });
});

t.test('the auto-negotiation matrix, Culvert initiates', { skip }, async (t) => {
  await withPair(t, culvertConfig(), undefined, async (pair) => {
    await pair.culvert.down('to-b');
    for (const wanted of MATRIX) {
      await t.test(wanted.title, async (t) => {
        await pair.swan.load(swanConnection(wanted.offer));
        await pair.culvert.up('to-b');
        const connection = await pair.culvert.until('to-b', (c) => c.status === 'up');
        t.equal(connection.ike?.role, 'initiator');
        hasSuites(t, connection, wanted);
        await carriesTraffic(t, pair);
        await pair.culvert.down('to-b');
        await gone(pair);
      });
    }
  });
});

const AEAD_CASES = (
  [
    ['aes128gcm16', 'aes128gcm16'],
    ['aes256gcm16', 'aes256gcm16'],
    ['chacha20poly1305', 'chacha20poly1305'],
  ] as const
).flatMap(([ours, theirs]) =>
  (
    [
      [14, 'modp2048'],
      [19, 'ecp256'],
      [31, 'curve25519'],
    ] as const
  ).map(([group, groupName]) => ({ ours, theirs, group, groupName })),
);
const SUBGROUP_CASES = (
  [
    [22, 'modp1024s160'],
    [23, 'modp2048s224'],
    [24, 'modp2048s256'],
  ] as const
).map(([group, groupName]) => ({ ours: 'aes128gcm16', theirs: 'aes128gcm16', group, groupName }));

for (const { ours, theirs, group, groupName } of [...AEAD_CASES, ...SUBGROUP_CASES]) {
  t.test(`explicit policy ${ours} with DH ${group}, both roles`, { skip }, async (t) => {
    const ike = { encryption_algorithm: ours, authentication_algorithm: 'sha256', dh_group: group };
    const esp = { encryption_algorithm: ours, authentication_algorithm: 'disabled', pfs: 'disabled' };
    const connection = swanConnection({
      proposals: `${theirs}-prfsha256-${groupName}`,
      espProposals: theirs,
    });
    await withPair(t, culvertConfig({ ike, esp }), connection, async (pair) => {
      const check = async (role: string): Promise<void> => {
        const up = await pair.culvert.until('to-b', (c) => c.status === 'up');
        t.equal(up.ike?.role, role);
        t.match(up.ike, { encryption: ours, integrity: null, dh_group: `group_${group}` });
        t.match(up.children[0], { encryption: ours, integrity: null });
        await carriesTraffic(t, pair);
      };
      await pair.culvert.up('to-b');
      await check('initiator');
      await pair.culvert.down('to-b');
      await gone(pair);
      // `down` refuses what the peer initiates: the operator wants the connection down.
      t.notOk((await pair.swan.initiate()).ok, 'a connection taken down stays down');
      await pair.culvert.stop();
      const responder = await CulvertDaemon.start(
        pair.site.lab,
        'a',
        pair.site.folder,
        culvertConfig({ ike, esp, establishMode: 'peer_only' }),
      );
      try {
        t.ok((await pair.swan.initiate()).ok, 'strongSwan initiates');
        const up = await responder.until('to-b', (c) => c.status === 'up');
        t.equal(up.ike?.role, 'responder');
        await carriesTraffic(t, { ...pair, culvert: responder });
      } finally {
        await responder.stop();
      }
    });
  });
}

t.test('Culvert behind a masquerading router', { skip }, async (t) => {
  await worksBehindRouter(t);
});

t.test('wrong pre-shared key', { skip }, async (t) => {
  const suite = { proposals: 'aes256-sha256-modp2048', espProposals: 'aes256-sha256' };
  await t.test('found by Culvert as responder', async (t) => {
    const config = culvertConfig({ establishMode: 'peer_only' });
    await withPair(
      t,
      config,
      swanConnection({ ...suite, psk: 'another-secret' }),
      async ({ swan, culvert }) => {
        t.notOk((await swan.initiate()).ok, 'strongSwan is refused');
        const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
        t.match(down.status_reasons[0], {
          code: 'cannot_authenticate_connection',
          details: { cause: 'psk_mismatch' },
        });
        t.notMatch(
          JSON.stringify(down) + culvert.log(),
          /correct-horse|another-secret/,
          'no secret is shown',
        );
      },
    );
  });
  await t.test('told to Culvert as initiator', async (t) => {
    await withPair(
      t,
      culvertConfig(),
      swanConnection({ ...suite, psk: 'another-secret' }),
      async ({ culvert }) => {
        const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
        t.match(down.status_reasons[0], {
          code: 'cannot_authenticate_connection',
          details: { cause: 'authentication_refused' },
        });
      },
    );
  });
});

t.test('wrong identity', { skip }, async (t) => {
  const connection = swanConnection({
    proposals: 'aes256-sha256-modp2048',
    espProposals: 'aes256-sha256',
    local: { address: SITE_B.address, id: 'stranger.example', ts: SITE_B.cidr },
  });
  const config = culvertConfig({
    establishMode: 'peer_only',
    peerIdentity: { type: 'fqdn', value: 'b.example' },
  });
  await withPair(t, config, connection, async ({ swan, culvert }) => {
    t.notOk((await swan.initiate()).ok, 'strongSwan is refused');
    const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
    const [reason] = down.status_reasons;
    t.equal(reason?.code, 'cannot_authenticate_connection');
    t.equal(reason?.details?.cause, 'identity_mismatch');
    t.match(JSON.stringify(reason), /stranger\.example/, 'the received identity is shown');
    t.match(JSON.stringify(reason), /b\.example/, 'so is the expected one');
  });
});

t.test('proposal mismatch', { skip }, async (t) => {
  await t.test('IKE', async (t) => {
    const connection = swanConnection({ proposals: 'aes256-sha256-modp1024', espProposals: 'aes256-sha256' });
    await withPair(
      t,
      culvertConfig({ ike: IKE, esp: ESP, establishMode: 'peer_only' }),
      connection,
      async ({ swan, culvert }) => {
        t.notOk((await swan.initiate()).ok);
        const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
        const [reason] = down.status_reasons;
        t.equal(reason?.code, 'ike_policy_mismatch');
        const text = JSON.stringify(reason);
        t.match(text, /MODP_1024/, 'their offer is shown');
        t.match(text, /MODP_2048/, 'so is ours');
        t.match(text, /nearest/, 'and the nearest miss');
      },
    );
  });
  await t.test('ESP', async (t) => {
    const connection = swanConnection({ proposals: 'aes256-sha256-modp2048', espProposals: 'aes128-sha1' });
    await withPair(
      t,
      culvertConfig({ ike: IKE, esp: ESP, establishMode: 'peer_only' }),
      connection,
      async ({ swan, culvert }) => {
        t.notOk((await swan.initiate()).ok);
        const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
        t.equal(down.status_reasons[0]?.code, 'ipsec_policy_mismatch');
      },
    );
  });
});
