import { createOpensslBackend } from '../../src/crypto/backend.js';
import { createPortableDataPlane } from '../../src/dataplane/portable.js';
import { seededRandom } from '../helpers/esp.js';
import { A, B, TestDevice, TestListener } from '../helpers/portable-plane.js';
import { controlContract } from './control-contract.js';

controlContract('portable', {}, async () => {
  const open = new Set<string>();
  const plane = createPortableDataPlane({
    crypto: createOpensslBackend(),
    random: seededRandom('iv'),
    device: new TestDevice(),
    openDevice(name) {
      if (name === 'refused') throw new Error('may not be opened');
      open.add(name);
      return Object.assign(new TestDevice(), { close: () => open.delete(name) });
    },
    listener: new TestListener(),
    now: () => 1000,
    send: () => {},
  });
  return { plane, local: B, peer: A, devices: () => [...open] };
});
