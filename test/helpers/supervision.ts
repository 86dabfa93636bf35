import type { ControlSupervision } from '../../src/daemon/control/server.js';

/** What the process of a gateway that runs under a server says of itself; it takes no orders. */
export function supervisionOf(gateway: string, { standby = false } = {}): ControlSupervision {
  const refuse = () => Promise.reject(new Error('not here'));
  return {
    attach: () => ({ pid: 1, version: '0', configured: !standby }),
    names: () => ({ gateway, connections: {}, ...(standby ? { standby } : {}) }),
    ...{ configure: refuse, prepare: refuse, take: refuse, release: refuse },
  };
}
