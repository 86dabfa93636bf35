import { once } from 'node:events';
import { statSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkLab } from '../../src/linux/namespaces.js';

/** A running capture. */
export interface Capture {
  /** Ends it; all packets seen so far are in the file then. */
  stop(): Promise<void>;
}

/** Writes what passes a device into `file` until stopped. `filter` is in the language of libpcap. */
export async function capture(
  lab: NetworkLab,
  node: string,
  device: string,
  filter: string,
  file: string,
): Promise<Capture> {
  const argv = ['dumpcap', '-q', '-B', '64', '-i', device, '-f', filter, '-w', file];
  const child = lab.spawn(node, argv, { stdio: ['ignore', 'ignore', 'pipe'] });
  const ended = once(child, 'close');
  const said: string[] = [];
  for await (const line of createInterface({ input: child.stderr! })) {
    said.push(line);
    if (line.startsWith('File:')) break;
  }
  if (child.exitCode !== null) throw new Error(`dumpcap: ${said.join('; ')}`);
  child.stderr!.resume();
  return {
    async stop() {
      // It gets packets from the kernel in blocks, and at its end forgets those it was not given yet.
      for (let size = -1, same = 0; same < 4; same++) {
        await sleep(300);
        const now = statSync(file).size;
        if (now !== size) same = 0;
        size = now;
      }
      child.kill('SIGINT');
      await ended;
    },
  };
}
