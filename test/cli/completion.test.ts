import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import t from 'tap';
import { listenControl } from '../../src/daemon/control/server.js';
import { commandLine } from '../helpers/command-line.js';
import { FakeDaemon } from '../helpers/fake-daemon.js';
import { PROGRAM, programOutcome } from '../helpers/program.js';
import { supervisionOf } from '../helpers/supervision.js';

/** What a Tab behind these words offers. */
async function tab(...words: string[]): Promise<string[]> {
  const { code, out, err } = await commandLine('--get-yargs-completions', 'culvert', ...words);
  if (code !== 0 || err !== '') throw new Error(err);
  return out.split('\n').filter((line) => line !== '');
}

t.test('commands, options and values are completed, files are left to the shell', async (t) => {
  t.same(await tab('che'), ['check']);
  t.same((await tab('')).slice(0, 3), ['run', 'check', 'status']);
  t.notOk((await tab('')).includes('gateway-process'), 'what programs start is not offered');
  t.same(await tab('pair', '--ike-version', ''), ['1', '2'], 'numbers too');
  t.same(await tab('run', '--data-plane', 'p'), ['portable']);
  t.same(await tab('run', '--data-plane', '=', 'p'), ['portable'], 'as a shell cuts --data-plane=p');
  t.same(await tab('status', '--output', ''), ['text', 'json']);
  t.same(await tab('check', '--con'), ['--config']);
  t.ok((await tab('check', '')).includes('--config'));
  t.same(await tab('completion', 'z'), ['zsh']);
  for (const words of [
    ['check', '--config', ''],
    ['apply', '-f', ''],
    ['status', '--control', ''],
    ['vpn-gateways', '--token-file', '/'],
  ]) {
    t.same(await tab(...words), [], words.join(' '));
  }
});

t.test('names of connections', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-tab-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const quiet = pino({ level: 'silent' });
  const control = join(folder, 'd.sock');
  const daemon = await listenControl(control, quiet);
  daemon.serve(new FakeDaemon());
  t.teardown(() => daemon.close());
  const id = '0717-00000000-0000-4000-8000-000000000001';
  const member = await listenControl(join(folder, `${id}-0.sock`), quiet, {
    ...supervisionOf('west'),
    names: () => ({ gateway: 'west', connections: { [id]: 'to-east' } }),
  });
  t.teardown(() => member.close());
  for (const command of ['status', 'explain', 'up', 'down']) {
    t.same(await tab(command, '--control', control, ''), ['c']);
    t.same(await tab(command, '--run-folder', folder, 'we'), ['west/to-east'], 'those of culvert serve');
    t.same(await tab(command, '--control', join(folder, 'none'), ''), [], 'no daemon, no names, no word');
  }
});

t.test('the script', async (t) => {
  const { out } = await commandLine('completion', 'bash');
  t.match(out, /complete -o bashdefault -o default -F _culvert_completions culvert/);
  const help = await commandLine('completion', '--help');
  t.match(help.out, /Usage: culvert completion \[shell\]/, 'help is help');
  t.match((await commandLine('completion', 'zsh')).out, /compdef/);
  // In a shell, as a person presses Tab.
  const script = out.replace(/\$\(\S+ \S+ --get/, `$("${process.execPath}" "${PROGRAM}" --get`);
  const press = `${script}
COMP_WORDS=(culvert pair --ike-version ""); COMP_CWORD=3; _culvert_completions; echo "\${COMPREPLY[@]}"
COMP_WORDS=(culvert check --config ""); COMP_CWORD=3; _culvert_completions; echo "\${#COMPREPLY[@]}"`;
  const shell = await programOutcome(['bash', '-c', press]);
  t.equal(shell.out, '1 2\n0\n', shell.err);
});
