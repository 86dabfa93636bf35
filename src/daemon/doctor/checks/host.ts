import { parseIp } from '../../../util/ip.js';
import {
  forwardingFault,
  hashPolicyFault,
  reversePathFault,
  type SettingFault,
} from '../../host/preflight.js';
import type { Facts } from '../facts.js';
import { Check, type DoctorEntry } from '../report.js';
import { connectionsOf, devicesOf, isForwarded, NO_GATEWAY, sameAddress } from './subject.js';

/** From this share of the table on new flows are soon refused. */
const CONNTRACK_FULL = 0.95;
/** The clock may be behind the time of a file that was copied from elsewhere. */
const CLOCK_LEEWAY = 24 * 3600 * 1000;
const FFI_REMEDY =
  'install with optional dependencies (`npm ci` without --omit=optional) on Linux x86-64 or arm64';

/** What this host must have and allow for any tunnel. */
export function hostChecks(facts: Facts): DoctorEntry[] {
  return [
    ...rights(facts),
    ...forwarding(facts),
    ...reversePath(facts),
    ...distribution(facts),
    address(facts),
    ports(facts),
    clearPackets(facts),
    conntrack(facts),
    clock(facts),
  ];
}

function rights({ host }: Facts): DoctorEntry[] {
  const check = new Check({ area: 'host', check: 'rights' });
  const missing = host.capabilities.filter(({ ok }) => !ok);
  if (missing.length === 0) return [check.ok('the process may make TUN devices and change routes')];
  return missing.map(({ name, reason = '' }) => {
    const [what = '', remedy] = splitAt(reason, ': ');
    const code = name === 'tun' ? 'no_tun' : 'no_rights';
    return check.finding({ code, message: what, remedy: name === 'ffi' ? FFI_REMEDY : (remedy ?? null) });
  });
}

function forwarding(facts: Facts): DoctorEntry[] {
  const { host, file } = facts;
  const check = new Check({ area: 'host', check: 'forwarding' });
  const forwarded = connectionsOf(facts).filter((one) => isForwarded(one, host));
  if (file !== undefined && forwarded.length === 0)
    return [check.ok('nothing has to be forwarded: the local networks are addresses of this host')];
  const families = ([4, 6] as const).filter((family) =>
    file === undefined
      ? family === 4
      : forwarded.some((one) => hasFamily(one.peer.cidrs, one.routes, family)),
  );
  const faults = families.flatMap((family) => forwardingFault(host.sysctl, family) ?? []);
  if (faults.length > 0) return faults.map((fault) => ofSetting(check, fault));
  return [check.ok(`this host forwards ${families.map((family) => `IPv${family}`).join(' and ')}`)];
}

function hasFamily(cidrs: readonly string[], routes: readonly string[], family: 4 | 6): boolean {
  const all = [...cidrs, ...routes];
  return all.length === 0 ? family === 4 : all.some((text) => text.includes(':') === (family === 6));
}

function reversePath(facts: Facts): DoctorEntry[] {
  const check = new Check({ area: 'host', check: 'reverse_path_filter' });
  const devices = devicesOf(facts);
  if (devices.length === 0) return [check.notChecked(NO_GATEWAY)];
  const faults = devices.flatMap((device) => reversePathFault(device, facts.host.sysctl) ?? []);
  if (faults.length > 0) return faults.map((fault) => ofSetting(check, fault));
  return [check.ok(`reverse path filtering is not strict on ${devices.join(', ')}`)];
}

/** Where this gateway's tunnels are in a group with others: what the kernel distributes packets by. */
function distribution(facts: Facts): DoctorEntry[] {
  const { groups, sysctl } = facts.host;
  const check = new Check({ area: 'host', check: 'distribution' });
  if (!groups.ok) return [check.notChecked(groups.error)];
  const own = devicesOf(facts);
  const shared = groups.value.filter((group) => group.devices.some((device) => own.includes(device)));
  const devices = [...new Set(shared.flatMap((group) => group.devices))].sort();
  const families = [...new Set(shared.map(({ family }) => family))].sort();
  if (devices.length === 0) return [];
  const faults = [
    ...families.flatMap((family) => hashPolicyFault(sysctl, family) ?? []),
    // Answers come by any of them, whichever the question went through. Own devices have a check of their own.
    ...devices.filter((one) => !own.includes(one)).flatMap((one) => reversePathFault(one, sysctl) ?? []),
  ];
  if (faults.length > 0) return faults.map((fault) => ofSetting(check, fault));
  return [check.ok(`traffic is distributed over ${devices.join(' and ')} by flow`)];
}

function ofSetting(check: Check, { code, what, remedy }: SettingFault): DoctorEntry {
  return check.finding({ code, message: what, remedy });
}

