import { defineCommand } from '../command.js';
import { ExitCode, UsageError } from '../errors.js';
import { writePrivate } from '../private-file.js';
import { readSealer, sealingOption } from '../sealing-option.js';
import { apiOptions, connectApi } from '../vpn/connect.js';

export const backupCommand = defineCommand({
  name: 'backup',
  operands: '<file>',
  description: 'Write every object of a running API server to a file for "culvert restore"',
  positionals: {
    file: { type: 'string', demandOption: true, describe: 'File to write, with mode 0600' },
  },
  options: {
    'sealing-key-file': sealingOption,
    'without-keys': {
      type: 'boolean',
      default: false,
      describe: 'Leave the pre-shared keys out: restored, connections are down until they are given one',
    },
    ...apiOptions,
  },
  examples: [
    ['backup vpn.backup --sealing-key-file backup.key', 'The pre-shared keys sealed: keep the key elsewhere'],
    ['backup vpn.backup --without-keys', 'For a viewer, too'],
  ],
  epilogue:
    'Ids, names and times of creation are in it, the file of the server and its tokens are not. Without\n' +
    '--sealing-key-file the pre-shared keys are in clear.\n' +
    'Exit codes: 0 done, 1 it failed, 2 wrong usage.',
  async run({ file, ...args }, terminal) {
    const keyFile = args['sealing-key-file'];
    const withoutKeys = args['without-keys'];
    if (keyFile !== undefined && withoutKeys) {
      throw new UsageError('--sealing-key-file and --without-keys exclude each other');
    }
    const { sealBackup } = await import('../../store/backup.js');
    const sealer = keyFile === undefined ? undefined : await readSealer(keyFile);
    const given = await connectApi(args).backup(!withoutKeys);
    const backup = sealer === undefined ? given : sealBackup(given, sealer);
    writePrivate(file, `${JSON.stringify(backup, null, 1)}\n`);
    const { revision, keys, objects } = backup;
    if (args.output === 'json') {
      terminal.json({ file, revision, keys, objects: objects.length });
      return ExitCode.done;
    }
    const state = { plain: 'in clear', sealed: 'sealed', none: 'left out' }[keys];
    terminal.line(`${file}: ${objects.length} objects at revision ${revision}, pre-shared keys ${state}`);
    return ExitCode.done;
  },
});
