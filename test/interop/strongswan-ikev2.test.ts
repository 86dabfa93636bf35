import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import t, { type Test } from 'tap';
import type { ChildStatus, ConnectionStatusDocument } from '../../src/connection/status.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import {
  createSiteLab,
  type LabSite,
  ping,
  ROUTER_OUTSIDE,
  SITE_A,
  SITE_A_NATTED,
  SITE_B,
  type SiteLab,
} from '../helpers/site-lab.js';
import {
  StrongSwan,
  type SwanChild,
  type SwanConnection,
  skipWithoutStrongswan,
} from '../helpers/strongswan.js';

const skip = skipWithoutStrongswan();
const PSK = 'correct-horse-battery';
const PINGS = 3;

const CIPHERS = ['aes256', 'aes128', '3des'] as const;
const HASHES = ['sha256', 'sha1', 'md5'] as const;
const GROUPS = { 14: 'modp2048', 5: 'modp1536', 2: 'modp1024' } as const;

/** Culvert is site A, strongSwan is site B. */
function culvertConfig(
  options: {
    readonly establishMode?: 'bidirectional' | 'peer_only';
    readonly site?: LabSite;
    readonly psk?: string;
    readonly localIdentity?: { readonly type: string; readonly value: string };
    readonly peerIdentity?: { readonly type: string; readonly value: string };
    readonly ike?: object;
    readonly esp?: object;
  } = {},
) {
  const site = options.site ?? SITE_A;
  const ike = options.ike && [{ name: 'exact', ike_version: 2, ...options.ike }];
  const esp = options.esp && [{ name: 'exact', ...options.esp }];
  return {
    gateway: { name: 'site-a', mode: 'policy', address: site.address },
    ...(ike && { ike_policies: ike }),
    ...(esp && { ipsec_policies: esp }),
    connections: [
      {
        name: 'to-b',
        psk: options.psk ?? PSK,
        establish_mode: options.establishMode ?? 'bidirectional',
        ...(ike && { ike_policy: 'exact' }),
        ...(esp && { ipsec_policy: 'exact' }),
        local: {
          cidrs: [site.cidr],
          ...(options.localIdentity && { ike_identities: [options.localIdentity] }),
        },
        peer: {
          address: SITE_B.address,
          cidrs: [SITE_B.cidr],
          ...(options.peerIdentity && { ike_identity: options.peerIdentity }),
        },
      },
    ],
  };
}

function swanConnection(
  options: Partial<SwanConnection> & { readonly proposals: string; readonly espProposals: string },
): SwanConnection {
  return {
    local: { address: SITE_B.address, id: SITE_B.address, ts: SITE_B.cidr },
    remote: { address: SITE_A.address, id: SITE_A.address, ts: SITE_A.cidr },
    psk: PSK,
    ...options,
  };
}

interface Pair {
  readonly site: SiteLab;
  readonly swan: StrongSwan;
  readonly culvert: CulvertDaemon;
}

async function withPair(
  t: Test,
  config: ReturnType<typeof culvertConfig>,
  connection: SwanConnection | undefined,
  body: (pair: Pair) => Promise<void>,
  labOptions: { readonly behindNat?: boolean } = {},
): Promise<void> {
  const site = await createSiteLab(labOptions);
  try {
    mkdirSync(join(site.folder, 'swan'));
    const swan = await StrongSwan.start(site.lab, 'b', join(site.folder, 'swan'));
    if (connection !== undefined) await swan.load(connection);
    const culvert = await CulvertDaemon.start(site.lab, 'a', site.folder, config);
    try {
      await body({ site, swan, culvert });
      t.equal(await culvert.stop(), 0, 'the daemon stops cleanly');
    } finally {
      if (culvert.running) await culvert.kill();
      await swan.stop();
    }
  } finally {
    await site.dispose();
  }
}

/** The tunnel carries packets both ways and both ends counted the same ones. */
async function carriesTraffic(t: Test, { site, swan, culvert }: Pair): Promise<void> {
  t.equal(await ping(site.lab, SITE_A, SITE_B, PINGS), PINGS, 'ping from Culvert to strongSwan');
  t.equal(await ping(site.lab, SITE_B, SITE_A, PINGS), PINGS, 'ping from strongSwan to Culvert');
  const { mine, other } = await countersOfBothEnds(t, swan, culvert);
  t.equal(mine.spi_in, other.spiOut, 'inbound SPI is their outbound');
  t.equal(mine.spi_out, other.spiIn, 'outbound SPI is their inbound');
  t.same(ourCounters(mine), theirCounters(other), 'counters agree');
  t.equal(mine.packets_in, 2 * PINGS, 'requests and answers, nothing else');
}

const ourCounters = (child: ChildStatus) => ({
  in: child.packets_in,
  out: child.packets_out,
  bytesIn: child.bytes_in,
  bytesOut: child.bytes_out,
});

const theirCounters = (child: SwanChild) => ({
  in: child.packetsOut,
  out: child.packetsIn,
  bytesIn: child.bytesOut,
  bytesOut: child.bytesIn,
});

