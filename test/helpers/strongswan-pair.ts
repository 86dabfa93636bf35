import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { isDeepStrictEqual } from 'node:util';
import type { Test } from 'tap';
import type { ChildStatus } from '../../src/connection/status.js';
import { CulvertDaemon, up } from './culvert-daemon.js';
import {
  createSiteLab,
  type LabSite,
  ping,
  ROUTER_OUTSIDE,
  SITE_A,
  SITE_A_NATTED,
  SITE_B,
  type SiteLab,
  type SiteLabOptions,
} from './site-lab.js';
import { StrongSwan, type SwanChild, type SwanConnection, type SwanStart } from './strongswan.js';

/** Pre-shared key of both ends, unless a test wants them to differ. */
/** Of some strength, so that it is not advised against. */
export const PSK = 'correct-horse-k7Qv2X-mJ9wRt4zHc8b';

/** Requests of each ping. */
export const PINGS = 3;

const CIPHERS = ['aes256', 'aes128', '3des'] as const;
const HASHES = ['sha256', 'sha1', 'md5'] as const;

/** strongSwan's names of the DH groups of the auto-negotiation matrix. */
export const GROUPS = { 14: 'modp2048', 5: 'modp1536', 2: 'modp1024' } as const;

/** The strongest suite of the matrix, as policies of Culvert and as proposals of strongSwan. */
export const IKE = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', dh_group: 14 };
export const ESP = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256', pfs: 'disabled' };
const STRONGEST = { proposals: 'aes256-sha256-modp2048', espProposals: 'aes256-sha256' };

interface IdentityInput {
  readonly type: string;
  readonly value: string;
}

export interface CulvertOptions {
  /** Version of the IKE policy, when there is one. */
  readonly ikeVersion?: 1 | 2;
  readonly establishMode?: 'bidirectional' | 'peer_only';
  readonly site?: LabSite;
  readonly psk?: string;
  readonly localIdentity?: IdentityInput;
  readonly peerIdentity?: IdentityInput;
  /** The rest of the IKE policy; without any the connection negotiates by itself. */
  readonly ike?: object;
  readonly esp?: object;
  readonly dpd?: object;
  readonly localCidrs?: readonly string[];
  readonly peerCidrs?: readonly string[];
  /** Where the first message goes. */
  readonly peerPort?: 500 | 4500;
  /** Further fields of the gateway. */
  readonly gateway?: object;
  readonly limits?: object;
}

/** Culvert is site A, strongSwan is site B. */
export function culvertConfig(options: CulvertOptions = {}) {
  const site = options.site ?? SITE_A;
  const ike = options.ike && [{ name: 'exact', ike_version: options.ikeVersion ?? 2, ...options.ike }];
  const esp = options.esp && [{ name: 'exact', ...options.esp }];
  return {
    gateway: { name: 'site-a', mode: 'policy', address: site.address, ...options.gateway },
    ...(options.limits && { limits: options.limits }),
    ...(ike && { ike_policies: ike }),
    ...(esp && { ipsec_policies: esp }),
    connections: [
      {
        name: 'to-b',
        psk: options.psk ?? PSK,
        establish_mode: options.establishMode ?? 'bidirectional',
        ...(options.dpd && { dead_peer_detection: options.dpd }),
        ...(ike && { ike_policy: 'exact' }),
        ...(esp && { ipsec_policy: 'exact' }),
        local: {
          cidrs: options.localCidrs ?? [site.cidr],
          ...(options.localIdentity && { ike_identities: [options.localIdentity] }),
        },
        peer: {
          address: SITE_B.address,
          cidrs: options.peerCidrs ?? [SITE_B.cidr],
          ...(options.peerPort && { port: options.peerPort }),
          ...(options.peerIdentity && { ike_identity: options.peerIdentity }),
        },
      },
    ],
  };
}

/** strongSwan's side of it, with the strongest suite of the matrix unless told otherwise. */
export function swanConnection(options: Partial<SwanConnection> = {}): SwanConnection {
  return {
    ...STRONGEST,
    local: { address: SITE_B.address, id: SITE_B.address, ts: SITE_B.cidr },
    remote: { address: SITE_A.address, id: SITE_A.address, ts: SITE_A.cidr },
    psk: PSK,
    ...options,
  };
}

/** Two gateways in namespaces, Culvert and strongSwan. */
export interface SwanPair {
  readonly site: SiteLab;
  readonly swan: StrongSwan;
  /** Another process, once a test has killed the first one and started a second. */
  culvert: CulvertDaemon;
}

export interface PairOptions extends Pick<SiteLabOptions, 'behindNat'> {
  readonly swan?: SwanStart;
  /** Done before Culvert starts. */
  readonly before?: (site: SiteLab) => Promise<void>;
}

