import { closeSync, fchmodSync, openSync, writeFileSync } from 'node:fs';
import { defineCommand } from '../command.js';
import { CliError, ExitCode, messageOf } from '../errors.js';
import { apiOptions, connectApi } from '../vpn/connect.js';

export const exportCommand = defineCommand({
  name: 'export',
  operands: '',
  description: 'Write gateways, connections and policies as a file for "culvert apply"',
  positionals: {},
  options: {
    file: {
      type: 'string',
      requiresArg: true,
      alias: 'f',
      describe: 'File to write, with mode 0600; standard output when left out',
    },
    'without-keys': {
      type: 'boolean',
      default: false,
      describe: 'Leave the pre-shared keys out: applied, those that are there stay',
    },
    ...apiOptions,
  },
  examples: [
    ['export -f vpn.yaml', 'With the keys, for nobody else to read'],
    ['export --without-keys', 'To look at'],
  ],
  async run(args, terminal) {
    const { readCurrent } = await import('../declarative/current.js');
    const { exportText } = await import('../declarative/export.js');
    const current = await readCurrent(connectApi(args));
    const text = exportText(current, !args['without-keys']);
    const { file } = args;
    if (file !== undefined) {
      try {
        writePrivate(file, text);
      } catch (error) {
        throw new CliError(`the file ${file} cannot be written: ${messageOf(error)}`);
      }
    }
    const { length: gateways } = current.gateways;
    if (args.output === 'json') {
      terminal.json(file === undefined ? { text, gateways } : { file, gateways });
    } else if (file === undefined) {
      terminal.line(text.trimEnd());
    } else {
      terminal.line(`${file}: ${gateways} gateways with their connections and policies`);
    }
    return ExitCode.done;
  },
});

/** Keys are in it: a file that was there and open to others is so no longer before it gets them. */
function writePrivate(path: string, text: string): void {
  const handle = openSync(path, 'w', 0o600);
  try {
    fchmodSync(handle, 0o600);
    writeFileSync(handle, text);
  } finally {
    closeSync(handle);
  }
}
