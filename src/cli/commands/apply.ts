import { defineCommand } from '../command.js';
import type { Plan, PlannedChange } from '../declarative/plan.js';
import type { Verb } from '../declarative/step.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { renderTable } from '../table.js';
import type { Terminal } from '../terminal.js';
import { apiOptions, connectApi } from '../vpn/connect.js';
import { ask, canAsk } from '../vpn/prompt.js';

export const applyCommand = defineCommand({
  name: 'apply',
  operands: '',
  description: 'Bring gateways, connections and policies to what a file says; the plan is shown first',
  positionals: {},
  options: {
    file: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      alias: 'f',
      describe: 'What is wanted (YAML), as "culvert export" writes it; - for standard input',
    },
    prune: { type: 'boolean', default: false, describe: 'Delete what the file does not name' },
    wait: {
      type: 'boolean',
      default: false,
      describe: 'Wait for the server, and until the gateways listen and their connections are up',
    },
    'dry-run': {
      type: 'boolean',
      default: false,
      describe: 'Only show the plan, and whether the server would take it',
    },
    force: {
      type: 'boolean',
      default: false,
      describe: 'Do not ask before something is deleted or replaced',
    },
    ...apiOptions,
  },
  examples: [
    ['apply -f vpn.yaml --dry-run', 'What would be done'],
    ['apply -f vpn.yaml', 'Run again, it does nothing'],
    ['apply -f vpn.yaml --wait', 'Ends when every tunnel is up; says why one is not'],
    ['apply -f vpn.yaml --prune', 'Also delete what the file does not name'],
  ],
  epilogue:
    'Fields that the file leaves out have their defaults; a connection without "psk" and "psk_file" keeps its key.\n' +
    'Exit codes: 0 it is as the file says, 1 something was refused, 2 wrong usage.',
  async run(args, terminal) {
    const { loadDocument } = await import('../declarative/document.js');
    const { readCurrent } = await import('../declarative/current.js');
    const { makePlan } = await import('../declarative/plan.js');
    const { check, execute } = await import('../declarative/execute.js');
    const { waitForServer, waitForTunnels } = await import('../declarative/wait.js');
    const document = loadDocument(args.file);
    const api = connectApi(args);
    if (args.wait) await waitForServer(api);
    const current = await readCurrent(api);
    const plan = makePlan(document, current, args.prune);
    const json = args.output === 'json';
    if (!json) show(plan, terminal);
    const dryRun = args['dry-run'];
    await check(plan, document, api);
    if (!dryRun && plan.changes.length > 0) {
      if (!args.force) await confirm(plan.changes);
      await execute(plan, document, current, api);
      if (!json) terminal.line('done');
    }
    if (args.wait && !dryRun) {
      await waitForTunnels(api, document.gateways);
      if (!json) terminal.line('every connection is up');
    }
    if (json) {
      const { changes, kept, unchanged } = plan;
      terminal.json({ dry_run: dryRun, applied: !dryRun, changes, kept, unchanged });
    }
    return ExitCode.done;
  },
});

const DESTRUCTIVE: readonly Verb[] = ['delete', 'replace'];

async function confirm(changes: readonly PlannedChange[]): Promise<void> {
  const lost = changes.filter(({ verb }) => DESTRUCTIVE.includes(verb));
  if (lost.length === 0) return;
  if (!canAsk()) {
    throw new UsageError(
      'the plan deletes or replaces something, and there is no terminal to ask on; confirm with --force',
    );
  }
  const answer = await ask(`Delete or replace ${lost.length} of them? [y/N] `, false);
  if (!/^y(es)?$/i.test(answer.trim())) throw new CliError('nothing was changed');
}

function show({ changes, kept, unchanged }: Plan, terminal: Terminal): void {
  if (changes.length > 0) {
    const width = terminal.width();
    const rows = changes.map(({ verb, object, changes: what }) => [verb, object, what.join('\n')]);
    const columns = [{ title: 'ACTION', whole: true }, { title: 'OBJECT', whole: true }, { title: 'CHANGE' }];
    terminal.lines(
      renderTable(columns, rows, { ...(width === undefined ? {} : { width }), title: terminal.style.bold }),
    );
  }
  if (kept.length > 0) {
    terminal.note(`not in the file, and kept (--prune deletes it): ${kept.join(', ')}`);
  }
  const same = unchanged === 1 ? '1 object is' : `${unchanged} objects are`;
  if (changes.length === 0) terminal.line(`nothing to do: ${same} as the file says`);
  else if (unchanged > 0) terminal.line(`${same} as the file says`);
}
