import { EventEmitter } from 'node:events';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { runDaemon } from '../../src/daemon/system/lifecycle.js';
import { type ManagedService, ServiceManager } from '../../src/daemon/system/service-manager.js';
import { checkOf, reportOf } from '../../src/telemetry/health.js';
import { createLogger } from '../../src/telemetry/log.js';
import { fromUtf8 } from '../../src/util/bytes.js';
import { GatewayBench } from '../helpers/gateway-pair.js';
import { NotifySocket } from '../helpers/notify-socket.js';
import { TestDevice } from '../helpers/portable-plane.js';
import { skipWithoutFfi } from '../helpers/prerequisites.js';

const silent = createLogger({ level: 'silent' });
const report = (ok: boolean) => reportOf([checkOf('it', ok ? undefined : 'is not well')]);

/** A service whose health a test decides. */
class Service implements ManagedService {
  isHealthy = true;
  isReady = false;
  asked = 0;
  text = 'one\ntwo';
  readonly health = {
    health: () => {
      this.asked++;
      return report(this.isHealthy);
    },
    ready: async () => report(this.isReady),
  };
  describe(): string {
    return this.text;
  }
  changed(): () => void {
    return () => undefined;
  }
}

function managed(t: Test, environment: NodeJS.ProcessEnv, failing?: Error) {
  const sent: string[] = [];
  const lines: string[] = [];
  const manager = ServiceManager.of(environment, {
    logger: pino({ level: 'info' }, { write: (line: string) => void lines.push(line) }),
    send: (socket, datagram) => {
      sent.push(`${socket === '/run/notify' ? '' : socket}${fromUtf8(datagram)}`);
      if (failing !== undefined) throw failing;
    },
  });
  t.teardown(() => manager.stopping());
  return { manager, sent, lines };
}

async function until(condition: () => boolean): Promise<void> {
  for (let i = 0; i < 1000 && !condition(); i++) await sleep(10);
}

t.test('a service is ready when it says so, and the watchdog is fed while it is healthy', async (t) => {
  const environment = { NOTIFY_SOCKET: '/run/notify', WATCHDOG_USEC: '20000', OTHER: 'kept' };
  const { manager, sent } = managed(t, environment);
  t.same(environment, { OTHER: 'kept' }, 'processes that it starts do not speak for it');
  const service = new Service();
  manager.attend(service);
  await sleep(0);
  t.same(sent, []);
  service.isReady = true;
  await until(() => sent.length > 0);
  t.equal(sent[0], 'READY=1\nSTATUS=one two', 'the text is one line');
  await until(() => sent.length > 3);
  t.same([...new Set(sent.slice(1))], ['WATCHDOG=1']);

  service.isHealthy = false;
  const { asked } = service;
  await until(() => service.asked > asked + 1);
  const fed = sent.length;
  await until(() => service.asked > asked + 5);
  t.equal(sent.length, fed, 'one that is not healthy is left to be restarted');
  service.isHealthy = true;
  await until(() => sent.length > fed);
  t.equal(sent.at(-1), 'WATCHDOG=1');

  sent.length = 0;
  await manager.reload(() => void sent.push('work'));
  const kept = sent.filter((one) => one !== 'WATCHDOG=1');
  t.match(kept, [/^RELOADING=1\nMONOTONIC_USEC=[1-9][0-9]+$/, 'work', 'READY=1']);
  await t.rejects(
    manager.reload(() => Promise.reject(new Error('a bug'))),
    { message: 'a bug' },
  );
  t.equal(sent.at(-1), 'READY=1', 'what fails is over, too');

  manager.stopping();
  t.equal(sent.at(-1), 'STOPPING=1\nSTATUS=ending');
  const last = sent.length;
  const questions = service.asked;
  await sleep(50);
  t.same([sent.length, service.asked], [last, questions], 'nothing comes after it');
});

t.test('a watchdog of another process is not fed, nor is one without a period', async (t) => {
  for (const more of [{ WATCHDOG_USEC: '20000', WATCHDOG_PID: '1' }, { WATCHDOG_USEC: '0' }, {}]) {
    const { manager, sent } = managed(t, { NOTIFY_SOCKET: '/run/notify', ...more });
    const service = new Service();
    service.isReady = true;
    manager.attend(service);
    await until(() => sent.length > 0);
    await sleep(30);
    t.same(sent, ['READY=1\nSTATUS=one two']);
    t.equal(service.asked, 0);
  }
});

t.test('without a manager nothing is done; one that cannot be told is reported once', async (t) => {
  for (const [socket, warned] of [
    [undefined, 0],
    ['vsock:2:1', 1],
  ] as const) {
    const environment = socket === undefined ? {} : { NOTIFY_SOCKET: socket };
    const { manager, sent, lines } = managed(t, environment);
    manager.attend(new Service());
    await manager.reload(() => undefined);
    manager.stopping();
    t.same(sent, []);
    t.equal(lines.length, warned);
  }
  const { manager, lines } = managed(t, { NOTIFY_SOCKET: '/run/notify' }, new Error('nobody\nthere'));
  await manager.reload(() => undefined);
  manager.stopping();
  t.equal(lines.length, 1);
  t.match(JSON.parse(lines[0]!), { msg: 'the service manager cannot be told: nobody there' });
});

t.test('a gateway tells its manager of its whole life', { skip: skipWithoutFfi() }, async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const name = join(bench.folder, 'notify');
  const socket = NotifySocket.open(name);
  t.teardown(() => socket.close());
  const environment = { NOTIFY_SOCKET: name, WATCHDOG_USEC: '100000', WATCHDOG_PID: String(process.pid) };
  const manager = ServiceManager.of(environment, { logger: silent });
  const signals = new EventEmitter();
  const ended = runDaemon({ ...bench.options('a', {}, new TestDevice(), silent), signals, manager });
  const ready = await socket.until(/^READY=1/);
  t.match(ready, /STATUS=listening on 127\.[0-9.]+; connections: 0 up, 0 degraded, 1 down$/);
  await socket.until(/^WATCHDOG=1$/);
  const before = socket.received.length;
  signals.emit('SIGHUP');
  await socket.until(/^READY=1$/);
  t.match(
    socket.received.slice(before).find((one) => one !== 'WATCHDOG=1'),
    /^RELOADING=1\n/,
  );
  signals.emit('SIGTERM');
  t.equal(await ended, 0);
  socket.poll();
  t.equal(socket.received.at(-1), 'STOPPING=1\nSTATUS=ending');
});
