import { countOf } from '../amounts.js';
import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';
import { writePrivate } from '../private-file.js';
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
      describe: 'Leave the pre-shared keys out: when applied, those that are there stay',
    },
    ...apiOptions,
  },
  examples: [
    ['export -f vpn.yaml', 'With the keys, readable by nobody else'],
    ['export --without-keys', 'To look at'],
  ],
  async run(args, terminal) {
    const { readCurrent } = await import('../declarative/current.js');
    const { exportText } = await import('../declarative/export.js');
    const current = await readCurrent(connectApi(args));
    const text = exportText(current, !args['without-keys']);
    const { file } = args;
    if (file !== undefined) writePrivate(file, text);
    const { length: gateways } = current.gateways;
    if (args.output === 'json') {
      terminal.json(file === undefined ? { text, gateways } : { file, gateways });
    } else if (file === undefined) {
      terminal.line(text.trimEnd());
    } else {
      terminal.line(`${file}: ${countOf(gateways, 'gateway')} with connections and policies`);
    }
    return ExitCode.done;
  },
});
