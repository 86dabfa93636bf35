import type { NetworkLab } from '../../src/linux/namespaces.js';
import { type LabSite, SITE_A, SITE_B, type SiteLab } from './site-lab.js';

/** A node neither sends nor receives anything until `heal`. */
export async function cut({ lab }: SiteLab, node = 'b'): Promise<void> {
  const chain = (hook: string): string =>
    `add chain inet cut ${hook} { type filter hook ${hook} priority 0; policy drop; };`;
  await lab.check(node, ['nft', `add table inet cut; ${chain('input')} ${chain('output')}`]);
}

export async function heal({ lab }: SiteLab, node = 'b'): Promise<void> {
  await lab.check(node, ['nft', 'delete table inet cut']);
}

/** Whether an echo request is answered within a second. */
export async function answers(lab: NetworkLab, from = SITE_A, to = SITE_B): Promise<boolean> {
  const argv = ['ping', '-q', '-n', '-c1', '-W1', '-I', from.inside, to.inside];
  const { stdout } = await lab.run(from.node, argv);
  return / 1 received/.test(stdout);
}

/** The IKE messages that leave a node, counted by its kernel. */
export interface IkeCounter {
  /** All of them. */
  count(): Promise<number>;
  /** Those on port 500, where each negotiation begins; with UDP encapsulation all later ones go over port 4500. */
  begun(): Promise<number>;
  /** Sets both to zero. */
  reset(): Promise<void>;
}

/** Counts from now on: all of UDP port 500, and on port 4500 what begins with the non-ESP marker (RFC 3948 §2.2). */
export async function countIkeOf({ lab }: SiteLab, { node }: LabSite): Promise<IkeCounter> {
  await lab.check(node, [
    'nft',
    [
      'add table inet ike;',
      'add counter inet ike first; add counter inet ike later;',
      'add chain inet ike out { type filter hook output priority 0; };',
      'add rule inet ike out udp dport 500 counter name first;',
      // The octets behind the UDP header of 64 bits.
      'add rule inet ike out udp dport 4500 udp length > 12 @th,64,32 0 counter name later;',
    ].join(' '),
  ]);
  const read = async (counter: string): Promise<number> => {
    const text = await lab.check(node, ['nft', 'list', 'counter', 'inet', 'ike', counter]);
    const found = /packets (\d+)/.exec(text);
    if (found === null) throw new Error(`nft said: ${text}`);
    return Number(found[1]);
  };
  return {
    count: async () => (await read('first')) + (await read('later')),
    begun: () => read('first'),
    reset: async () => {
      await lab.check(node, ['nft', 'reset', 'counters', 'table', 'inet', 'ike']);
    },
  };
}
