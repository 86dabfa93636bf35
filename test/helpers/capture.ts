import { statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import type { NetworkLab } from '../../src/linux/namespaces.js';
import { HelperProgram } from './helper-program.js';

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
  const program = new HelperProgram('dumpcap', child);
  let said = '';
  child.stderr!.on('data', (text: string) => {
    said += text;
  });
  await program.until(() => /^File:/m.test(said));
  return {
    async stop() {
      // It gets packets from the kernel in blocks, and at its end forgets those it was not given yet.
      for (let size = -1, same = 0; same < 4; same++) {
        await sleep(300);
        const now = statSync(file).size;
        if (now !== size) same = 0;
        size = now;
      }
      await program.stop();
    },
  };
}
