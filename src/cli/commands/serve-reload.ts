import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';
import { apiOptions, connectApi } from '../vpn/connect.js';

export const serveReloadCommand = defineCommand({
  name: 'serve-reload',
  operands: '',
  description: 'Make a running API server read its file again and take over what has changed',
  positionals: {},
  options: {
    'dry-run': {
      type: 'boolean',
      default: false,
      describe: 'Only report what differs and what would be refused',
    },
    ...apiOptions,
  },
  examples: [
    ['serve-reload --dry-run', 'Which fields differ; nothing is changed'],
    ['serve-reload', 'New tokens, certificates, subnets …, without taking any tunnel down'],
  ],
  epilogue:
    'By the Unix socket of the server, as root. SIGHUP does the same. A file with errors, or a change that needs a\n' +
    'restart, changes nothing.\n' +
    'Exit codes: 0 applied (or possible, with --dry-run), 1 refused or no server, 2 wrong usage.',
  async run(args, terminal) {
    const dryRun = args['dry-run'];
    const report = await connectApi(args).reload(dryRun);
    const { changes, errors, applied } = report;
    const refused = changes.filter((change) => change.refused !== undefined);
    const isGood = errors.length === 0 && refused.length === 0;
    if (args.output === 'json') {
      terminal.json(report);
      return isGood ? ExitCode.done : ExitCode.failed;
    }
    for (const error of errors) terminal.note(`culvert: ${error}`);
    for (const change of refused) terminal.note(`culvert: "${change.field}" ${change.refused}`);
    if (!isGood) {
      terminal.note('culvert: nothing was changed: correct the file and reload again');
      return ExitCode.failed;
    }
    const fields = changes.map(({ field }) => field).join(', ') || 'no field differs';
    terminal.line(applied ? `done: ${fields}` : `this would be taken over: ${fields}`);
    return ExitCode.done;
  },
});
