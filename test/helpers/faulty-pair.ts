import type { Test } from 'tap';
import { skipWithoutProgram } from './prerequisites.js';
import type { SiteLab } from './site-lab.js';
import { type SwanConnection, skipWithoutStrongswan } from './strongswan.js';
import {
  type CulvertOptions,
  culvertConfig,
  ESP,
  IKE,
  type SwanPair,
  swanConnection,
  withPair,
} from './strongswan-pair.js';

/** For tap's `skip`: why faults of the path cannot be made here, or false. */
export function skipWithoutFirewall(): string | false {
  return skipWithoutStrongswan() || skipWithoutProgram('nft');
}

export const PASSIVE = { establishMode: 'peer_only' } as const;
/** A connection that is lost stays lost, so that it can be looked at. */
export const STAYS_DOWN = { action: 'clear', interval: 1, timeout: 4 };

export interface Setup extends CulvertOptions {
  readonly swan?: Partial<SwanConnection>;
  readonly settings?: string;
  readonly before?: (site: SiteLab) => Promise<void>;
}

export async function withVersion(
  t: Test,
  version: 1 | 2,
  { swan, settings, before, ...options }: Setup,
  body: (pair: SwanPair) => Promise<void>,
): Promise<void> {
  const config = culvertConfig({ ike: IKE, esp: ESP, ikeVersion: version, ...options });
  await withPair(t, config, swanConnection({ version, ...swan }), body, {
    ...(settings === undefined ? {} : { swan: { settings } }),
    ...(before === undefined ? {} : { before }),
  });
}

/** Drops what matches in a namespace until `noFirewall`. */
export async function firewall({ lab }: SiteLab, node: string, hook: string, match: string): Promise<void> {
  const rules = `add table ip f; add chain ip f c { type filter hook ${hook} priority 0 ; }; add rule ip f c ${match} drop`;
  await lab.check(node, ['nft', rules]);
}

export async function noFirewall({ lab }: SiteLab, node: string): Promise<void> {
  await lab.check(node, ['nft', 'delete table ip f']);
}

export async function isUp({ culvert }: SwanPair): Promise<void> {
  await culvert.until('to-b', (one) => one.status === 'up', 30);
}

/** One fault, and what must be said of it. */
export type Life = readonly [title: string, body: (t: Test, version: 1 | 2) => Promise<void>];

/** Faults that are mostly waited for are tried side by side, each in namespaces of its own. */
const AT_ONCE = 3;

export async function tryFaults(t: Test, version: 1 | 2, faults: readonly Life[]): Promise<void> {
  t.jobs = AT_ONCE;
  await Promise.all(
    faults.map(([title, body]) => t.test(title, { buffered: true }, async (t) => body(t, version))),
  );
}
