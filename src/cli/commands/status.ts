import type { StatusDocument } from '../../connection/status.js';
import { daemonOptions, defineCommand } from '../command.js';
import { connectionNamed, withControl } from '../control.js';
import { CliError, ExitCode } from '../errors.js';
import { renderConnection, renderStatus } from '../status-view.js';
import type { Terminal } from '../terminal.js';

/** Between two looks of `--watch` when nothing happened: traffic counters move without an event. */
const REFRESH_MS = 2000;

export const statusCommand = defineCommand({
  name: 'status',
  operands: '[name]',
  description: 'Show the gateway and its connections, and why one is not up',
  positionals: { name: { type: 'string', describe: 'Only this connection, in detail' } },
  options: {
    ...daemonOptions,
    watch: { type: 'boolean', default: false, describe: 'Show it again whenever something changes' },
  },
  examples: [
    ['status', 'All connections'],
    ['status to-site-b', 'One connection; exit code 0 only when it is up'],
    ['status --output json', 'The status document for programs'],
  ],
  epilogue:
    'Exit codes: 0 the daemon answered and, with NAME, the connection is up; 1 no daemon, no such connection, ' +
    'or the connection is down or degraded; 2 wrong usage.\nWith --watch --output json: one document a line.',
  async run({ name, control, timeout, watch, output }, terminal) {
    return await withControl({ control, timeout }, async (client) => {
      const show = async (): Promise<ExitCode> =>
        present(await client.status(), name, output === 'json', watch, terminal);
      if (!watch) return await show();
      return await watchStatus(show, (changed) => client.watch(changed), client.closed);
    });
  },
});

function present(
  document: StatusDocument,
  name: string | undefined,
  json: boolean,
  stream: boolean,
  terminal: Terminal,
): ExitCode {
  const connection = name === undefined ? undefined : connectionNamed(document, name);
  const value = connection ?? document;
  if (json) {
    if (stream) terminal.line(JSON.stringify(value));
    else terminal.json(value);
  } else {
    if (stream) terminal.clear();
    const view = { style: terminal.style, width: terminal.width(), now: Date.now() };
    terminal.lines(connection ? renderConnection(connection, view) : renderStatus(document, view));
    if (stream && !terminal.isTty) terminal.line();
  }
  return connection === undefined || connection.status === 'up' ? ExitCode.done : ExitCode.failed;
}

/** Shows the status until the daemon goes away or the person has seen enough (SIGINT, SIGTERM). */
async function watchStatus(
  show: () => Promise<ExitCode>,
  subscribe: (changed: () => void) => Promise<void>,
  closed: Promise<void>,
): Promise<ExitCode> {
  let stopped = false;
  let wake = (): void => {};
  const stop = (): void => {
    stopped = true;
    wake();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let gone = false;
  void closed.then(() => {
    gone = true;
    wake();
  });
  await subscribe(() => wake());
  let code: ExitCode = ExitCode.done;
  while (!stopped) {
    if (gone) throw new CliError('the daemon has ended; start it again with culvert run');
    code = await show();
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, REFRESH_MS);
      wake = () => {
        clearTimeout(timer);
        resolve();
      };
      if (stopped || gone) wake();
    });
  }
  process.removeListener('SIGINT', stop).removeListener('SIGTERM', stop);
  return code;
}
