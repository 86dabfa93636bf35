import type { Backup } from '../../store/backup.js';
import { defineCommand } from '../command.js';
import { CliError, ExitCode } from '../errors.js';
import { readSealer, sealingOption } from '../sealing-option.js';
import { RefusedError } from '../vpn/api-client.js';
import { apiOptions, connectApi } from '../vpn/connect.js';
import { readText } from '../vpn/options.js';

export const restoreCommand = defineCommand({
  name: 'restore',
  operands: '<file>',
  description: 'Make the objects in a backup again on a running API server, with their ids: all or none',
  positionals: {
    file: { type: 'string', demandOption: true, describe: 'File that "culvert backup" has written' },
  },
  options: {
    'sealing-key-file': sealingOption,
    replace: {
      type: 'boolean',
      default: false,
      describe: 'Where there are objects already: change them to those of the backup, delete the others',
    },
    'dry-run': { type: 'boolean', default: false, describe: 'Only report what would be done' },
    ...apiOptions,
  },
  examples: [
    ['restore vpn.backup --sealing-key-file backup.key', 'Into an empty server'],
    ['restore vpn.backup --replace --dry-run', 'What going back to the backup would change'],
  ],
  epilogue:
    'The server needs the region, account, subnets and public addresses that the objects name. A connection without a\n' +
    'key, in the backup and on the server, is down until it is given one.\n' +
    'Exit codes: 0 done, 1 refused (nothing was changed) or no server, 2 wrong usage.',
  async run({ file, ...args }, terminal) {
    const backup = await readPlain(file, args['sealing-key-file']);
    const dryRun = args['dry-run'];
    const report = await connectApi(args)
      .restore({ backup, replace: args.replace, dry_run: dryRun })
      .catch((error: unknown) => {
        throw notEmpty(error) ? new CliError(`${(error as Error).message}: add --replace`) : error;
      });
    if (args.output === 'json') {
      terminal.json(report);
      return ExitCode.done;
    }
    const { made, changed, deleted, unchanged } = report;
    const counts = `${made} objects made, ${changed} changed, ${deleted} deleted, ${unchanged} as they were`;
    terminal.line(dryRun ? `this would be done: ${counts}` : `done: ${counts}`);
    for (const { name, gateway } of report.connections_without_key) {
      terminal.line(
        `  ${gateway.name}/${name} is down, it has no key; give it one: culvert vpn-gateway-connection-update ${gateway.name} ${name} --psk-file KEY --admin-state-up true`,
      );
    }
    return ExitCode.done;
  },
});

function notEmpty(error: unknown): boolean {
  return error instanceof RefusedError && error.faults.some(({ code }) => code === 'store_not_empty');
}

/** @throws CliError */
async function readPlain(file: string, keyFile: string | undefined): Promise<Backup> {
  const text = readText(file);
  const { openBackup, readBackup } = await import('../../store/backup.js');
  const sealer = keyFile === undefined ? undefined : await readSealer(keyFile);
  try {
    const backup = readBackup(text);
    if (backup.keys !== 'sealed') return backup;
    if (sealer !== undefined) return openBackup(backup, sealer);
  } catch (error) {
    const { message, remedy } = error as { readonly message: string; readonly remedy?: string };
    throw new CliError(remedy === undefined ? message : `${file}: ${message}; ${remedy}`);
  }
  throw new CliError(`${file}: the pre-shared keys in it are sealed; name their key with --sealing-key-file`);
}
