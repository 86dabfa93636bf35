import { readFileSync } from 'node:fs';
import { encryptionFromName, integrityFromName } from '../../crypto/names.js';
import { weakPskMessage } from '../../crypto/psk-strength.js';
import { isWeak } from '../../crypto/strength.js';
import type { GatewayFile } from '../../store/model.js';
import type { ConnectionId } from '../../util/ids.js';
import { cidrOf, cidrRange, formatIp, parseIp, rangeContains } from '../../util/ip.js';
import type { SecretKey } from '../../util/secret.js';

/** Values under /proc/sys, by their dotted name; undefined when the kernel has no such value. */
export type ReadSysctl = (name: string) => string | undefined;

/** A value of this kernel, in this network namespace. */
export const readSysctl: ReadSysctl = (name) => {
  try {
    // A device name may contain a dot: a slash replaces it in the dotted form (sysctl(8)).
    const path = name.split('.').map((part) => part.replaceAll('/', '.'));
    return readFileSync(`/proc/sys/${path.join('/')}`, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** Reads each value once, for many questions about one moment. */
export function readingOnce(read: ReadSysctl): ReadSysctl {
  const values = new Map<string, string | undefined>();
  return (name) => {
    if (!values.has(name)) values.set(name, read(name));
    return values.get(name);
  };
}

/** A setting of the kernel that keeps traffic from passing although the tunnel is up. */
export interface SettingFault {
  readonly code: 'forwarding_off' | 'reverse_path_filter' | 'hash_policy';
  /** What is wrong, with the setting and its value, without a full stop. */
  readonly what: string;
  /** What to do, in the imperative. */
  readonly remedy: string;
}

/** Whether this host passes packets on. @param family of the packets */
export function forwardingFault(read: ReadSysctl = readSysctl, family: 4 | 6 = 4): SettingFault | undefined {
  const name = family === 4 ? 'net.ipv4.ip_forward' : 'net.ipv6.conf.all.forwarding';
  if (read(name) !== '0') return undefined;
  return {
    code: 'forwarding_off',
    what: `this host does not forward IPv${family} (${name} = 0): only its own traffic will use the tunnel`,
    remedy: `set it with \`sysctl -w ${name}=1\``,
  };
}

/** Whether the kernel discards what comes out of a TUN device by where it would send the answer. */
export function reversePathFault(tun: string, read: ReadSysctl = readSysctl): SettingFault | undefined {
  const device = tun.replaceAll('.', '/');
  const filter = (name: string): number => Number(read(`net.ipv4.conf.${name}.rp_filter`) ?? 0);
  // The kernel takes the larger of `all` and the device's: `all` must not loosen what guards the other devices.
  if (Math.max(filter('all'), filter(device)) !== 1) return undefined;
  const all = filter('all') === 0 ? '' : 'net.ipv4.conf.all.rp_filter=0 ';
  const others = all === '' ? '' : ' (all=1 applied to the other devices, too: set each of them to 1 itself)';
  return {
    code: 'reverse_path_filter',
    what: `reverse path filtering is strict on ${tun}: packets from networks without a route through it are dropped`,
    remedy: `relax it there alone with \`sysctl -w ${all}net.ipv4.conf.${device}.rp_filter=2\`${others}`,
  };
}

/** Values of `fib_multipath_hash_policy` that look at ports: 1 at those of the packet, 3 at what the operator chose. */
const BY_FLOW: readonly string[] = ['1', '3'];

/**
 * Whether the kernel distributes packets over several next hops by addresses alone.
 * @param family of the packets
 */
export function hashPolicyFault(read: ReadSysctl = readSysctl, family: 4 | 6 = 4): SettingFault | undefined {
  const name = `net.ipv${family}.fib_multipath_hash_policy`;
  const value = read(name);
  if (value === undefined || BY_FLOW.includes(value)) return undefined;
  return {
    code: 'hash_policy',
    what: `traffic is distributed by addresses alone (${name} = ${value}): all flows between two hosts use one tunnel`,
    remedy: `let ports count with \`sysctl -w ${name}=1\``,
  };
}

/** What would keep traffic from passing although the tunnel is up, one sentence each. */
export function hostWarnings(tun: string, read: ReadSysctl = readSysctl): string[] {
  return sentencesOf(forwardingFault(read), reversePathFault(tun, read));
}

/** What would keep traffic of a family from being distributed by flow, likewise. */
export function hashPolicyWarnings(family: 4 | 6, read: ReadSysctl = readSysctl): string[] {
  return sentencesOf(hashPolicyFault(read, family));
}

/** A sentence for each fault. */
export function sentencesOf(...faults: readonly (SettingFault | undefined)[]): string[] {
  return faults.flatMap((fault) => (fault === undefined ? [] : [`${fault.what}; ${fault.remedy}`]));
}

/** A finding about one connection that does not prevent the start. */
export interface ConnectionWarning {
  /** Its name. */
  readonly connection: string;
  readonly message: string;
}

/**
 * Networks of a peer that this host cannot lead through the tunnel, as far as the file shows it: the peer's own
 * address alone, and networks that contain the gateway's own address, which are its uplink as a rule.
 */
export function networkWarnings({ gateway, connections }: GatewayFile): ConnectionWarning[] {
  const own = parseIp(gateway.address);
  return connections.flatMap(({ name, peer }) =>
    peer.cidrs.flatMap((text) => {
      const cidr = cidrOf(text);
      if (cidr.prefix === 0) return [];
      if (cidr.prefix === cidr.address.length * 8 && formatIp(cidr.address) === peer.address) {
        const message =
          `${text} in peer.cidrs is the peer's own address, to which IKE and ESP must go outside of the tunnel: ` +
          'packets to it will not use the tunnel; take it out, or give the peer another address for them';
        return [{ connection: name, message }];
      }
      if (own === undefined || !rangeContains(cidrRange(cidr), own)) return [];
      const message =
        `${text} in peer.cidrs contains gateway.address ${gateway.address}: where it is the network of the uplink, ` +
        'this host already has a route to it, and it will not use the tunnel; name the parts of it that do';
      return [{ connection: name, message }];
    }),
  );
}

/** Keys that are easy to guess. */
export function weakPskWarnings(
  { connections }: GatewayFile,
  psks: ReadonlyMap<ConnectionId, SecretKey>,
): ConnectionWarning[] {
  return connections.flatMap(({ id, name }) => {
    const key = psks.get(id);
    const message = key === undefined ? undefined : weakPskMessage(key.expose());
    return message === undefined ? [] : [{ connection: name, message }];
  });
}

/** Weak algorithms that a policy in use names; what auto-negotiation agrees on is reported when it happens. */
export function weakPolicyWarnings(file: GatewayFile): string[] {
  const ike = file.ikePolicies.map(
    (policy) => ({ policy, label: 'IKE', key: 'ikePolicy', groups: policy.dhGroups }) as const,
  );
  const ipsec = file.ipsecPolicies.map(
    (policy) => ({ policy, label: 'IPsec', key: 'ipsecPolicy', groups: policy.pfsGroups }) as const,
  );
  return [...ike, ...ipsec].flatMap(({ policy, label, key, groups }) => {
    const users = file.connections.filter((one) => one[key] === policy.name).map((one) => one.name);
    const weak = [
      ...policy.encryption.filter(weakCipher),
      ...policy.authentication.filter(weakHash),
      ...groups.filter((id) => isWeak({ kind: 'dh', id })).map((id) => `DH group ${id}`),
    ];
    if (weak.length === 0 || users.length === 0) return [];
    return [
      `${label} policy ${policy.name} (of ${users.join(', ')}) allows ${weak.join(', ')}, which count as weak: ` +
        'use aes256, sha256 and group 14 or better when the peer can',
    ];
  });
}

function weakCipher(name: string): boolean {
  const cipher = encryptionFromName(name);
  return cipher !== undefined && isWeak({ kind: 'encryption', ...cipher });
}

function weakHash(name: string): boolean {
  const id = integrityFromName(name);
  return id !== undefined && isWeak({ kind: 'integrity', id });
}
