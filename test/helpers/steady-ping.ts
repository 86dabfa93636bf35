import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { LabSite } from './site-lab.js';

export interface PingCount {
  readonly sent: number;
  readonly received: number;
  /** Requests without an answer, but for those of the last second: they may still have been on their way. */
  readonly lost: number;
}

/** A ping that runs beside a test. */
export interface SteadyPing {
  /** Ends it. */
  stop(): Promise<PingCount>;
}

/** Sends an echo request every `interval` seconds until it is stopped. */
export function steadyPing(
  lab: NetworkLab,
  from: LabSite,
  to: { readonly inside: string },
  interval = 0.01,
): SteadyPing {
  const argv = ['ping', '-n', '-i', String(interval), '-W', '1', '-I', from.inside, to.inside];
  const child = lab.spawn(from.node, argv, { stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  child.stdout!.setEncoding('utf8').on('data', (text: string) => {
    output += text;
  });
  const ended = new Promise<void>((resolve) => child.once('close', () => resolve()));
  return {
    async stop() {
      child.kill('SIGINT');
      await ended;
      const found = /(\d+) packets transmitted, (\d+) received/.exec(output);
      if (found === null) throw new Error(`ping said: ${output}`);
      const sent = Number(found[1]);
      const answered = new Set([...output.matchAll(/icmp_seq=(\d+) ttl/g)].map((match) => Number(match[1])));
      // Numbers are of 16 bits: no test sends as many.
      const judged = Math.max(...answered, sent - Math.ceil(1 / interval));
      return { sent, received: Number(found[2]), lost: judged - answered.size };
    },
  };
}
