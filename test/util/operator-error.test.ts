import { readFileSync } from 'node:fs';
import t from 'tap';
import { ListenError } from '../../src/api/listeners.js';
import { CliError, ExitCode, expectedText, reportError, UsageError } from '../../src/cli/errors.js';
import type { Terminal } from '../../src/cli/terminal.js';
import { ControlError } from '../../src/daemon/control/protocol.js';
import { StartError } from '../../src/daemon/start-error.js';
import { linuxError } from '../../src/linux/errors.js';
import { UnixListenError } from '../../src/linux/unix-listener.js';
import { StoreError } from '../../src/store/store.js';
import { OperatorError, oneLine } from '../../src/util/operator-error.js';
import { surveySource } from '../helpers/source-survey.js';

t.test('every error that an operator reads is of one family', async (t) => {
  const cause = new Error('underneath');
  const start = new StartError('the port is taken', 'choose another');
  const store = new StoreError('unavailable', 'the disk is full', 'free some space', { cause });
  const listen = new ListenError('the port is taken', 'choose another', { cause });
  const unix = new UnixListenError('no_socket', '/run/culvert.sock');
  const control = new ControlError('failed', 'not now');
  const cli = new UsageError('--workers: 3 is not a power of two');
  for (const error of [start, store, listen, unix, control, cli, linuxError(1, 'opening a socket')]) {
    t.ok(error instanceof OperatorError, error.name);
  }
  t.equal(oneLine(start), 'the port is taken: choose another');
  t.equal(oneLine(store), 'the disk is full: free some space');
  t.equal(oneLine(control), 'not now', 'a message that says it all');
  t.equal(oneLine(new Error('two\n  lines')), 'two lines');
  t.equal(unix.value, '/run/culvert.sock');
  t.equal(store.cause, cause);
  t.notOk(Object.hasOwn(start, 'cause'), 'nothing underneath');
});

t.test(
  'what is thrown and not of the family is for clients of the API, in one of them, or a bug',
  async (t) => {
    const bare = [...surveySource().lines.keys()].filter((file) =>
      / extends Error\b/.test(readFileSync(new URL(`../../src/${file}`, import.meta.url), 'utf8')),
    );
    // The console runs in a browser, and imports nothing of the program but types.
    t.same(bare.sort(), ['api/errors.ts', 'console/api/client.ts', 'util/operator-error.ts']);
  },
);

t.test('a command that fails says the remedy; only a bug shows its stack', async (t) => {
  const notes: string[] = [];
  const terminal = { note: (text: string) => notes.push(text) } as unknown as Terminal;
  t.equal(reportError(new StartError('it is off', 'switch it on'), terminal), ExitCode.failed);
  t.equal(reportError(new UsageError('no such option'), terminal, ' (see --help)'), ExitCode.usage);
  t.equal(reportError(new TypeError('oh'), terminal), ExitCode.failed);
  t.same(notes.slice(0, 2), ['culvert: it is off: switch it on', 'culvert: no such option (see --help)']);
  t.match(notes[2], /^culvert: internal error, please report it: TypeError: oh\n/);
  t.equal(expectedText(new CliError('as it is;\nwith its lines')), 'as it is;\nwith its lines');
  t.equal(expectedText(new Error('bug')), undefined);
});
