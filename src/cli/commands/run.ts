import { LOG_LEVELS } from '../../telemetry/log-levels.js';
import { defineCommand } from '../command.js';
import { ExitCode, UsageError } from '../errors.js';
import { refuseInspector } from '../inspector.js';
import { refuseInput } from '../read-input.js';

export const runCommand = defineCommand({
  name: 'run',
  operands: '',
  description: 'Run a gateway in the foreground',
  positionals: {},
  options: {
    config: { type: 'string', requiresArg: true, demandOption: true, describe: 'Configuration file (YAML)' },
    'log-level': {
      choices: LOG_LEVELS,
      default: 'info',
      describe: 'What to log at least; debug shows every IKE message',
    },
    'log-format': {
      choices: ['auto', 'text', 'json'] as const,
      default: 'auto',
      describe: 'Form of log lines on standard error; auto is text on a terminal, JSON elsewhere',
    },
    offload: {
      type: 'string',
      requiresArg: true,
      describe:
        'Kernel offloads in place of those in the file: all, none, or some of tso,uso,coalesce,segment,gro',
    },
    workers: {
      type: 'number',
      requiresArg: true,
      describe: 'Threads of the packet path in place of the number in the file: 1, 2, 4, 8 or 16',
    },
    metrics: {
      type: 'string',
      requiresArg: true,
      describe:
        'Serve metrics for Prometheus at ADDRESS:PORT, path /metrics, or at a Unix socket of this path (with a /)',
    },
    'data-plane': {
      choices: ['auto', 'ffi', 'portable'] as const,
      default: 'auto',
      describe: 'Packet path; portable moves packets on the main thread, slowly, by node:crypto',
    },
  },
  examples: [
    ['run --config gateway.yaml', 'Until SIGTERM or Ctrl-C, which delete the SAs at the peers'],
    ['run --config gateway.yaml --log-level debug --log-format text', 'With every IKE message in the log'],
    ['run --config gateway.yaml --metrics 127.0.0.1:9464', 'With metrics at http://127.0.0.1:9464/metrics'],
  ],
  epilogue:
    'It needs /dev/net/tun and the right to make network devices (root or CAP_NET_ADMIN).\n' +
    'With --output json one object on standard output tells that the gateway runs; the log is on standard error.\n' +
    'Exit codes: 0 shut down cleanly, 1 it could not start or go on, 2 wrong usage.',
  async run(args, terminal) {
    refuseInspector();
    const { config: path, output } = args;
    const { keepHeapSmall } = await import('../../daemon/system/small-heap.js');
    keepHeapSmall();
    const offload = await readOffload(args.offload);
    const workers = await readWorkers(args.workers);
    const metrics = await readMetrics(args.metrics);
    const { describeErrors, loadConfig } = await import('../gateway-config.js');
    refuseInput('--config', path);
    const loaded = loadConfig(path);
    if (!loaded.ok) {
      const { error: errors } = loaded;
      if (output === 'json') terminal.json({ ok: false, file: path, gateway: null, errors, advisories: [] });
      else terminal.note(describeErrors(path, errors));
      return ExitCode.failed;
    }
    const { file, psks } = loaded.value;
    const { createLogger } = await import('../../telemetry/log.js');
    const { runDaemon } = await import('../../daemon/system/lifecycle.js');
    const { ServiceManager } = await import('../../daemon/system/service-manager.js');
    const format = args['log-format'];
    const logger = createLogger({
      level: args['log-level'],
      ...(format === 'auto' ? {} : { format }),
    });
    try {
      return await runDaemon({
        file,
        psks,
        logger,
        manager: ServiceManager.of(process.env, { logger }),
        dataPlane: args['data-plane'],
        ...(offload === undefined ? {} : { offload }),
        ...(workers === undefined ? {} : { workers }),
        ...(metrics === undefined ? {} : { metrics }),
        started: (gateway) => {
          if (output !== 'json') return;
          const { gateway: about } = gateway.status();
          terminal.line(JSON.stringify({ started: true, gateway: about, control: file.gateway.control }));
        },
      });
    } finally {
      for (const key of psks.values()) key.wipe();
    }
  },
});

async function readOffload(text: string | undefined) {
  if (text === undefined) return undefined;
  const { NO_OFFLOAD, parseOffload } = await import('../../dataplane/offload.js');
  const offload = parseOffload(text);
  if (offload.ok) return offload.value;
  const known = Object.keys(NO_OFFLOAD).join(', ');
  throw new UsageError(
    `--offload: there is no offload "${offload.error}"; use all, none, or some of ${known}`,
  );
}

async function readMetrics(text: string | undefined) {
  if (text === undefined) return undefined;
  const { readMetricsPlace } = await import('../../daemon/metrics/place.js');
  const place = readMetricsPlace(text);
  if (place.ok) return place.value;
  throw new UsageError(`--metrics: ${place.error}, or the path of a Unix socket`);
}

async function readWorkers(workers: number | undefined) {
  if (workers === undefined) return undefined;
  const { isWorkerCount, MAX_WORKERS } = await import('../../dataplane/ffi/loop/worker-group.js');
  if (isWorkerCount(workers)) return workers;
  throw new UsageError(`--workers: ${workers} is not a power of two from 1 to ${MAX_WORKERS}`);
}
