import type { FieldChange } from '../../connection/plan.js';
import type { ReloadReport, ReportedPlan } from '../../daemon/gateway/reload.js';
import { formatConfigErrors } from '../../store/config-error.js';
import { daemonOptions, defineCommand } from '../command.js';
import { withControl } from '../control.js';
import { ExitCode } from '../errors.js';
import { type Column, renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';

const PLAN: readonly Column[] = [
  { title: 'WHAT', whole: true },
  { title: 'CHANGED', whole: true },
  { title: 'ACTION', whole: true },
  { title: 'EFFECT' },
];

export const reloadCommand = defineCommand({
  name: 'reload',
  operands: '',
  description: 'Make a running daemon read its configuration file again and apply the difference',
  positionals: {},
  options: {
    ...daemonOptions,
    'dry-run': { type: 'boolean', default: false, describe: 'Only report what would be done' },
  },
  examples: [
    ['reload --dry-run', 'What each changed field would do; nothing is changed'],
    ['reload', 'Apply the difference; connections without one are not touched'],
  ],
  epilogue:
    'SIGHUP does the same. A file with errors, or a change that needs a restart, changes nothing.\n' +
    'Exit codes: 0 applied (or possible, with --dry-run), 1 refused or no daemon, 2 wrong usage.',
  async run(args, terminal) {
    return await withControl(args, async (control) => {
      const report = await control.reload(args['dry-run']);
      if (args.output === 'json') terminal.json(report);
      else present(report, terminal);
      return report.ok && report.problems.length === 0 ? ExitCode.done : ExitCode.failed;
    });
  },
});

function present(report: ReloadReport, terminal: Terminal): void {
  const { errors, gateway, connections, unchanged, problems, ok, dry_run: dryRun } = report;
  if (errors.length > 0) {
    terminal.note(formatConfigErrors(errors, report.file));
    terminal.note('culvert: nothing was changed: correct the file and reload again');
    return;
  }
  const rows = [
    ...gateway.map((change) => row('gateway', change)),
    ...connections.flatMap((plan) =>
      plan.changes.map((change, i) => row(i === 0 ? titleOf(plan) : '', change)),
    ),
  ];
  if (rows.length > 0) {
    const width = terminal.width();
    terminal.lines(
      renderTable(PLAN, rows, {
        ...(width === undefined ? {} : { width }),
        title: terminal.style.bold,
        cell: (text) => text,
      }),
    );
  }
  const rest = unchanged === 1 ? '1 connection is' : `${unchanged} connections are`;
  if (!ok) terminal.note('culvert: nothing was changed: a change needs a restart of the daemon');
  else if (rows.length === 0) terminal.line(`no difference: ${rest} as in the file`);
  else if (problems.length > 0) terminal.line(`done, but for what this host refused; ${rest} not touched`);
  else
    terminal.line(
      `${dryRun ? 'this would be done' : 'done'}${unchanged === 0 ? '' : `; ${rest} not touched`}`,
    );
  for (const problem of problems) terminal.note(`culvert: ${problem}`);
}

function titleOf({ name, change, from }: ReportedPlan): string {
  return change === 'rename' ? `${from} -> ${name}` : name;
}

function row(title: string, { field, action, effect }: FieldChange): string[] {
  return [title, field, action.replaceAll('_', ' '), effect];
}
