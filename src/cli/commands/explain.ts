import { daemonOptions, defineCommand } from '../command.js';
import { eachDaemon, oneConnection } from '../daemons.js';
import { showDiagnosis } from '../diagnosis-view.js';
import { ExitCode } from '../errors.js';

export const explainCommand = defineCommand({
  name: 'explain',
  operands: '<name>',
  description: 'Say why a connection is not up, with evidence and advice',
  positionals: {
    name: {
      type: 'string',
      describe: 'Connection; under culvert serve GATEWAY/CONNECTION',
      demandOption: true,
    },
  },
  options: daemonOptions,
  examples: [
    ['explain to-site-b', 'The cause, both offers side by side, what was sent and what came back'],
    ['explain to-site-b --output json', 'The same for programs'],
  ],
  epilogue: 'Exit codes: 0 the connection is up, 1 it is not, or there is no daemon, 2 wrong usage.',
  async run(args, terminal) {
    return await eachDaemon(args, [args.name], terminal, async (aim, screen) => {
      const name = oneConnection(aim);
      const explanation = await aim.control.explain(name);
      if (args.output === 'json') screen.json(explanation);
      else showDiagnosis(explanation, screen);
      return explanation.status === 'up' ? ExitCode.done : ExitCode.failed;
    });
  },
});
