import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { NetworkLab } from '#culvert/linux/namespaces.js';

/** The TCP counters of one namespace's kernel, read without a process for every reading. */
export interface TcpCounters {
  /** Segments sent again so far, by all connections. */
  retransmits(): number;
  stop(): Promise<void>;
}

export async function watchTcp(lab: NetworkLab, node: string): Promise<TcpCounters> {
  // A process inside shows its network in /proc. It answers once it is there.
  const inside = lab.spawn(node, ['cat'], { stdio: ['pipe', 'pipe', 'ignore'] });
  const answer = once(inside.stdout!, 'data');
  inside.stdin!.write('?');
  await answer;
  return {
    retransmits() {
      const [names, values] = readFileSync(`/proc/${inside.pid}/net/snmp`, 'latin1')
        .split('\n')
        .filter((line) => line.startsWith('Tcp:'))
        .map((line) => line.split(' '));
      return Number(values![names!.indexOf('RetransSegs')]);
    },
    async stop() {
      const ended = once(inside, 'close');
      inside.stdin!.end();
      await ended;
    },
  };
}
