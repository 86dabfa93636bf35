import { EventEmitter } from 'node:events';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { encodeDesired } from '../../src/daemon/supervised/desired-state.js';
import { runSupervised } from '../../src/daemon/supervised/run-supervised.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { enterOwnNamespace } from '../helpers/own-namespace.js';

const NO_IPV6 = '/proc/sys/net/ipv6/conf/all/disable_ipv6';

/** A namespace in which no IPv6 address can be added, or why there is none. */
function withoutIpv6(): string | false {
  try {
    enterOwnNamespace();
    writeFileSync(NO_IPV6, '1');
    return false;
  } catch (error) {
    return `needs root and IPv6: ${error}`;
  }
}

t.test(
  'an address that cannot be had is told to the supervisor by a code of its own',
  { skip: withoutIpv6() },
  async (t) => {
    const folder = mkdtempSync(join(tmpdir(), 'culvert-address-'));
    t.teardown(() => rmSync(folder, { recursive: true, force: true }));
    const control = join(folder, 'g.sock');
    const signals = new EventEmitter();
    const ended = runSupervised({ control, orphanSeconds: 60, logger: pino({ level: 'silent' }), signals });
    const connect = async (): Promise<ControlClient> => {
      for (;;) {
        try {
          return await ControlClient.connect(control);
        } catch {
          await new Promise((resolve) => setImmediate(resolve));
        }
      }
    };
    const client = await connect();
    await client.attach();
    const file = readGatewayFile('gateway: { name: g, address: "2001:db8::1" }', 'example');
    if (!file.ok) throw new Error(JSON.stringify(file.error));
    const asked = client.configure(encodeDesired(file.value));
    await t.rejects(asked, { code: 'no_address', message: /^the address 2001:db8::1 cannot be added: ./ });
    client.close();
    signals.emit('SIGTERM');
    t.equal(await ended, 0, 'it goes on, and ends when it is told to');
  },
);