function address({ host, file }: Facts): DoctorEntry {
  const check = new Check({ area: 'host', check: 'address' });
  if (file === undefined) return check.notChecked(NO_GATEWAY);
  const { address: text } = file.gateway;
  const own = parseIp(text);
  if (!host.addresses.ok) return check.notChecked(host.addresses.error);
  const isAny = own?.every((octet) => octet === 0) === true;
  if (own === undefined || isAny || host.addresses.value.some((one) => sameAddress(one, own)))
    return check.ok(`this host has the address ${text}`);
  return check.finding({
    code: 'address_missing',
    message: `this host does not have gateway.address ${text}`,
    remedy:
      'set gateway.address to an address that `ip address` shows here; behind a NAT that is the private one, not the address the peer sees',
  });
}

function ports({ host, file, running }: Facts): DoctorEntry {
  const check = new Check({ area: 'host', check: 'ports' });
  if (running !== undefined) return check.ok('the gateway has UDP 500 and 4500');
  if (!host.portHolders.ok) return check.notChecked(host.portHolders.error);
  const wanted = file?.gateway.address;
  const taken = host.portHolders.value.filter(
    ({ address: bound }) => wanted === undefined || bound === wanted || bound === '0.0.0.0' || bound === '::',
  );
  if (taken.length === 0) return check.ok('UDP 500 and 4500 are free');
  const evidence = taken.map(({ port, address: bound, program, pid }) => {
    const who = program === undefined ? 'a process of another user' : `${program} (process ${pid})`;
    return `UDP ${port} on ${bound}: ${who}`;
  });
  const names = [...new Set(taken.map(({ program }) => program ?? 'another process'))].join(', ');
  const message = `UDP ${[...new Set(taken.map(({ port }) => port))].join(' and ')} of this host: taken by ${names}`;
  // Without a configuration it may well be the gateway that is asked about.
  if (wanted === undefined) return check.note(message, null, evidence);
  return check.finding({
    code: 'port_taken',
    ...{ message, evidence },
    remedy:
      'stop the other IKE daemon (for strongSwan `systemctl disable --now strongswan strongswan-starter`), or give the gateway an address of its own and bind the other one elsewhere',
  });
}

function clearPackets({ host, running }: Facts): DoctorEntry {
  const check = new Check({ area: 'host', check: 'clear_packets' });
  const status = running?.gateway.clear_packets;
  if (status?.inbound === 'not_filtered') {
    return check.finding({
      code: 'clear_packets_not_filtered',
      message: 'packets from the networks of the peers that come in the clear, beside the tunnel, are let in',
      evidence: status.reason === undefined ? [] : [status.reason],
      remedy:
        'load nf_tables (`modprobe nf_tables`) and start the gateway again, or set net.ipv4.conf.DEVICE.rp_filter=1 on every device but the TUN device',
    });
  }
  if (status !== undefined)
    return check.ok(`packets in the clear are discarded by the nftables table ${status.table}`);
  if (host.nftables === undefined)
    return check.ok('the kernel has nftables, which discards packets in the clear');
  return check.notChecked(host.nftables);
}

function conntrack({ host }: Facts): DoctorEntry {
  const check = new Check({ area: 'host', check: 'conntrack' });
  const [count, max] = ['count', 'max'].map((name) => host.sysctl(`net.netfilter.nf_conntrack_${name}`));
  if (count === undefined || max === undefined) return check.ok('connections are not tracked here');
  const evidence = [`net.netfilter.nf_conntrack_count = ${count}`, `net.netfilter.nf_conntrack_max = ${max}`];
  if (Number(max) === 0 || Number(count) < CONNTRACK_FULL * Number(max))
    return check.ok(`the table of tracked connections has room (${count} of ${max})`);
  return check.finding({
    code: 'conntrack_full',
    message: `the table of tracked connections is nearly full (${count} of ${max}): packets of new flows are dropped, those of tunnels too`,
    evidence,
    remedy: `raise it with \`sysctl -w net.netfilter.nf_conntrack_max=${2 * Number(max)}\`, and find out what opens so many`,
  });
}

function clock({
  host: {
    clock: { now, synchronised, notBefore },
  },
}: Facts): DoctorEntry {
  const check = new Check({ area: 'host', check: 'clock' });
  const text = `${new Date(now).toISOString().slice(0, 19)}Z`;
  if (now + CLOCK_LEEWAY < notBefore) {
    return check.finding({
      code: 'clock_wrong',
      message: `the clock of this host is wrong: it says ${text}, and files of this gateway were written after that`,
      evidence: [`newest file: ${new Date(notBefore).toISOString()}`],
      remedy:
        'set it, and let NTP keep it (`timedatectl set-ntp true`, or chrony): logs and lifetimes are read by it',
    });
  }
  if (synchronised === undefined)
    return check.notChecked('the kernel could not be asked whether NTP keeps the clock');
  if (synchronised) return check.ok(`the clock is kept by NTP (${text})`);
  return check.note(
    `NTP does not keep the clock (${text}): tunnels do without, but the times in log and status may be wrong`,
    'let NTP keep it (`timedatectl set-ntp true`, or chrony)',
  );
}

function splitAt(text: string, separator: string): readonly string[] {
  const at = text.indexOf(separator);
  return at < 0 ? [text] : [text.slice(0, at), text.slice(at + separator.length)];
}
