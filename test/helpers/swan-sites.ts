import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { Test } from 'tap';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { CulvertDaemon } from './culvert-daemon.js';
import type { LabSite } from './site-lab.js';
import { StrongSwan, type SwanConnection, type SwanSa } from './strongswan.js';

/** One connection between a Culvert site and a strongSwan site, both of whose files are made of it. */
export interface Link {
  readonly name: string;
  readonly version: 1 | 2;
  /** Culvert's end, and strongSwan's. */
  readonly local: LabSite;
  readonly peer: LabSite;
  readonly psk: string;
  /** Where each end finds the other one; the addresses of the sites when left out. */
  readonly localFromPeer?: string;
  readonly peerFromLocal?: string;
  /** Address that strongSwan is bound to, `%any` for whatever it has. */
  readonly peerBinds?: string;
  /** Fields of Culvert's connection and of strongSwan's beyond that. */
  readonly culvert?: object;
  readonly swan?: Partial<SwanConnection>;
}

const identity = (link: Link, site: LabSite): string => `${link.name}.${site.node}.example`;

/** Culvert's file. Every connection has the policies of its version, so that Culvert initiates in it. */
export function culvertFile(links: readonly Link[], gateway: object = {}) {
  const suite = { encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' };
  return {
    gateway: { name: 'site', address: links[0]!.local.address, ...gateway },
    ike_policies: ([1, 2] as const).map((version) => ({
      name: `v${version}`,
      ike_version: version,
      ...suite,
      dh_group: 14,
    })),
    ipsec_policies: [
      { name: 'plain', ...suite, pfs: 'disabled' },
      { name: 'other', ...suite, encryption_algorithm: 'aes128', pfs: 'disabled' },
    ],
    connections: links.map((link) => ({
      name: link.name,
      psk: link.psk,
      ike_policy: `v${link.version}`,
      ipsec_policy: 'plain',
      dead_peer_detection: { action: 'restart', interval: 5, timeout: 30 },
      local: {
        cidrs: [link.local.cidr],
        ike_identities: [{ type: 'fqdn', value: identity(link, link.local) }],
      },
      peer: {
        address: link.peerFromLocal ?? link.peer.address,
        cidrs: [link.peer.cidr],
        ike_identity: { type: 'fqdn', value: identity(link, link.peer) },
      },
      ...link.culvert,
    })),
  };
}

/** strongSwan's connections, one for each link. */
export function swanFile(links: readonly Link[]): SwanConnection[] {
  return links.map((link) => ({
    name: link.name,
    version: link.version,
    proposals: 'aes256-sha256-modp2048',
    espProposals: 'aes256-sha256,aes128-sha256',
    local: {
      address: link.peerBinds ?? link.peer.address,
      id: identity(link, link.peer),
      ts: link.peer.cidr,
    },
    remote: {
      address: link.localFromPeer ?? link.local.address,
      id: identity(link, link.local),
      ts: link.local.cidr,
    },
    psk: link.psk,
    ...link.swan,
  }));
}

/** Both ends of the links, running. */
export interface Ends {
  readonly culvert: CulvertDaemon;
  readonly swan: StrongSwan;
  /** Further processes of a test, for their logs and their end. */
  keep<T extends CulvertDaemon | StrongSwan>(one: T): T;
}

/** Starts strongSwan and Culvert, runs `body`, shows both logs when it fails, and ends what still runs. */
export async function withEnds(
  t: Test,
  { lab, folder }: { readonly lab: NetworkLab; readonly folder: string },
  links: readonly Link[],
  body: (ends: Ends) => Promise<void>,
  options: { readonly gateway?: object; readonly settings?: string } = {},
): Promise<void> {
  const kept: (CulvertDaemon | StrongSwan)[] = [];
  const keep = <T extends CulvertDaemon | StrongSwan>(one: T): T => {
    kept.push(one);
    return one;
  };
  try {
    const swan = keep(await startSwan(lab, links[0]!.peer.node, folder, options.settings));
    await swan.load(...swanFile(links));
    const file = culvertFile(links, options.gateway);
    const culvert = keep(await CulvertDaemon.start(lab, links[0]!.local.node, folder, file));
    await body({ culvert, swan, keep });
    if (!t.passing()) showLogs(t, kept);
  } catch (error) {
    showLogs(t, kept);
    throw error;
  } finally {
    await Promise.all(kept.map((one) => one.stop()));
  }
}

function showLogs(t: Test, kept: readonly (CulvertDaemon | StrongSwan)[]): void {
  for (const one of kept) t.comment(one.log().slice(-8000));
}

let started = 0;

/** A strongSwan with a folder of its own below the lab's. */
export async function startSwan(
  lab: NetworkLab,
  node: string,
  folder: string,
  settings = '',
): Promise<StrongSwan> {
  const own = join(folder, `swan-${++started}`);
  mkdirSync(own);
  return StrongSwan.start(lab, node, own, { settings });
}

/** Polls strongSwan's SAs until they are as wanted. @throws Error with the last ones after `seconds` */
export async function swanUntil(
  swan: StrongSwan,
  wanted: (sas: readonly SwanSa[]) => boolean,
  seconds = 10,
): Promise<readonly SwanSa[]> {
  const end = performance.now() + seconds * 1000;
  for (;;) {
    const sas = await swan.sas();
    if (wanted(sas)) return sas;
    if (performance.now() > end) throw new Error(`strongSwan has ${JSON.stringify(sas)}`);
    await sleep(50);
  }
}

/** The SPIs that strongSwan has for a connection, IKE and ESP, in one text. */
export function swanSpis(sas: readonly SwanSa[], name: string): string {
  return sas
    .filter((sa) => sa.name === name && sa.state === 'ESTABLISHED')
    .map(({ fields, children }) => {
      const esp = children
        .filter((one) => one.state === 'INSTALLED')
        .map((one) => `${one.spiIn}/${one.spiOut}`);
      return `${String(fields['initiator-spi'])}/${String(fields['responder-spi'])} ${esp.sort().join(' ')}`;
    })
    .sort()
    .join('; ');
}

/** The SPIs of a connection here, in the same form and seen from strongSwan. */
export async function culvertSpis(culvert: CulvertDaemon, name: string): Promise<string> {
  const { ike, children } = await culvert.connection(name);
  const esp = children
    .filter((one) => one.state === 'installed')
    .map((one) => `${one.spi_out}/${one.spi_in}`);
  return ike === null ? '' : `${ike.initiator_spi}/${ike.responder_spi} ${esp.sort().join(' ')}`;
}

/** Waits until both ends have exactly the same SAs of a connection. @throws Error when they do not come to it */
export async function sameSas(culvert: CulvertDaemon, swan: StrongSwan, name: string): Promise<string> {
  let [ours, theirs] = ['', ''];
  for (let tries = 0; tries < 150; tries++) {
    ours = await culvertSpis(culvert, name);
    theirs = swanSpis(await swan.sas(), name);
    if (ours !== '' && ours === theirs && !ours.endsWith(' ')) return ours;
    await sleep(100);
  }
  throw new Error(`${name}: the ends differ: ${ours} here, ${theirs} there`);
}