/** A packet is counted a moment after it was sent: waits, one second at most, until the two ends are level. */
async function countersOfBothEnds(
  t: Test,
  swan: StrongSwan,
  culvert: CulvertDaemon,
): Promise<{ mine: ChildStatus; other: SwanChild }> {
  for (let tries = 0; ; tries++) {
    const ours = (await culvert.connection('to-b')).children;
    const theirs = (await swan.sas()).flatMap((sa) => sa.children);
    const [mine, other] = [ours[0], theirs[0]];
    if (mine === undefined || other === undefined) throw new Error('an end has no child SA');
    const level = isDeepStrictEqual(ourCounters(mine), theirCounters(other));
    if (level || tries === 20) {
      t.equal(ours.length, 1, 'one child SA here');
      t.equal(theirs.length, 1, 'one child SA there');
      return { mine, other };
    }
    await pause(50);
  }
}

async function gone(swan: StrongSwan, culvert: CulvertDaemon): Promise<void> {
  await culvert.until('to-b', (c) => c.ike === null && c.children.length === 0);
  for (let tries = 0; tries < 100 && (await swan.sas()).length > 0; tries++) await pause(20);
  const left = await swan.sas();
  if (left.length > 0) throw new Error(`strongSwan kept ${JSON.stringify(left)}`);
}

const pause = (ms: number): Promise<void> => new Promise((resolve) => setTimeout(resolve, ms));

/** All IKE combinations with one ESP suite, then all ESP combinations with one IKE suite. */
const MATRIX = [
  ...CIPHERS.flatMap((cipher) =>
    HASHES.flatMap((hash) =>
      ([14, 5, 2] as const).map((group) => ({
        title: `IKE ${cipher}-${hash}-${GROUPS[group]}`,
        proposals: `${cipher}-${hash}-${GROUPS[group]}`,
        espProposals: 'aes256-sha256',
        ike: { encryption: cipher, integrity: hash, dh_group: `group_${group}` },
        esp: { encryption: 'aes256', integrity: 'sha256' },
      })),
    ),
  ),
  ...CIPHERS.flatMap((cipher) =>
    HASHES.map((hash) => ({
      title: `ESP ${cipher}-${hash}`,
      proposals: 'aes256-sha256-modp2048',
      espProposals: `${cipher}-${hash}`,
      ike: { encryption: 'aes256', integrity: 'sha256', dh_group: 'group_14' },
      esp: { encryption: cipher, integrity: hash },
    })),
  ),
];

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
        await pair.swan.load(swanConnection(wanted));
        const { ok, output } = await pair.swan.initiate();
        t.ok(ok, output.split('\n').at(-2) ?? 'initiated');
        const connection = await pair.culvert.until('to-b', (c) => c.status === 'up');
        t.equal(connection.ike?.role, 'responder');
        hasSuites(t, connection, wanted);
        await carriesTraffic(t, pair);
        await pair.swan.terminate();
        await gone(pair.swan, pair.culvert);
      });
    }
  });
});

t.test('the auto-negotiation matrix, Culvert initiates', { skip }, async (t) => {
  await withPair(t, culvertConfig(), undefined, async (pair) => {
    await pair.culvert.down('to-b');
    for (const wanted of MATRIX) {
      await t.test(wanted.title, async (t) => {
        await pair.swan.load(swanConnection(wanted));
        await pair.culvert.up('to-b');
        const connection = await pair.culvert.until('to-b', (c) => c.status === 'up');
        t.equal(connection.ike?.role, 'initiator');
        hasSuites(t, connection, wanted);
        await carriesTraffic(t, pair);
        await pair.culvert.down('to-b');
        await gone(pair.swan, pair.culvert);
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

for (const { ours, theirs, group, groupName } of AEAD_CASES) {
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
      await gone(pair.swan, pair.culvert);
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
  const identities = {
    localIdentity: { type: 'fqdn', value: 'a.example' },
    peerIdentity: { type: 'fqdn', value: 'b.example' },
  };
  const connection = swanConnection({
    proposals: 'aes256-sha256-modp2048',
    espProposals: 'aes256-sha256',
    local: { address: SITE_B.address, id: 'b.example', ts: SITE_B.cidr },
    remote: { address: '%any', id: 'a.example', ts: SITE_A.cidr },
  });
  const config = culvertConfig({ site: SITE_A_NATTED, ...identities });
  await withPair(
    t,
    config,
    connection,
    async (pair) => {
      await pair.culvert.up('to-b');
      const up = await pair.culvert.until('to-b', (c) => c.status === 'up');
      t.equal(up.ike?.nat.local, true, 'we find that we are behind a NAT');
      t.match(up.ike?.peer_endpoint, /:4500$/, 'on port 4500');
      const [sa] = await pair.swan.sas();
      t.equal(sa?.fields['remote-host'], ROUTER_OUTSIDE, 'strongSwan talks to the router');
      await carriesTraffic(t, pair);
    },
    { behindNat: true },
  );
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
  const ike = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 };
  const esp = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', pfs: 'disabled' };
  await t.test('IKE', async (t) => {
    const connection = swanConnection({ proposals: 'aes256-sha256-modp1024', espProposals: 'aes256-sha256' });
    await withPair(
      t,
      culvertConfig({ ike, esp, establishMode: 'peer_only' }),
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
      culvertConfig({ ike, esp, establishMode: 'peer_only' }),
      connection,
      async ({ swan, culvert }) => {
        t.notOk((await swan.initiate()).ok);
        const down = await culvert.until('to-b', (c) => c.status_reasons.length > 0);
        t.equal(down.status_reasons[0]?.code, 'ipsec_policy_mismatch');
      },
    );
  });
});
