import { execFile } from 'node:child_process';
import { readFileSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { capabilities } from '../../linux/capabilities.js';
import { clockSynchronised } from '../../linux/clock-state.js';
import { findLink } from '../../linux/links.js';
import { listNextHops } from '../../linux/next-hops.js';
import { hasNftTable } from '../../linux/nftables.js';
import { oneLine } from '../../util/operator-error.js';
import { err, ok, type Result } from '../../util/result.js';
import { guardTable } from '../host/clear-guard.js';
import { hostRoutes, linuxNetwork } from '../host/host-network.js';
import { readSysctl } from '../host/preflight.js';
import { STANDARD_PORTS } from '../system/ports.js';
import type { ClockFacts, DistributionGroup, HostFacts } from './facts.js';
import { readIptablesSave } from './firewall/iptables-save.js';
import type { Firewall, FirewallChain } from './firewall/model.js';
import { readNftRuleset } from './firewall/nft-json.js';
import { portHolders } from './port-holders.js';

/** The answer of a program is no longer than this, and comes within this time. */
const MAX_OUTPUT = 16 * 1024 * 1024;
const PATIENCE_MS = 10_000;
/** Where shells of ordinary users do not look. */
const SBIN = '/usr/local/sbin:/usr/sbin:/sbin';

/**
 * Looks at the host, in the network namespace of this process. Nothing is changed.
 * @param configured file of the configuration, where there is one
 */
export async function gatherHost(configured?: string): Promise<HostFacts> {
  const firewall = await gatherFirewall();
  return {
    sysctl: readSysctl,
    capabilities: capabilities(),
    addresses: looked(() => linuxNetwork.localAddresses()),
    routes: looked(hostRoutes),
    groups: looked(distributionGroups),
    wayTo: (address) => linuxNetwork.getRoute(address),
    mtuOf: (device) => findLink(device)?.mtu,
    firewall,
    nftables: nftablesTrouble(),
    portHolders: looked(() => portHolders([STANDARD_PORTS.ike, STANDARD_PORTS.natt])),
    clock: gatherClock(configured),
  };
}

/** The groups of next hops in this network namespace. */
function distributionGroups(): DistributionGroup[] {
  const hops = listNextHops(() => true);
  return hops.flatMap((group) => {
    if (group.kind !== 'group') return [];
    const places = hops.flatMap((hop) =>
      hop.kind === 'device' && group.members.includes(hop.id) ? hop : [],
    );
    const devices = [...new Set(places.map(({ device }) => device))];
    return places.slice(0, 1).map(({ family }) => ({ family, devices }));
  });
}

function looked<T>(look: () => T): Result<T, string> {
  try {
    return ok(look());
  } catch (error) {
    return err(oneLine(error));
  }
}

function nftablesTrouble(): string | undefined {
  const asked = looked(() => hasNftTable(guardTable('doctor')));
  return asked.ok ? undefined : asked.error;
}

async function gatherFirewall(): Promise<Result<Firewall, string>> {
  const legacy = await legacyChains();
  if (!legacy.ok) return legacy;
  const listed = await run('nft', ['-j', 'list', 'ruleset']);
  if (!listed.ok) return listed;
  const read = readNftRuleset(listed.value);
  if (!read.ok) return read;
  const { chains, foreign } = read.value;
  const own = `inet ${guardTable('')}`;
  const others = chains.filter(({ table }) => !table.startsWith(own));
  const translated = await iptablesChains(foreign);
  const kept = others.filter(({ table }) => !translated.tables.has(table));
  return ok({ chains: [...kept, ...translated.chains, ...legacy.value] });
}

/** Tables of nftables that iptables has written: nft lists what it cannot read of them as "xt", iptables knows more. */
async function iptablesChains(
  foreign: ReadonlySet<string>,
): Promise<{ readonly tables: ReadonlySet<string>; readonly chains: readonly FirewallChain[] }> {
  const tables = new Set<string>();
  const chains: FirewallChain[] = [];
  for (const [word, program, family] of [
    ['ip', 'iptables-nft', 4],
    ['ip6', 'ip6tables-nft', 6],
  ] as const) {
    const wanted = [...foreign].filter((table) => table.startsWith(`${word} `));
    if (wanted.length === 0) continue;
    const saved = await run(`${program}-save`, []);
    if (!saved.ok) continue;
    const found = readIptablesSave(saved.value, { family, program });
    for (const table of wanted) {
      const mine = found.filter((chain) => chain.table === `${program} ${table.slice(word.length + 1)}`);
      if (mine.length === 0) continue;
      tables.add(table);
      chains.push(...mine);
    }
  }
  return { tables, chains };
}

/** The older tables of the kernel. Asking for one would make it, so only those are read that are there. */
async function legacyChains(): Promise<Result<FirewallChain[], string>> {
  const chains: FirewallChain[] = [];
  for (const [names, program, family] of [
    ['/proc/net/ip_tables_names', 'iptables-legacy', 4],
    ['/proc/net/ip6_tables_names', 'ip6tables-legacy', 6],
  ] as const) {
    for (const table of tablesIn(names)) {
      const saved = await run(`${program}-save`, ['-t', table]);
      if (!saved.ok) return err(`there are rules of ${program} in the table ${table}, and ${saved.error}`);
      chains.push(...readIptablesSave(saved.value, { family, program }));
    }
  }
  return ok(chains);
}

function tablesIn(path: string): string[] {
  try {
    return readFileSync(path, 'utf8')
      .split('\n')
      .filter((name) => name !== '');
  } catch {
    return []; // The kernel has none, or none for this user, who has no rights for the rest either.
  }
}

/** What a program prints. */
function run(program: string, args: readonly string[]): Promise<Result<string, string>> {
  const env = { ...process.env, PATH: `${process.env.PATH ?? ''}:${SBIN}`, LC_ALL: 'C' };
  const options = { env, encoding: 'utf8', maxBuffer: MAX_OUTPUT, timeout: PATIENCE_MS } as const;
  return new Promise((resolve) => {
    execFile(program, [...args], options, (error, stdout, stderr) => {
      if (error === null) resolve(ok(stdout));
      else if (error.code === 'ENOENT') resolve(err(`the program ${program} is not installed`));
      else if (error.killed === true) resolve(err(`${program} gave no answer in ${PATIENCE_MS / 1000} s`));
      else resolve(err(`${program} failed: ${oneLine(new Error(stderr.trim() || error.message))}`));
    });
  });
}

function gatherClock(configured: string | undefined): ClockFacts {
  const files = [fileURLToPath(import.meta.url), ...(configured === undefined ? [] : [configured])];
  const written = files.flatMap((path) => {
    try {
      return [statSync(path).mtimeMs];
    } catch {
      return [];
    }
  });
  const synchronised = looked(clockSynchronised);
  return {
    now: Date.now(),
    synchronised: synchronised.ok ? synchronised.value : undefined,
    notBefore: Math.max(0, ...written),
  };
}
