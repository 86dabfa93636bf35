import { ApiMutations } from '../helpers/api-mutations.js';
import { type FuzzPart, hold } from './part.js';

const REQUESTS = 60;

/**
 * Schema-aware mutations of bodies, paths and headers, to a server over a store in memory: no 5xx, no answer that the
 * OpenAPI document does not announce, nothing half done, no key in a refusal or in the log.
 */
export const restPart: FuzzPart = {
  name: 'rest',
  async run(random) {
    const closers: (() => unknown)[] = [];
    const owner = { teardown: (close: () => unknown) => void closers.push(close) };
    try {
      const requests = await ApiMutations.open(owner as Parameters<typeof ApiMutations.open>[0], random);
      for (let n = 0; n < REQUESTS; n++) {
        const faults = await requests.next();
        hold(faults.length === 0, faults.join('\n'));
      }
    } finally {
      for (const close of closers) await close();
    }
    return REQUESTS;
  },
};
