import type { Socket } from 'node:net';
import { join } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { listenControl } from '../../src/daemon/control/server.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { talkingSocket } from '../helpers/talking-socket.js';

const folder = t.testdir();
let sockets = 0;

/** A Unix socket whose connections go to `talk`. */
const listening = (t: Test, talk: (socket: Socket) => void): Promise<string> =>
  talkingSocket(t, join(folder, `${sockets++}.sock`), talk);

t.test(
  'every command ends when the daemon or the server takes its connection and never answers',
  async (t) => {
    const path = await listening(t, () => undefined);
    const daemon = ['--control', path, '--timeout', '0.05'];
    for (const argv of [
      ['status'],
      ['status', '--watch'],
      ['status', 'c', '--output', 'json'],
      ['explain', 'c'],
      ['up', 'c'],
      ['down', 'c'],
      ['reload', '--dry-run'],
      ['events'],
    ]) {
      const { code, err } = await commandLine(...argv, ...daemon);
      t.equal(code, 1, argv.join(' '));
      t.match(
        err,
        /^culvert: the daemon does not answer: [^\n]* within 0.05 s; [^\n]*--timeout\n$/,
        argv.join(' '),
      );
    }
    const server = ['--endpoint', path, '--timeout', '0.05'];
    for (const argv of [
      ['vpn-gateways'],
      ['export', '--without-keys'],
      ['serve-reload', '--dry-run'],
      ['events', '--follow'],
      ['vpn-gateway-delete', 'g', '--force'],
      ['ike-policy-create', 'p', 'sha256', '14', 'aes256', '2'],
    ]) {
      const { code, err } = await commandLine(...argv, ...server);
      t.equal(code, 1, argv.join(' '));
      t.match(err, /^culvert: the server does not answer: [^\n]* within 0.05 s; [^\n]*--timeout[^\n]*\n$/);
    }
    const change = await commandLine('ike-policy-create', 'p', 'sha256', '14', 'aes256', '2', ...server);
    t.match(change.err, /check first whether the change was made/);
  },
);

t.test('an answer that begins and does not end is none', async (t) => {
  const drip = await listening(t, (socket) => {
    socket.write('HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{"vpn');
  });
  const { code, err } = await commandLine('vpn-gateways', '--endpoint', drip, '--timeout', '0.1');
  t.equal(code, 1);
  t.match(err, /^culvert: the server does not answer: no complete answer came/);
});

t.test('a daemon that falls silent during --watch', async (t) => {
  const status = new FakeDaemon().status();
  let asked = 0;
  const path = await listening(t, (socket) => {
    socket.setEncoding('utf8').on('data', (line: string) => {
      // It takes the subscription and one question.
      if (asked++ < 2) socket.write(`${JSON.stringify({ id: JSON.parse(line).id, result: status })}\n`);
      if (asked === 2) socket.write(`${JSON.stringify({ event: 'status', status })}\n`);
    });
  });
  const { code, out, err } = await commandLine('status', '--watch', '--control', path, '--timeout', '0.1');
  t.equal(code, 1);
  t.match(out, /0 of 1 connection up/);
  t.match(err, /^culvert: the daemon does not answer/);
});

t.test('the wait for a connection is no silence of the daemon', async (t) => {
  const path = join(folder, 'daemon.sock');
  const daemon = new FakeDaemon();
  const server = await listenControl(path, pino({ level: 'silent' }));
  t.teardown(() => server.close());
  server.serve(daemon);
  const waiting = commandLine('up', 'c', '--wait', '--timeout', '0.2', '--control', path);
  const { code, err } = await waiting;
  t.equal(code, 1);
  t.match(err, /initiating\nculvert: c is not up after 0.2 s/);
  const again = commandLine('up', 'c', '--wait', '--control', path);
  while (daemon.waiting === 0) await pause(5);
  daemon.change('up');
  t.equal((await again).code, 0);
});

t.test('a --timeout that is none', async (t) => {
  for (const given of ['0', '-1', 'soon', '3601']) {
    for (const command of ['status', 'vpn-gateways', 'reload']) {
      const { code, err } = await commandLine(command, `--timeout=${given}`);
      t.equal(code, 2);
      t.match(err, /^culvert: --timeout takes a number of seconds above 0 and up to 3600/);
    }
  }
});
