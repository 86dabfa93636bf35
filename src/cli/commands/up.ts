import type { ConnectionStatusDocument } from '../../connection/status.js';
import { ANSWER_SECONDS, daemonOptions, defineCommand, timeoutOption } from '../command.js';
import { eachDaemon, oneConnection } from '../daemons.js';
import { ExitCode } from '../errors.js';
import { renderConnection } from '../status-view.js';
import type { Terminal } from '../terminal.js';

/** How long `--wait` waits. */
const WAIT_SECONDS = 30;

export const upCommand = defineCommand({
  name: 'up',
  operands: '<name>',
  description: 'Initiate a connection',
  positionals: {
    name: {
      type: 'string',
      describe: 'Connection; under culvert serve GATEWAY/CONNECTION',
      demandOption: true,
    },
  },
  options: {
    ...daemonOptions,
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
  async run(args, terminal) {
    const { wait, timeout, output } = args;
    const patience = timeout ?? WAIT_SECONDS;
    const target = wait ? { ...args, timeout: undefined } : args;
    return await eachDaemon(target, [args.name], terminal, async (aim, screen) => {
      const { control } = aim;
      const name = oneConnection(aim);
      const progress = (line: string): void => {
        if (output === 'text') screen.note(screen.errorStyle.dim(line));
      };
      await control.up(name, wait ? { timeout: patience, progress } : undefined);
      const last = await control.connection(name);
      const done = !wait || last.status === 'up';
      if (output === 'json') screen.json({ name, requested: 'up', ok: done, connection: last });
      else report(last, wait, patience, screen);
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
    terminal.line(`${connection.name}: initiating; culvert status ${connection.name} shows its progress`);
    return;
  }
  if (connection.status !== 'up') terminal.note(`culvert: ${connection.name} is not up after ${timeout} s`);
  terminal.lines(
    renderConnection(connection, { style: terminal.style, width: terminal.width(), now: Date.now() }),
  );
}
