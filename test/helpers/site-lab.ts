import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NetworkLab } from '../../src/linux/namespaces.js';

/** A gateway's namespace: its outer address and the address that stands for its LAN. */
export interface LabSite {
  readonly node: string;
  readonly address: string;
  readonly inside: string;
  readonly cidr: string;
}

export const SITE_A: LabSite = { node: 'a', address: '192.0.2.1', inside: '10.1.0.1', cidr: '10.1.0.0/24' };
export const SITE_B: LabSite = { node: 'b', address: '192.0.2.2', inside: '10.2.0.1', cidr: '10.2.0.0/24' };

/** Site A behind a masquerading router: its own address is private, the world sees the router's. */
export const SITE_A_NATTED: LabSite = { ...SITE_A, address: '172.16.9.2' };
export const ROUTER_OUTSIDE = '192.0.2.9';

/** A gateway's configuration file with its connection `c` to a peer; `more` joins or replaces fields of that. */
export function siteConfig(local: LabSite, peer: LabSite, more: object = {}) {
  return {
    gateway: { name: `site-${local.node}`, address: local.address },
    connections: [
      {
        name: 'c',
        psk: 'correct-horse-battery',
        local: { cidrs: [local.cidr] },
        peer: { address: peer.address, cidrs: [peer.cidr] },
        ...more,
      },
    ],
  };
}

/** The same gateway with another network behind it, `n` from 1 to 24; `addInside` gives it its address. */
export function siteVariant(site: LabSite, n: number): LabSite {
  const inside = site.inside.replace(/^10\./, `10.${n}`);
  return { ...site, inside, cidr: inside.replace(/\.1$/, '.0/24') };
}

export async function addInside(lab: NetworkLab, ...sites: readonly LabSite[]): Promise<void> {
  for (const { node, inside } of sites) {
    await lab.check(node, ['ip', 'address', 'add', `${inside}/24`, 'dev', 'lo']);
  }
}

/** Two gateways' namespaces and a private folder for their files. */
export interface SiteLab {
  readonly lab: NetworkLab;
  readonly folder: string;
  dispose(): Promise<void>;
}

export interface SiteLabOptions {
  /** Puts a router with nftables masquerading between the two sites. */
  readonly behindNat?: boolean;
  /** Where the private folder is made; among the temporary files when left out. */
  readonly within?: string;
}

export async function createSiteLab(options: SiteLabOptions = {}): Promise<SiteLab> {
  const folder = mkdtempSync(join(options.within ?? tmpdir(), 'culvert-test-'));
  const lab = NetworkLab.create();
  const dispose = async (): Promise<void> => {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  };
  try {
    await lab.add('a');
    await lab.add('b');
    if (options.behindNat === true) await addNatRouter(lab);
    else await joinDirectly(lab);
    await addInside(lab, SITE_A, SITE_B);
  } catch (error) {
    await dispose();
    throw error;
  }
  return { lab, folder, dispose };
}

async function joinDirectly(lab: NetworkLab): Promise<void> {
  await lab.link(
    { node: 'a', device: 'wan', addresses: [`${SITE_A.address}/24`] },
    { node: 'b', device: 'wan', addresses: [`${SITE_B.address}/24`] },
  );
}

async function addNatRouter(lab: NetworkLab): Promise<void> {
  await lab.add('r');
  await lab.link(
    { node: 'a', device: 'wan', addresses: [`${SITE_A_NATTED.address}/24`] },
    { node: 'r', device: 'inner', addresses: ['172.16.9.1/24'] },
  );
  await lab.link(
    { node: 'r', device: 'outer', addresses: [`${ROUTER_OUTSIDE}/24`] },
    { node: 'b', device: 'wan', addresses: [`${SITE_B.address}/24`] },
  );
  await lab.forward('r');
  await lab.check('a', ['ip', 'route', 'add', 'default', 'via', '172.16.9.1']);
  await lab.check('r', [
    'nft',
    'add table ip nat; add chain ip nat post { type nat hook postrouting priority 100 ; }; add rule ip nat post oifname "outer" masquerade',
  ]);
}

/** Milliseconds until a packet crosses the tunnel and its answer comes back. @throws Error after `seconds` */
export async function untilTraffic(
  lab: NetworkLab,
  from: LabSite,
  to: LabSite,
  seconds = 40,
): Promise<number> {
  const start = performance.now();
  // With -w the count is one of answers: it sends on until there is one.
  const argv = ['ping', '-q', '-n', '-i', '0.05', '-c', '1', '-w', String(seconds)];
  const { stdout } = await lab.run(from.node, [...argv, '-I', from.inside, to.inside]);
  if (!/ [1-9]\d* received/.test(stdout)) throw new Error(`no traffic after ${seconds} s`);
  return Math.round(performance.now() - start);
}

/**
 * Pings from one site's inside to the other's; the number of answers. One request a process: once it has had
 * an answer, ping waits for the next one only twice as long as that took, which is too short on a busy machine.
 */
export async function ping(lab: NetworkLab, from: LabSite, to: LabSite, count = 1): Promise<number> {
  const once = `ping -q -n -c 1 -W 3 -I ${from.inside} ${to.inside} >/dev/null && echo answer`;
  const { stdout } = await lab.run(from.node, ['sh', '-c', `for n in $(seq ${count}); do ${once}; done`]);
  return stdout.split('\n').filter((line) => line === 'answer').length;
}
