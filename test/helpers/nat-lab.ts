import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { NetworkLab } from '../../src/linux/namespaces.js';
import { addInside, type LabSite, type SiteLab } from './site-lab.js';

type Side = 'a' | 'b';

/** The routers' addresses in the world between the sites, and one they may move to. */
const OUTER = { a: '192.0.2.9', b: '192.0.2.10' } as const;
const MOVED = '192.0.2.77';
/** A site's own network: private behind a NAT, else one that the world knows the way to. */
const BEHIND_NAT = { a: '172.16.1', b: '172.16.2' } as const;
const PUBLIC = { a: '198.51.100', b: '203.0.113' } as const;
const INSIDE = { a: '10.1.0', b: '10.2.0' } as const;

export interface NatLabOptions {
  /** Sites whose router masquerades, with random ports, as most home and office routers do. */
  readonly natted: readonly Side[];
  /** Of those, the ones whose router hands UDP 500 and 4500 of its own address to the gateway behind. */
  readonly forwarded?: readonly Side[];
}

/** a - router ra - router rb - b. */
export interface NatLab extends SiteLab {
  /** The gateways with the addresses they have themselves. */
  readonly a: LabSite;
  readonly b: LabSite;
  /** The address under which the other site sees one. */
  outside(side: Side): string;
  /** The router of a gets another address outside: its mappings are void, the next packets come from there. */
  moveOutside(): Promise<string>;
  /** The router of a site forgets its mappings: the next packets come from another port of the same address. */
  forgetMappings(side: Side): Promise<void>;
  /** NAT keepalives (RFC 3948 §2.3) that came out of a site so far. */
  keepalives(side: Side): Promise<number>;
}

export async function createNatLab({ natted, forwarded = [] }: NatLabOptions): Promise<NatLab> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-nat-'));
  const lab = NetworkLab.create();
  const dispose = async (): Promise<void> => {
    await lab.dispose();
    rmSync(folder, { recursive: true, force: true });
  };
  const network = (side: Side): string => (natted.includes(side) ? BEHIND_NAT : PUBLIC)[side];
  const site = (side: Side): LabSite => ({
    node: side,
    address: `${network(side)}.2`,
    inside: `${INSIDE[side]}.1`,
    cidr: `${INSIDE[side]}.0/24`,
  });
  try {
    for (const node of ['a', 'ra', 'rb', 'b']) await lab.add(node);
    await lab.link(
      { node: 'ra', device: 'outer', addresses: [`${OUTER.a}/24`] },
      { node: 'rb', device: 'outer', addresses: [`${OUTER.b}/24`] },
    );
    for (const [side, other] of [
      ['a', 'b'],
      ['b', 'a'],
    ] as const) {
      const { address } = site(side);
      const gateway = `${network(side)}.1`;
      await lab.link(
        { node: side, device: 'wan', addresses: [`${address}/24`] },
        { node: `r${side}`, device: 'inner', addresses: [`${gateway}/24`] },
      );
      await lab.forward(`r${side}`);
      await lab.check(side, ['ip', 'route', 'add', 'default', 'via', gateway]);
      if (!natted.includes(other)) {
        await lab.check(`r${side}`, ['ip', 'route', 'add', `${PUBLIC[other]}.0/24`, 'via', OUTER[other]]);
      }
      await lab.check(`r${side}`, ['nft', rules(address, natted.includes(side), forwarded.includes(side))]);
    }
    await addInside(lab, site('a'), site('b'));
  } catch (error) {
    await dispose();
    throw error;
  }
  const readdress = async (router: string, from: string, to: string): Promise<void> => {
    const change = (what: string, address: string) => [
      'ip',
      'address',
      what,
      `${address}/24`,
      'dev',
      'outer',
    ];
    // When the last address of a device goes, its routes go too, and masquerading forgets its mappings.
    await lab.check(router, change('del', from));
    await lab.check(router, change('add', to));
    for (const side of ['a', 'b'] as const) {
      if (natted.includes(side) || router === `r${side}`) continue;
      await lab.check(router, ['ip', 'route', 'replace', `${PUBLIC[side]}.0/24`, 'via', OUTER[side]]);
    }
  };
  return {
    lab,
    folder,
    dispose,
    a: site('a'),
    b: site('b'),
    outside: (side) => (natted.includes(side) ? OUTER[side] : site(side).address),
    async moveOutside() {
      await readdress('ra', OUTER.a, MOVED);
      return MOVED;
    },
    forgetMappings: (side) => readdress(`r${side}`, OUTER[side], OUTER[side]),
    async keepalives(side) {
      const text = await lab.check(`r${side}`, ['nft', 'list counter inet watch keepalives']);
      return Number(/packets (\d+)/.exec(text)?.[1]);
    },
  };
}

function rules(address: string, natted: boolean, forwarded: boolean): string {
  const keepalive = 'iifname "inner" udp sport 4500 udp length 9 counter name keepalives';
  return [
    'add table inet watch',
    'add counter inet watch keepalives',
    'add chain inet watch pass { type filter hook forward priority 0 ; }',
    `add rule inet watch pass ${keepalive}`,
    ...(natted
      ? [
          'add table ip nat',
          'add chain ip nat post { type nat hook postrouting priority 100 ; }',
          'add rule ip nat post oifname "outer" masquerade random',
        ]
      : []),
    ...(forwarded
      ? [
          'add chain ip nat pre { type nat hook prerouting priority -100 ; }',
          `add rule ip nat pre iifname "outer" udp dport { 500, 4500 } dnat to ${address}`,
        ]
      : []),
  ].join('; ');
}
