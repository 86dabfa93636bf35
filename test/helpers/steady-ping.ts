import type { NetworkLab } from '../../src/linux/namespaces.js';
import type { LabSite } from './site-lab.js';

/** A ping that runs beside a test. */
export interface SteadyPing {
  /** Ends it. Numbers of packets sent and answered; the last one sent may still be on its way. */
  stop(): Promise<{ readonly sent: number; readonly received: number }>;
}

/** Sends an echo request every `interval` seconds until it is stopped. */
export function steadyPing(
  lab: NetworkLab,
  from: LabSite,
  to: { readonly inside: string },
  interval = 0.01,
): SteadyPing {
  const argv = ['ping', '-q', '-n', '-i', String(interval), '-W', '1', '-I', from.inside, to.inside];
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
      return { sent: Number(found[1]), received: Number(found[2]) };
    },
  };
}
