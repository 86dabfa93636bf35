import type { GatewayConnection } from '../../../store/model.js';
import { formatIp, type IpBytes, parseIp } from '../../../util/ip.js';
import type { Facts } from '../facts.js';
import type { Firewall, Hook, ProbePacket } from '../firewall/model.js';
import { askHook, type Verdict } from '../firewall/walk.js';
import { Check, type DoctorEntry, type Fault } from '../report.js';
import {
  connectionsOf,
  deviceOf,
  isForwarded,
  NO_GATEWAY,
  type Pair,
  pairsOf,
  peerAddresses,
} from './subject.js';

/** Rules of packet filters that are in the way of the tunnels. */
export function filterChecks(facts: Facts): DoctorEntry[] {
  const checks = ['firewall_ike', 'firewall_forward', 'masquerade'] as const;
  const { firewall } = facts.host;
  if (!firewall.ok) {
    const remedy = 'run as root, with the package nftables installed';
    return checks.map((check) => new Check({ area: 'host', check }).notChecked(firewall.error, remedy));
  }
  if (facts.file === undefined) {
    return checks.map((check) => new Check({ area: 'host', check }).notChecked(NO_GATEWAY));
  }
  const filter = firewall.value;
  return [ike(facts, filter), ...forward(facts, filter), masquerade(facts, filter)].flat();
}

/** Of the entries of all connections one good one is enough to be read. */
function orOk(entries: readonly DoctorEntry[], check: Check, message: string): DoctorEntry[] {
  return entries.length > 0 ? [...entries] : [check.ok(message)];
}

function ike(facts: Facts, firewall: Firewall): DoctorEntry[] {
  const all = new Check({ area: 'host', check: 'firewall_ike' });
  const seen = new Set<string>();
  const entries = connectionsOf(facts).flatMap((connection) =>
    peerAddresses(connection, facts).flatMap((address) => {
      if (seen.has(address)) return [];
      seen.add(address);
      const check = new Check({ area: 'host', check: 'firewall_ike', connection: connection.name });
      return ikeOf(connection, address, facts, { firewall, check });
    }),
  );
  return orOk(entries, all, 'no firewall of this host keeps UDP 500 and 4500 of the peers out');
}

interface Asked {
  readonly firewall: Firewall;
  readonly check: Check;
}

function ikeOf(
  { establishMode }: GatewayConnection,
  address: string,
  { file, host }: Facts,
  { firewall, check }: Asked,
): DoctorEntry[] {
  const [own, peer] = [parseIp(file!.gateway.address), parseIp(address)];
  if (own === undefined || peer === undefined || own.length !== peer.length) return [];
  const device = deviceTo(address, host.wayTo);
  const inward = (port: number, state: ProbePacket['state']): Verdict => {
    const ways = { ...(device === undefined ? {} : { iif: device }), protocol: 'udp', state } as const;
    const packet = { ...ways, ...endsOf(peer, own), sport: port, dport: port };
    return worst(firewall, ['prerouting', 'input'], packet);
  };
  const outward = (port: number): Verdict => {
    const ways = { ...(device === undefined ? {} : { oif: device }), protocol: 'udp', state: 'new' } as const;
    const packet = { ...ways, ...endsOf(own, peer), sport: port, dport: port };
    return worst(firewall, ['output', 'postrouting'], packet);
  };
  const out: DoctorEntry[] = [];
  const dropped = PORTS.filter((port) => outward(port).kind === 'drop');
  if (dropped.length > 0) out.push(check.finding(ikeFault(dropped, `to ${address}`, outward(dropped[0]!))));
  const refused = PORTS.filter((port) => inward(port, 'new').kind === 'drop');
  const verdict = refused[0] === undefined ? undefined : inward(refused[0], 'new');
  if (verdict === undefined)
    return [
      ...out,
      ...undecided(
        check,
        PORTS.map((port) => inward(port, 'new')),
      ),
    ];
  const answersPass = refused.every((port) => inward(port, 'established').kind === 'accept');
  if (answersPass && establishMode === 'bidirectional') {
    const message = `${portsText(refused)} from ${address} passes a firewall of this host only as an answer: the peer cannot begin, and is cut off when nothing was sent for a while`;
    out.push(check.note(message, remedyFor(verdict, IKE_RULE), verdict.because));
  } else out.push(check.finding(ikeFault(refused, `from ${address}`, verdict)));
  return out;
}

const PORTS = [500, 4500] as const;
const IKE_RULE = {
  nft: 'udp dport { 500, 4500 } accept',
  iptables: '-p udp -m multiport --dports 500,4500 -j ACCEPT',
};

function ikeFault(ports: readonly number[], direction: string, verdict: Verdict): Fault {
  return {
    code: 'ike_filtered',
    message: `a firewall of this host drops ${portsText(ports)} ${direction}`,
    evidence: verdict.because,
    remedy: remedyFor(verdict, IKE_RULE),
  };
}

function portsText(ports: readonly number[]): string {
  return `UDP ${ports.join(' and ')}`;
}

function forward(facts: Facts, firewall: Firewall): DoctorEntry[] {
  const all = new Check({ area: 'host', check: 'firewall_forward' });
  const entries = connectionsOf(facts)
    .filter((one) => isForwarded(one, facts.host))
    .flatMap((connection) => {
      const check = new Check({ area: 'host', check: 'firewall_forward', connection: connection.name });
      const tun = deviceOf(connection, facts);
      const found = pairsOf(connection, facts).flatMap((pair) =>
        forwardOf(pair, tun, facts, { firewall, check }),
      );
      return onceEach(found);
    });
  return orOk(entries, all, 'no firewall of this host drops forwarded packets of the tunnels');
}