/** Starts both ends, runs `body` and takes everything away; when it fails, both logs are shown. */
export async function withPair(
  t: Test,
  config: ReturnType<typeof culvertConfig>,
  connection: SwanConnection | undefined,
  body: (pair: SwanPair) => Promise<void>,
  options: PairOptions = {},
): Promise<void> {
  const { behindNat = false, swan: start = {} } = options;
  // What runs in another root finds its files there only.
  const within = start.root === undefined ? {} : { within: join(start.root, 'tmp') };
  const site = await createSiteLab({ behindNat, ...within });
  try {
    mkdirSync(join(site.folder, 'swan'));
    const swan = await StrongSwan.start(site.lab, 'b', join(site.folder, 'swan'), start);
    if (connection !== undefined) await swan.load(connection);
    await options.before?.(site);
    const pair = { site, swan, culvert: await CulvertDaemon.start(site.lab, 'a', site.folder, config) };
    try {
      await body(pair);
      t.equal(await pair.culvert.stop(), 0, 'the daemon stops cleanly');
    } catch (error) {
      t.comment(pair.culvert.log().slice(-6000));
      t.comment(swan.log().slice(-4000));
      throw error;
    } finally {
      if (pair.culvert.running) await pair.culvert.kill();
      await swan.stop();
    }
  } finally {
    await site.dispose();
  }
}

/** A connection of Culvert, which is behind a masquerading router, carries packets. */
export async function worksBehindRouter(t: Test, options: CulvertOptions = {}): Promise<void> {
  const config = culvertConfig({
    site: SITE_A_NATTED,
    localIdentity: { type: 'fqdn', value: 'a.example' },
    peerIdentity: { type: 'fqdn', value: 'b.example' },
    ...options,
  });
  const connection = swanConnection({
    version: options.ikeVersion ?? 2,
    local: { address: SITE_B.address, id: 'b.example', ts: SITE_B.cidr },
    remote: { address: '%any', id: 'a.example', ts: SITE_A.cidr },
  });
  const body = async (pair: SwanPair): Promise<void> => {
    await pair.culvert.up('to-b');
    const status = await pair.culvert.until('to-b', up);
    t.equal(status.ike?.nat.local, true, 'we find that we are behind a NAT');
    t.match(status.ike?.peer_endpoint, /:4500$/, 'on port 4500');
    const [sa] = await pair.swan.sas();
    t.equal(sa?.fields['remote-host'], ROUTER_OUTSIDE, 'strongSwan talks to the router');
    await carriesTraffic(t, pair);
  };
  await withPair(t, config, connection, body, { behindNat: true });
}

/** The tunnel carries packets both ways and both ends counted the same ones. */
export async function carriesTraffic(t: Test, { site, swan, culvert }: SwanPair): Promise<void> {
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
    await sleep(50);
  }
}

/** Waits until neither end has an SA. @throws Error when strongSwan keeps one */
export async function gone({ swan, culvert }: SwanPair): Promise<void> {
  await culvert.until('to-b', (c) => c.ike === null && c.children.length === 0);
  for (let tries = 0; tries < 100 && (await swan.sas()).length > 0; tries++) await sleep(20);
  const left = await swan.sas();
  if (left.length > 0) throw new Error(`strongSwan kept ${JSON.stringify(left)}`);
}

/**
 * All IKE combinations of the auto-negotiation matrix with one ESP suite, then all ESP combinations with one
 * IKE suite: strongSwan's proposals, the suites that status must show, and the exact policies for it.
 */
export const MATRIX = [
  ...CIPHERS.flatMap((cipher) =>
    HASHES.flatMap((hash) =>
      ([14, 5, 2] as const).map((group) => matrixCase('IKE', [cipher, hash, group], ['aes256', 'sha256'])),
    ),
  ),
  ...CIPHERS.flatMap((cipher) =>
    HASHES.map((hash) => matrixCase('ESP', ['aes256', 'sha256', 14], [cipher, hash])),
  ),
];

function matrixCase(
  varied: 'IKE' | 'ESP',
  [cipher, hash, group]: readonly [string, string, keyof typeof GROUPS],
  [espCipher, espHash]: readonly [string, string],
) {
  const proposals = `${cipher}-${hash}-${GROUPS[group]}`;
  const espProposals = `${espCipher}-${espHash}`;
  return {
    title: varied === 'IKE' ? `IKE ${proposals}` : `ESP ${espProposals}`,
    offer: { proposals, espProposals },
    ike: { encryption: cipher, integrity: hash, dh_group: `group_${group}` },
    esp: { encryption: espCipher, integrity: espHash },
    ikePolicy: { encryption_algorithm: cipher, authentication_algorithm: hash, dh_group: group },
    espPolicy: { encryption_algorithm: espCipher, authentication_algorithm: espHash, pfs: 'disabled' },
  };
}
