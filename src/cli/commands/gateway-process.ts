import { availableParallelism } from 'node:os';
import type { PreparedWorkers } from '../../dataplane/ffi/loop/worker-group.js';
import { LOG_LEVELS } from '../../telemetry/log-levels.js';
import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';
import { refuseInspector } from '../inspector.js';

export const gatewayProcessCommand = defineCommand({
  name: 'gateway-process',
  operands: '',
  description: 'Run a gateway that is configured by the server that started it',
  hidden: true,
  positionals: {},
  options: {
    control: { type: 'string', requiresArg: true, demandOption: true, describe: 'Control socket to make' },
    id: { type: 'string', requiresArg: true, demandOption: true, describe: 'Id of the gateway, for the log' },
    'orphan-seconds': {
      type: 'number',
      requiresArg: true,
      default: 60,
      describe: 'How long it keeps running without a server',
    },
    marks: {
      type: 'string',
      requiresArg: true,
      describe: 'Control socket of the member whose marks it shares',
    },
    'log-level': { choices: LOG_LEVELS, default: 'info', describe: 'Lowest level to log' },
    'log-format': {
      choices: ['auto', 'text', 'json'] as const,
      default: 'auto',
      describe: 'Form of the log',
    },
    clean: {
      type: 'boolean',
      default: false,
      describe: 'Only clean up what a gateway that was killed has left behind',
    },
  },
  examples: [],
  async run(args) {
    refuseInspector();
    // The packet threads first: they load while the rest is loaded here.
    const prepared = args.clean ? undefined : await prepareWorkers();
    const { removeLeftovers, runSupervised } = await import('../../daemon/supervised/run-supervised.js');
    const { createLogger } = await import('../../telemetry/log.js');
    const { control, id, marks } = args;
    const format = args['log-format'];
    const logger = createLogger({
      level: args['log-level'],
      ...(format === 'auto' ? {} : { format }),
    }).child({ gateway_id: id });
    if (!args.clean) {
      const orphanSeconds = args['orphan-seconds'];
      return runSupervised({
        control,
        orphanSeconds,
        logger,
        ...(prepared === undefined ? {} : { prepared }),
        ...(marks === undefined ? {} : { marks }),
      });
    }
    try {
      removeLeftovers(control);
      return ExitCode.done;
    } catch (error) {
      logger.error({ err: error }, 'what the gateway left behind was not removed');
      return ExitCode.failed;
    }
  },
});

/** As many packet threads as a gateway has by default; none without FFI, which the start reports. */
async function prepareWorkers(): Promise<PreparedWorkers | undefined> {
  const { defaultWorkers, PreparedWorkers } = await import('../../dataplane/ffi/loop/worker-group.js');
  const { ffiAvailable } = await import('../../linux/ffi.js');
  return ffiAvailable().ok ? new PreparedWorkers(defaultWorkers(availableParallelism())) : undefined;
}
