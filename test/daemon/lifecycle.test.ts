import { createSocket } from 'node:dgram';
import { EventEmitter } from 'node:events';
import { existsSync, mkdirSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { type Gateway, startGateway } from '../../src/daemon/gateway/gateway.js';
import { hostWarnings, networkWarnings, weakPolicyWarnings } from '../../src/daemon/host/preflight.js';
import { StartError } from '../../src/daemon/start-error.js';
import { type DaemonOptions, runDaemon } from '../../src/daemon/system/lifecycle.js';
import { UndoStack } from '../../src/daemon/undo.js';
import { LinuxError } from '../../src/linux/errors.js';
import { createLogger } from '../../src/telemetry/log.js';
import { oneLine } from '../../src/util/operator-error.js';
import { FakeHost } from '../helpers/fake-host.js';
import { ADDRESS, GatewayBench, isUp } from '../helpers/gateway-pair.js';
import { TestDevice } from '../helpers/portable-plane.js';

function bench(t: { teardown(fn: () => unknown): unknown }): GatewayBench {
  const made = new GatewayBench();
  t.teardown(() => made.dispose());
  return made;
}

/** Whether the port can be bound, that is, nobody holds it. */
async function free(address: string, port: number): Promise<boolean> {
  const socket = createSocket('udp4');
  return await new Promise((resolve) => {
    socket.once('error', () => resolve(false));
    socket.bind({ address, port, exclusive: true }, () => socket.close(() => resolve(true)));
  });
}

async function nothingLeft(t: Tap, pair: GatewayBench, device: TestDevice): Promise<void> {
  t.notOk(existsSync(pair.control('a')), 'no control socket is left');
  t.ok(await free(ADDRESS.a, pair.ports.ike), 'port 500 is free');
  t.ok(await free(ADDRESS.a, pair.ports.natt), 'port 4500 is free');
  t.equal(device.receiver, undefined, 'nobody reads the device');
}
type Tap = { notOk(x: unknown, m: string): unknown; ok(x: unknown, m: string): unknown } & {
  equal(x: unknown, y: unknown, m: string): unknown;
};

const silent = createLogger({ level: 'silent' });

t.test('a start that fails leaves nothing behind and says why in one line', async (t) => {
  t.test('a taken port', async (t) => {
    for (const which of ['ike', 'natt'] as const) {
      const pair = bench(t);
      const other = createSocket('udp4');
      await new Promise<void>((resolve) => other.bind(pair.ports[which], ADDRESS.a, resolve));
      const device = new TestDevice();
      const start = startGateway(pair.options('a', {}, device, silent));
      await t.rejects(start, {
        message: new RegExp(`UDP port ${pair.ports[which]} on ${ADDRESS.a}: .*EADDRINUSE`),
      });
      const line = oneLine(await start.catch((error: unknown) => error));
      t.match(line, /another program holds port .*ss -ulpn/);
      t.notMatch(line, /\n/);
      await new Promise<void>((resolve) => other.close(() => resolve()));
      await nothingLeft(t, pair, device);
    }
  });

  t.test('an address that is not of this host', async (t) => {
    const pair = bench(t);
    const device = new TestDevice();
    const change = { gateway: { address: '192.0.2.77' } };
    await t.rejects(startGateway(pair.options('a', change, device, silent)), {
      message: /EADDRNOTAVAIL/,
    });
    await nothingLeft(t, pair, device);
  });

  t.test('missing rights for routes: the routes before are taken back', async (t) => {
    const pair = bench(t);
    const device = new TestDevice();
    const host = new FakeHost();
    const { network } = host;
    network.refuse = '10.4.0.0/24 dev';
    const connection = { peer: { address: ADDRESS.b, cidrs: ['10.2.0.0/24', '10.3.0.0/24', '10.4.0.0/24'] } };
    const start = startGateway({ ...pair.options('a', { connection }, device, silent), host });
    await t.rejects(start, LinuxError);
    t.match(oneLine(await start.catch((error: unknown) => error)), /10\.4\.0\.0\/24.*EPERM.*CAP_NET_ADMIN/);
    t.same(network.held, [], 'the fence that this start had laid is gone, too');
    t.equal(network.log.filter((line) => line.startsWith('-10.')).length, 2);
    t.equal(host.filter.tables.size, 0);
    await nothingLeft(t, pair, device);
  });

  t.test('a bad control path', async (t) => {
    const pair = bench(t);
    writeFileSync(join(pair.folder, 'file'), '');
    mkdirSync(join(pair.folder, 'folder'));
    const device = new TestDevice();
    for (const control of [
      join(pair.folder, 'file'),
      join(pair.folder, 'folder'),
      join(pair.folder, 'file', 'x'),
    ]) {
      const start = startGateway(pair.options('a', { gateway: { control } }, device, silent));
      await t.rejects(start, StartError);
      t.match(oneLine(await start.catch((error: unknown) => error)), /^control socket .*gateway\.control/);
    }
    await nothingLeft(t, pair, device);
  });

  t.test('a second daemon on the same control socket', async (t) => {
    const pair = bench(t);
    const first = await pair.start('a');
    const start = startGateway(pair.options('a', {}, new TestDevice(), silent));
    await t.rejects(start, { message: /another daemon answers/ });
    const client = await ControlClient.connect(first.control);
    t.match(await client.status(), { gateway: { name: 'site-a' } }, 'the first one is not disturbed');
    client.close();
  });

  t.test('runDaemon logs the line and answers 1', async (t) => {
    const pair = bench(t);
    const lines: string[] = [];
    const logger = createLogger({ destination: { write: (line) => lines.push(line) } });
    const change = { gateway: { address: '192.0.2.77' } };
    const signals = new EventEmitter();
    t.equal(await runDaemon({ ...pair.options('a', change, new TestDevice(), logger), signals }), 1);
    t.match(JSON.parse(lines.at(-1)!), { level: 60, msg: /192\.0\.2\.77.*gateway\.address/ });
    t.equal(signals.listenerCount('SIGTERM') + signals.listenerCount('SIGINT'), 0);
  });
});

/** A daemon that runs until the test ends it. */
async function daemon(pair: GatewayBench, over: Partial<DaemonOptions> = {}) {
  const signals = new EventEmitter();
  const exits: number[] = [];
  const device = new TestDevice();
  let started: (gateway: Gateway) => void = () => undefined;
  const running = new Promise<Gateway>((resolve) => {
    started = resolve;
  });
  const exit = (code: number): void => void exits.push(code);
  const ended = runDaemon({ ...pair.options('a', {}, device, silent), signals, exit, started, ...over });
  const gateway = await running;
  const untilUp = async (): Promise<void> => {
    while (gateway.status().connections[0]?.status !== 'up') await sleep(5);
  };
  return { signals, exits, device, ended, untilUp };
}

t.test('SIGTERM and SIGINT end it in good order', async (t) => {
  for (const signal of ['SIGTERM', 'SIGINT']) {
    const pair = bench(t);
    const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
    const a = await daemon(pair);
    await a.untilUp();
    await b.until(isUp);
    a.signals.emit(signal);
    t.equal(await a.ended, 0);
    t.equal(b.connection().status, 'down', 'the peer was told before the end');
    await nothingLeft(t, pair, a.device);
    t.same(a.exits, []);
  }
});

t.test('a second signal ends it at once, whatever the first one waits for', async (t) => {
  const pair = bench(t);
  const b = await pair.start('b', { connection: { establish_mode: 'peer_only' } });
  const a = await daemon(pair);
  await a.untilUp();
  await b.until(isUp);
  a.signals.emit('SIGHUP');
  t.equal(a.signals.listenerCount('SIGHUP'), 1, 'a hang-up does not end it');
  a.signals.emit('SIGTERM');
  a.signals.emit('SIGTERM');
  t.same(a.exits, [130]);
  t.equal(await a.ended, 0, 'the first one was on its way');
});

t.test('a peer that is gone does not hold up the end', async (t) => {
  const pair = bench(t);
  const a = await daemon(pair);
  // It answers to nothing: the negotiation is under way when the end comes.
  await sleep(20);
  a.signals.emit('SIGTERM');
  t.equal(await a.ended, 0);
  await nothingLeft(t, pair, a.device);
});

t.test('the control socket can end it', async (t) => {
  const pair = bench(t);
  const a = await daemon(pair);
  const client = await ControlClient.connect(pair.control('a'));
  await client.stop();
  t.equal(await a.ended, 0);
  await client.closed;
  await nothingLeft(t, pair, a.device);
});

t.test('a crash leaves a socket that the next start replaces', async (t) => {
  const pair = bench(t);
  const { linkSync } = await import('node:fs');
  const dead = createServer();
  await new Promise<void>((resolve) => dead.listen(join(pair.folder, 'x'), resolve));
  linkSync(join(pair.folder, 'x'), pair.control('a'));
  await new Promise((resolve) => dead.close(resolve));
  const a = await pair.start('a');
  const client = await ControlClient.connect(a.control);
  t.match(await client.status(), { gateway: { name: 'site-a' } });
  client.close();
});

t.test('warnings about the host', async (t) => {
  const read = (values: Record<string, string>) => (name: string) => values[name];
  t.same(hostWarnings('culvert0', read({ 'net.ipv4.ip_forward': '1' })), []);
  t.match(hostWarnings('culvert0', read({ 'net.ipv4.ip_forward': '0' })), [/ip_forward=1/]);
  const strict = { 'net.ipv4.conf.all.rp_filter': '0', 'net.ipv4.conf.culvert0.rp_filter': '1' };
  t.match(hostWarnings('culvert0', read(strict)), [/reverse path filtering is strict on culvert0/]);
  const [advice] = hostWarnings('culvert0', read(strict));
  t.match(
    advice,
    /`sysctl -w net\.ipv4\.conf\.culvert0\.rp_filter=2`$/,
    'the other devices stay as they are',
  );
  const everywhere = { 'net.ipv4.conf.all.rp_filter': '1', 'net.ipv4.conf.culvert0.rp_filter': '0' };
  t.match(hostWarnings('culvert0', read(everywhere)), [
    /`sysctl -w net\.ipv4\.conf\.all\.rp_filter=0 net\.ipv4\.conf\.culvert0\.rp_filter=2` \(.*set each of them to 1/,
  ]);
  t.same(
    hostWarnings('culvert0', read({ ...strict, 'net.ipv4.conf.all.rp_filter': '2' })),
    [],
    'the higher one counts',
  );
  t.match(hostWarnings('a.b', read({ 'net.ipv4.conf.a/b.rp_filter': '1' })), [/strict on a\.b/]);
});

t.test('warnings about networks that will not pass the tunnel', async (t) => {
  const pair = bench(t);
  const warnings = (cidrs: string[], address = '192.0.2.2') =>
    networkWarnings(pair.file('a', { connection: { peer: { address, cidrs } } })).map(
      ({ message }) => message,
    );
  t.same(warnings(['10.2.0.0/24']), []);
  t.match(warnings(['192.0.2.2/32']), [/192\.0\.2\.2\/32 in peer\.cidrs is the peer's own address/]);
  t.match(warnings([`${ADDRESS.a.replace(/\.\d+$/, '.0')}/24`]), [/contains gateway\.address.*uplink/]);
});

t.test('warnings about policies', async (t) => {
  const pair = bench(t);
  const policies = (encryption_algorithm: string, authentication_algorithm: string, dh_group: number) => ({
    ike_policies: [{ name: 'p', encryption_algorithm, authentication_algorithm, dh_group }],
  });
  const used = { ike_policy: 'p' };
  const of = (policies: object, connection: object) =>
    weakPolicyWarnings(pair.file('a', { policies, connection }));
  t.same(of(policies('aes256', 'sha256', 14), used), []);
  t.match(of(policies('3des', 'md5', 2), used), [
    /IKE policy p \(of c\) allows 3des, md5, DH group 2, which count as weak/,
  ]);
  t.same(of(policies('3des', 'md5', 2), {}), [], 'a policy that nobody uses');
});

t.test('undoing goes backwards and does not stop at a failure', async (t) => {
  const done: string[] = [];
  const undo = new UndoStack();
  undo.push('first', () => done.push('first'));
  undo.push('second', () => {
    throw new Error('no');
  });
  undo.push('third', async () => {
    await sleep(1);
    done.push('third');
  });
  await undo.run(silent);
  await undo.run(silent);
  t.same(done, ['third', 'first']);
});
