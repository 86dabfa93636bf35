import { readFileSync } from 'node:fs';
import { encryptionFromName, integrityFromName } from '../crypto/names.js';
import { isWeak } from '../crypto/strength.js';
import type { GatewayFile } from '../store/model.js';

/** Values under /proc/sys, by their dotted name; undefined when the kernel has no such value. */
export type ReadSysctl = (name: string) => string | undefined;

export const readSysctl: ReadSysctl = (name) => {
  try {
    // A device name may hold a dot: a slash stands for it in the dotted form (sysctl(8)).
    const path = name.split('.').map((part) => part.replaceAll('/', '.'));
    return readFileSync(`/proc/sys/${path.join('/')}`, 'utf8').trim();
  } catch {
    return undefined;
  }
};

/** What would keep traffic from passing although the tunnel stands, one sentence each. */
export function hostWarnings(tun: string, read: ReadSysctl = readSysctl): string[] {
  const out: string[] = [];
  if (read('net.ipv4.ip_forward') === '0') {
    out.push(
      'this host does not forward IPv4 (net.ipv4.ip_forward = 0): only its own traffic will use the tunnel; ' +
        'set it with `sysctl -w net.ipv4.ip_forward=1`',
    );
  }
  const device = tun.replaceAll('.', '/');
  const filters = ['all', device].map((name) => Number(read(`net.ipv4.conf.${name}.rp_filter`) ?? 0));
  if (Math.max(...filters) === 1) {
    out.push(
      `reverse path filtering is strict on ${tun}: packets from networks without a route through it are dropped; ` +
        `relax it with \`sysctl -w net.ipv4.conf.all.rp_filter=2 net.ipv4.conf.${device}.rp_filter=2\``,
    );
  }
  return out;
}

/** Weak algorithms that a policy in use names; what auto-negotiation agrees on is told when it happens. */
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
