import { daemonOptions, defineCommand } from '../command.js';
import { eachDaemon, oneConnection } from '../daemons.js';
import { ExitCode } from '../errors.js';

export const downCommand = defineCommand({
  name: 'down',
  operands: '<name>',
  description: 'Terminate a connection: its SAs are deleted here and at the peer',
  positionals: {
    name: {
      type: 'string',
      describe: 'Connection; under culvert serve GATEWAY/CONNECTION',
      demandOption: true,
    },
  },
  options: daemonOptions,
  examples: [['down to-site-b', 'Until "culvert up to-site-b" or a restart of the daemon, which forgets it']],
  async run(args, terminal) {
    return await eachDaemon(args, [args.name], terminal, async (aim, screen) => {
      const { control } = aim;
      const name = oneConnection(aim);
      await control.down(name);
      const connection = await control.connection(name);
      if (args.output === 'json') screen.json({ name, requested: 'down', ok: true, connection });
      else screen.line(`${name}: terminated, until "culvert up" or a restart of the daemon`);
      return ExitCode.done;
    });
  },
});