/** New packets in one direction need those of their flow in the other one. */
function forwardOf(pair: Pair, tun: string, { host }: Facts, { firewall, check }: Asked): DoctorEntry[] {
  const lan = pair.from === undefined ? undefined : deviceTo(formatIp(pair.from), host.wayTo);
  const hooks = ['prerouting', 'forward', 'postrouting'] as const;
  const leaving = (state: ProbePacket['state']): Verdict =>
    worst(firewall, hooks, { ...lanAs('iif', lan), ...endsOf(pair.from, pair.to), oif: tun, state });
  const coming = (state: ProbePacket['state']): Verdict =>
    worst(firewall, hooks, { ...lanAs('oif', lan), ...endsOf(pair.to, pair.from), iif: tun, state });
  const there = [leaving('new'), coming('established')];
  const back = [coming('new'), leaving('established')];
  const [outStopped, inStopped] = [there, back].map((both) => both.find(({ kind }) => kind === 'drop'));
  const between = `${pair.local} and ${pair.peer}`;
  if (outStopped !== undefined && inStopped !== undefined) {
    return [
      check.finding({
        code: 'forward_dropped',
        message: `a firewall of this host drops what is forwarded between ${between}`,
        evidence: [...new Set([...outStopped.because, ...inStopped.because])],
        remedy: [
          remedyFor(outStopped, throughDevice('oif', tun)),
          remedyFor(inStopped, throughDevice('iif', tun)),
        ]
          .flatMap((one) => one ?? [])
          .join('; '),
      }),
    ];
  }
  const one = outStopped ?? inStopped;
  if (one === undefined) return undecided(check, [...there, ...back]);
  const [from, to] = outStopped === undefined ? [pair.peer, pair.local] : [pair.local, pair.peer];
  const message = `a firewall of this host lets nothing be begun from ${from} to ${to}; the other direction passes`;
  return [check.note(message, null, one.because)];
}

/** What is known of a packet by its two ends. */
function endsOf(source: IpBytes | undefined, destination: IpBytes | undefined): Pick<ProbePacket, 'family'> {
  const family = (source ?? destination)?.length === 16 ? 6 : 4;
  return {
    family,
    ...(source === undefined ? {} : { source }),
    ...(destination === undefined ? {} : { destination }),
  };
}

function lanAs(side: 'iif' | 'oif', device: string | undefined): Partial<ProbePacket> {
  return device === undefined ? {} : { [side]: device };
}

function throughDevice(side: 'iif' | 'oif', device: string) {
  return {
    nft: `${side}name "${device}" accept`,
    iptables: `-${side === 'iif' ? 'i' : 'o'} ${device} -j ACCEPT`,
  };
}

function masquerade(facts: Facts, firewall: Firewall): DoctorEntry[] {
  const all = new Check({ area: 'host', check: 'masquerade' });
  const entries = connectionsOf(facts).flatMap((connection) => {
    const check = new Check({ area: 'host', check: 'masquerade', connection: connection.name });
    const oif = deviceOf(connection, facts);
    const found = pairsOf(connection, facts).flatMap((pair) => {
      const packet = { oif, ...endsOf(pair.from, pair.to), state: 'new' } as const;
      const verdict = askHook(firewall, 'postrouting', 'nat', packet);
      if (verdict.kind === 'unknown') return undecided(check, [verdict]);
      if (verdict.kind !== 'nat') return [];
      return [
        check.finding({
          code: 'masqueraded',
          message: `NAT of this host changes the source of packets from ${pair.local} into the tunnel to ${pair.peer}: they do not match its networks any more and are dropped`,
          evidence: verdict.because,
          remedy: remedyFor(verdict, throughDevice('oif', oif)),
        }),
      ];
    });
    return onceEach(found);
  });
  return orOk(entries, all, 'no NAT of this host changes packets into the tunnels');
}

/** The first hook that drops, or cannot be decided. */
function worst(firewall: Firewall, hooks: readonly Hook[], packet: ProbePacket): Verdict {
  const verdicts = hooks.map((hook) => askHook(firewall, hook, 'filter', packet));
  return (
    verdicts.find(({ kind }) => kind === 'drop') ??
    verdicts.find(({ kind }) => kind === 'unknown') ?? { kind: 'accept', because: [] }
  );
}

function undecided(check: Check, verdicts: readonly Verdict[]): DoctorEntry[] {
  const unknown = verdicts.find(({ kind }) => kind === 'unknown');
  if (unknown === undefined) return [];
  const [rule = '', ...others] = unknown.because;
  const more = others.length === 0 ? '' : ` and ${others.length} more`;
  return [
    check.notChecked(
      `it depends on a rule that cannot be judged from here: ${rule}${more}`,
      'see that it lets the packets of the tunnels pass',
    ),
  ];
}

/** In front of the chain that decided. */
function remedyFor(
  { chain }: Verdict,
  rule: { readonly nft: string; readonly iptables: string },
): string | null {
  if (chain === undefined) return null;
  const { insert } = chain;
  // Braces and quotes are nft's, not the shell's.
  const command = insert.startsWith('nft ')
    ? `nft '${insert.slice(4)} ${rule.nft}'`
    : `${insert} ${rule.iptables}`;
  return `let it pass, for example \`${command}\``;
}

/** Many pairs of networks may meet one rule. */
function onceEach(entries: readonly DoctorEntry[]): DoctorEntry[] {
  const seen = new Set<string>();
  return entries.filter(({ result, code, evidence, message }) => {
    const key = [result, code, ...(evidence.length > 0 ? evidence : [message])].join('\n');
    return seen.has(key) ? false : seen.add(key) !== undefined;
  });
}

function deviceTo(address: string, wayTo: Facts['host']['wayTo']): string | undefined {
  try {
    return wayTo(address).device;
  } catch {
    return undefined;
  }
}
