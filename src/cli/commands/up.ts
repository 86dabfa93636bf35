import type { ConnectionStatusDocument } from '../../connection/status.js';
import { ANSWER_SECONDS, controlOption, defineCommand, timeoutOption } from '../command.js';
import { connectionNamed, withControl } from '../control.js';
import { ExitCode } from '../errors.js';
import { renderConnection } from '../status-view.js';
import type { Terminal } from '../terminal.js';

/** How long `--wait` waits. */
const WAIT_SECONDS = 30;

export const upCommand = defineCommand({
  name: 'up',
  operands: '<name>',
  description: 'Initiate a connection',
  positionals: { name: { type: 'string', describe: 'Name of the connection', demandOption: true } },
  options: {
    control: controlOption,
    wait: { type: 'boolean', default: false, describe: 'Return when it is up, or fail' },
    timeout: {
      ...timeoutOption,
      describe: `Seconds to wait for an answer (default ${ANSWER_SECONDS}), with --wait until it is up (default ${WAIT_SECONDS})`,
    },
  },
  examples: [
    ['up to-site-b', 'Start negotiating'],
    [
      'up to-site-b --wait --timeout 10',
      'Exit code 0 when it is up within 10 seconds, else 1 and the reason',
    ],
  ],
  async run({ name, control: path, wait, timeout, output }, terminal) {
    const patience = timeout ?? WAIT_SECONDS;
    const target = wait ? { control: path } : { control: path, timeout };
    return await withControl(target, async (control) => {
      connectionNamed(await control.status(), name);
      const progress = (line: string): void => {
        if (output === 'text') terminal.note(terminal.errorStyle.dim(line));
      };
      await control.up(name, wait ? { timeout: patience, progress } : undefined);
      const last = connectionNamed(await control.status(), name);
      const done = !wait || last.status === 'up';
      if (output === 'json') terminal.json({ name, requested: 'up', ok: done, connection: last });
      else report(last, wait, patience, terminal);
      return done ? ExitCode.done : ExitCode.failed;
    });
  },
});

function report(
  connection: ConnectionStatusDocument,
  waited: boolean,
  timeout: number,
  terminal: Terminal,
): void {
  if (!waited) {
    terminal.line(`${connection.name}: initiating; culvert status ${connection.name} shows how it goes`);
    return;
  }
  if (connection.status !== 'up') terminal.note(`culvert: ${connection.name} is not up after ${timeout} s`);
  terminal.lines(
    renderConnection(connection, { style: terminal.style, width: terminal.width(), now: Date.now() }),
  );
}
