import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import t from 'tap';
import { isThere, mainThreadWork, processOf } from '../../src/linux/processes.js';
import { UNHOOKED } from '../helpers/program.js';

function stateOf(pid: number): string {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return stat.charAt(stat.lastIndexOf(')') + 2);
}

async function untilState(pid: number, state: string): Promise<void> {
  for (let n = 0; n < 500 && stateOf(pid) !== state; n++)
    await new Promise((resolve) => setTimeout(resolve, 10));
  if (stateOf(pid) !== state) throw new Error(`process ${pid} is ${stateOf(pid)}, not ${state}`);
}

async function kill(child: ChildProcess): Promise<void> {
  const exited = once(child, 'exit');
  child.kill('SIGKILL');
  await exited;
}

t.test('a process is there until it has ended, and is no other one of its number', async (t) => {
  const child = spawn('sleep', ['60']);
  t.teardown(() => child.kill('SIGKILL'));
  const identity = processOf(child.pid!)!;
  t.ok(isThere(identity));
  t.notOk(isThere({ ...identity, startedAt: identity.startedAt + 1 }), 'the number is used again');
  child.kill('SIGSTOP');
  await untilState(child.pid!, 'T');
  t.ok(isThere(identity), 'one that is stopped is there');
  t.match(mainThreadWork(child.pid!), { isBusy: false, isStopped: true });
  await kill(child);
  t.notOk(isThere(identity));
  t.equal(processOf(child.pid!), undefined);
  t.equal(mainThreadWork(child.pid!), undefined);
});

t.test('one that has ended and that nobody has waited for is not there', async (t) => {
  // What becomes of the shell does not know of its child.
  const parent = spawn('sh', ['-c', 'sleep 0.3 & echo $!; exec sleep 60'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  t.teardown(() => parent.kill('SIGKILL'));
  const pid = Number(await once(parent.stdout, 'data'));
  const identity = processOf(pid)!;
  t.ok(isThere(identity));
  await untilState(pid, 'Z');
  t.notOk(isThere(identity));
});

t.test('one whose main thread alone has ended is there', async (t) => {
  const thread =
    'require("node:worker_threads").parentPort.postMessage(0); for (;;) Atomics.wait(cell, 0, 0);';
  const program = `
    const koffi = require('koffi');
    const { Worker } = require('node:worker_threads');
    const exit = { x64: 60, arm64: 93 }[process.arch];
    const text = 'const cell = new Int32Array(new SharedArrayBuffer(4)); ' + ${JSON.stringify(thread)};
    new Worker(text, { eval: true }).once('message', () => {
      koffi.load(null).func('long syscall(long number, ...)')(exit, 'long', 0);
    });
  `;
  const argv = [...UNHOOKED, process.execPath, '-e', program];
  const child = spawn('env', argv, { cwd: new URL('../..', import.meta.url), stdio: 'inherit' });
  t.teardown(() => child.kill('SIGKILL'));
  const identity = processOf(child.pid!)!;
  await untilState(child.pid!, 'Z');
  t.ok(isThere(identity), 'its other threads have its sockets');
  await kill(child);
  t.notOk(isThere(identity));
});
