import { daemonOptions, defineCommand } from '../command.js';
import { connectionNamed, withControl } from '../control.js';
import { ExitCode } from '../errors.js';

export const downCommand = defineCommand({
  name: 'down',
  operands: '<name>',
  description: 'Terminate a connection: its SAs are deleted here and at the peer',
  positionals: { name: { type: 'string', describe: 'Name of the connection', demandOption: true } },
  options: daemonOptions,
  examples: [['down to-site-b', 'Until "culvert up to-site-b" or a restart of the daemon']],
  async run({ name, control, timeout, output }, terminal) {
    return await withControl({ control, timeout }, async (daemon) => {
      connectionNamed(await daemon.status(), name);
      await daemon.down(name);
      const connection = connectionNamed(await daemon.status(), name);
      if (output === 'json') terminal.json({ name, requested: 'down', ok: true, connection });
      else terminal.line(`${name}: terminated`);
      return ExitCode.done;
    });
  },
});
