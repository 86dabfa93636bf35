import { LOG_LEVELS } from '../../telemetry/log-levels.js';
import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';
import { refuseInspector } from '../inspector.js';
import { consoleFolder, programPath } from '../program-path.js';
import { readInput, refuseInput } from '../read-input.js';

export const serveCommand = defineCommand({
  name: 'serve',
  operands: '',
  description: 'Serve the VPN API and run its gateways, each as a process of its own',
  positionals: {},
  options: {
    config: {
      type: 'string',
      requiresArg: true,
      demandOption: true,
      describe: 'Configuration of the server (YAML): VPCs, subnets, listener, tokens',
    },
    'log-level': {
      choices: LOG_LEVELS,
      describe:
        'Lowest level that server and gateways log, whatever "log_level" of the file says (else info)',
    },
    'log-format': {
      choices: ['auto', 'text', 'json'] as const,
      default: 'auto',
      describe: 'Form of log lines on standard error; auto is text on a terminal, JSON elsewhere',
    },
  },
  examples: [
    [
      'serve --config site.yaml',
      'Until SIGTERM or Ctrl-C, which stop the gateways, too, unless "on_stop: keep"',
    ],
  ],
  epilogue:
    'Gateways outlive a server that crashes: the next one finds them and takes them over. Without a server for\n' +
    'longer than "orphan_seconds" of its file they shut down by themselves.\n' +
    'SIGHUP (or "culvert serve-reload") reads the file again and takes over what has changed.\n' +
    'With --output json one object on standard output tells where the API is served.\n' +
    'Exit codes: 0 shut down cleanly, 1 it could not start, 2 wrong usage.',
  async run(args, terminal) {
    refuseInspector();
    const path = args.config;
    const { readServeFile } = await import('../../daemon/serve/serve-file.js');
    const { describeErrors } = await import('../gateway-config.js');
    refuseInput('--config', path);
    const read = (): ReturnType<typeof readServeFile> =>
      readServeFile(readInput(path, 'the configuration file'), path);
    const file = read();
    if (!file.ok) {
      if (args.output === 'json') terminal.json({ ok: false, file: path, errors: file.error });
      else terminal.note(describeErrors(path, file.error));
      return ExitCode.failed;
    }
    const { createLogger } = await import('../../telemetry/log.js');
    const { DEFAULT_LOG_LEVEL, runControlPlane } = await import('../../daemon/serve/serve.js');
    const { ServiceManager } = await import('../../daemon/system/service-manager.js');
    const { oneLine } = await import('../../util/operator-error.js');
    const format = args['log-format'];
    const logLevel = args['log-level'];
    const level = logLevel ?? file.value.logLevel ?? DEFAULT_LOG_LEVEL;
    const logger = createLogger({ level, ...(format === 'auto' ? {} : { format }) });
    const program = [process.execPath, programPath];
    try {
      await runControlPlane(
        {
          file: file.value,
          reread: read,
          program,
          ...(logLevel === undefined ? {} : { logLevel }),
          logFormat: format,
          logger,
          console: consoleFolder,
          manager: ServiceManager.of(process.env, { logger }),
        },
        ({ url, socket }) => {
          if (args.output === 'json') {
            terminal.line(JSON.stringify({ started: true, url: url ?? null, socket }));
          }
        },
      );
      return ExitCode.done;
    } catch (error) {
      logger.fatal(oneLine(error));
      return ExitCode.failed;
    }
  },
});
