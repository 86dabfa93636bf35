import { createFfiDataPlane } from '../../../src/dataplane/ffi/data-plane.js';
import { libc } from '../../../src/linux/ffi.js';
import { localEndpoint, openPortGroup } from '../../../src/linux/sockets.js';
import { packetPair } from '../../helpers/packet-bench.js';
import { TestListener } from '../../helpers/portable-plane.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';
import { controlContract } from '../control-contract.js';

controlContract('worker threads', { skip: skipWithoutFfi() }, async () => {
  const open = new Set<string>();
  const group = openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 });
  /** A pair of sockets in the place of a TUN device. */
  const tun = (name?: string) => {
    const fds = packetPair();
    if (name !== undefined) open.add(name);
    return {
      fd: fds[1],
      close() {
        for (const fd of fds) libc().close(fd);
        if (name === undefined) group.close();
        else open.delete(name);
      },
    };
  };
  const plane = createFfiDataPlane({
    espFds: group.espFds,
    tun: tun(),
    openTun(name) {
      if (name === 'refused') throw new Error('may not be opened');
      return tun(name);
    },
    listener: new TestListener(),
    now: () => performance.now(),
  });
  const local = localEndpoint(group.espFds[0]!);
  return { plane, local, peer: { address: '127.0.0.1', port: 9 }, devices: () => [...open] };
});
