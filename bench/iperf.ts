import { once } from 'node:events';
import { createInterface } from 'node:readline';
import { setTimeout as pause } from 'node:timers/promises';
import type { NetworkLab } from '#culvert/linux/namespaces.js';

const PORT = 5201;

/** One TCP stream from one namespace to another, in Mbit/s as the receiver counted them. */
export async function iperfTcp(
  lab: NetworkLab,
  from: string,
  to: string,
  address: string,
  seconds: number,
): Promise<{ readonly mbitPerSecond: number; readonly retransmits: number }> {
  // One client, then it ends; line by line, so that it is known when it listens.
  const server = lab.spawn(to, ['iperf3', '--server', '--one-off', '--port', String(PORT), '--forceflush'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(server, 'close');
  try {
    for await (const line of createInterface({ input: server.stdout! })) {
      if (line.includes('listening')) break;
    }
    server.stdout!.resume();
    const options = ['--port', String(PORT), '--time', String(seconds), '--omit', '1', '--json'];
    const result = await lab.run(from, [
      'iperf3',
      '--client',
      address,
      '--connect-timeout',
      '5000',
      ...options,
    ]);
    const report = JSON.parse(result.stdout) as IperfReport;
    if (report.error !== undefined) throw new Error(`iperf3 from ${from} to ${address}: ${report.error}`);
    return {
      mbitPerSecond: report.end.sum_received.bits_per_second / 1e6,
      retransmits: report.end.sum_sent.retransmits ?? 0,
    };
  } finally {
    // It ends by itself after its one client, unless that never came.
    const late = pause(1000, 'late' as const, { ref: false });
    if ((await Promise.race([ended, late])) === 'late') server.kill('SIGTERM');
    await ended;
  }
}

interface IperfReport {
  readonly error?: string;
  readonly end: {
    readonly sum_sent: { readonly retransmits?: number };
    readonly sum_received: { readonly bits_per_second: number };
  };
}
