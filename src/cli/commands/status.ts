import type { StatusDocument } from '../../connection/status.js';
import { daemonOptions, defineCommand } from '../command.js';
import type { Control } from '../control.js';
import { eachDaemon } from '../daemons.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { checkStatus } from '../status-check.js';
import { chosenConnections, summaryOf } from '../status-filter.js';
import { renderConnection, renderStatus, renderSummary } from '../status-view.js';
import type { Terminal } from '../terminal.js';
import { isPattern } from '../wildcards.js';

/** Between two looks of `--watch` when nothing happened: traffic counters move without an event. */
const REFRESH_MS = 2000;

export const statusCommand = defineCommand({
  name: 'status',
  operands: '[names..]',
  description: 'Show the gateway and its connections, and why one is not up',
  positionals: {
    names: {
      type: 'string',
      array: true,
      describe:
        'Connections by name or pattern (branch-*), one name in detail; under culvert serve GATEWAY or GATEWAY/CONNECTION',
    },
  },
  options: {
    down: {
      type: 'boolean',
      default: false,
      describe: 'Only connections that are not up and are to be',
    },
    summary: { type: 'boolean', default: false, describe: 'Only how many are up, and why others are not' },
    watch: { type: 'boolean', default: false, describe: 'Show it again whenever something changes' },
    check: {
      type: 'boolean',
      default: false,
      describe: 'One line and the exit codes of a monitoring check, for Nagios, Icinga and the like',
    },
    ...daemonOptions,
  },
  examples: [
    ['status', 'All connections; without a daemon of its own, all gateways of culvert serve'],
    ['status to-site-b', 'One connection; exit code 0 only when it is up'],
    ['status --down', 'What is wrong; exit code 0 when nothing is'],
    ['status gateway-1/*', 'Connections of a gateway of culvert serve'],
    ['status --check', 'For a monitoring system: exit code 0 ok, 1 degraded, 2 down or no daemon, 3 unknown'],
    ['status --output json', 'The status document for programs'],
  ],
  epilogue:
    'Exit codes: 0 the daemon answered and, with NAMES or --down, all that is shown is up; 1 no daemon, no such ' +
    'connection, or one is down or degraded; 2 wrong usage.\nWith --check: 0 all that is meant to be up is; 1 some is ' +
    'degraded; 2 some is down, or a daemon or gateway does not run or answer; 3 it cannot be told.\nWith --watch --output json: one document per line.',
  async run(args, terminal) {
    const { watch, down, summary } = args;
    const names = args.names ?? [];
    if (args.check && (watch || down || summary)) {
      throw new UsageError(
        '--check makes one line of all that NAMES mean: leave out --watch, --down and --summary',
      );
    }
    if (args.check) return await checkStatus(args, names, terminal);
    return await eachDaemon(args, names, terminal, async ({ control, wanted }, screen) => {
      const look: Look = { ...args, json: args.output === 'json', wanted };
      const show = async (): Promise<ExitCode> => present(await control.status(), look, screen);
      return watch ? await watchStatus(show, control) : await show();
    });
  },
});

interface Look {
  readonly wanted: readonly string[];
  readonly down: boolean;
  readonly summary: boolean;
  readonly watch: boolean;
  readonly json: boolean;
}

function present(document: StatusDocument, look: Look, terminal: Terminal): ExitCode {
  const { wanted, down, summary, watch } = look;
  const chosen = chosenConnections(document, wanted, down);
  // One that is named is shown with everything that is known of it.
  const only = wanted.length === 1 && !isPattern(wanted[0]!) && !down && !summary ? chosen[0] : undefined;
  if (look.json) {
    const counted = summary ? { summary: summaryOf(chosen) } : { connections: chosen };
    const value = only ?? { ...document, connections: undefined, ...counted };
    if (watch) terminal.line(JSON.stringify(value));
    else terminal.json(value);
  } else {
    if (watch) terminal.clear();
    const view = { style: terminal.style, width: terminal.width(), now: Date.now() };
    if (only !== undefined) terminal.lines(renderConnection(only, view));
    else terminal.lines((summary ? renderSummary : renderStatus)(document, view, chosen));
    if (watch && !terminal.isTty) terminal.line();
  }
  const mayBeDown = wanted.length === 0 && !down;
  return mayBeDown || chosen.every(({ status }) => status === 'up') ? ExitCode.done : ExitCode.failed;
}

/** Shows the status until the daemon ends or the person has seen enough (SIGINT, SIGTERM). */
async function watchStatus(show: () => Promise<ExitCode>, control: Control): Promise<ExitCode> {
  let stopped = false;
  let wake = (): void => {};
  const stop = (): void => {
    stopped = true;
    wake();
  };
  process.once('SIGINT', stop).once('SIGTERM', stop);
  let gone = false;
  void control.closed.then(() => {
    gone = true;
    wake();
  });
  await control.watch(() => wake());
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
