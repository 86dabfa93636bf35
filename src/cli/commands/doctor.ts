import { existsSync } from 'node:fs';
import { ControlClient } from '../../daemon/control/client.js';
import { Check, type DoctorReport, doctorReport } from '../../daemon/doctor/report.js';
import type { ConfigError } from '../../store/config-error.js';
import { parseIp } from '../../util/ip.js';
import { daemonOptions, defineCommand, timeoutOption } from '../command.js';
import { type DaemonArguments, eachDaemon, isAnyDaemon } from '../daemons.js';
import { renderDoctor } from '../doctor-view.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { suggestion } from '../nearest.js';
import { sourceName } from '../read-input.js';
import type { Terminal } from '../terminal.js';

/** What sends probes and reads rule sets takes longer than other answers. */
const WAIT_SECONDS = 60;

interface Arguments extends DaemonArguments {
  readonly name?: string | undefined;
  readonly config?: string | undefined;
  readonly passive: boolean;
  readonly probe?: string | undefined;
}

export const doctorCommand = defineCommand({
  name: 'doctor',
  operands: '[name]',
  description: 'Look for what is in the way of tunnels: in this host, on the path, in the connections',
  positionals: {
    name: { type: 'string', describe: 'Connection; under culvert serve GATEWAY or GATEWAY/CONNECTION' },
  },
  options: {
    ...daemonOptions,
    config: {
      type: 'string',
      requiresArg: true,
      describe: 'Configuration file (YAML) of a gateway, also of one that does not run',
    },
    passive: {
      type: 'boolean',
      default: false,
      describe: 'Send nothing: no probes to peers or through tunnels',
    },
    probe: {
      type: 'string',
      requiresArg: true,
      describe: 'Address behind the peer that answers a ping through the tunnel',
    },
    timeout: { ...timeoutOption, describe: `Seconds to wait for a daemon (default ${WAIT_SECONDS})` },
  },
  examples: [
    ['doctor', 'The gateway that runs here, or those of culvert serve'],
    [
      'doctor --config gateway.yaml',
      'Before it is started: the host, the file, and whether the peers answer',
    ],
    [
      'doctor to-site-b --probe 10.2.0.10',
      'One connection, with packets of growing length through its tunnel',
    ],
    ['doctor headquarters/to-branch --output json', 'Under culvert serve, for programs'],
  ],
  epilogue:
    'Exit codes: 0 nothing is wrong, 1 something is, or there is no such gateway, 2 wrong usage. What could not be looked at is said, and is no finding.',
  async run(args, terminal) {
    if (args.probe !== undefined && parseIp(args.probe) === undefined)
      throw new UsageError(`--probe takes an IP address, not "${args.probe}"`);
    if (args.config !== undefined && args.control !== undefined)
      throw new UsageError('--config and --control name a gateway each: give one of them');
    if (args.config !== undefined) return await ofFile(args, args.config, terminal);
    if (args.name === undefined && !isAnyDaemon(args)) return await ofHost(args, terminal);
    return await ofDaemons(args, terminal);
  },
});

/** Each daemon looks for itself: it is in the network namespace that matters. */
async function ofDaemons(args: Arguments, terminal: Terminal): Promise<ExitCode> {
  const { name, passive, probe } = args;
  const target = { ...args, timeout: args.timeout ?? WAIT_SECONDS };
  const operands = name === undefined ? [] : [name];
  return await eachDaemon(target, operands, terminal, async ({ control, wanted }, screen) =>
    present(await control.doctor(wanted[0], { passive, probe }), args, screen),
  );
}

async function ofHost({ passive, output }: Arguments, terminal: Terminal): Promise<ExitCode> {
  const { diagnose } = await import('../../daemon/doctor/doctor.js');
  return present(await diagnose({ passive }), output === undefined ? {} : { output }, terminal);
}

/** The gateway of a file: itself when it runs, else what would await it. */
async function ofFile(args: Arguments, path: string, terminal: Terminal): Promise<ExitCode> {
  const { loadConfig } = await import('../gateway-config.js');
  const loaded = loadConfig(path);
  if (!loaded.ok) return present(faultyFile(sourceName(path), loaded.error), args, terminal);
  const { file, psks } = loaded.value;
  try {
    const { control } = file.gateway;
    if (await answers(control)) return await ofDaemons({ ...args, control }, terminal);
    const { diagnose } = await import('../../daemon/doctor/doctor.js');
    const { name, passive, probe } = args;
    const connections =
      name === undefined ? file.connections : file.connections.filter((one) => one.name === name);
    if (name !== undefined && connections.length === 0) {
      const known = file.connections.map((one) => one.name);
      const hint = suggestion(name, known) || `; configured are: ${known.join(', ') || 'none'}`;
      throw new CliError(`${sourceName(path)} has no connection "${name}"${hint}`);
    }
    const report = await diagnose({
      ...{ file: { ...file, connections }, psks, passive },
      ...(probe === undefined ? {} : { probe }),
    });
    return present(report, args, terminal);
  } finally {
    for (const key of psks.values()) key.wipe();
  }
}

async function answers(control: string): Promise<boolean> {
  if (!existsSync(control)) return false;
  const client = await ControlClient.connect(control).catch(() => undefined);
  client?.close();
  return client !== undefined;
}

/** A file that is wrong is the first thing to mend: nothing else is looked at. */
function faultyFile(name: string, errors: readonly ConfigError[]): DoctorReport {
  const check = new Check({ area: 'connection', check: 'configuration' });
  const entries = errors.map(({ path, line, message }) =>
    check.finding({
      code: 'configuration',
      message: `${[name, ...(line === undefined ? [] : [line])].join(':')}: ${path === '' ? '' : `${path}: `}${message}`,
      remedy: 'correct the file; `culvert check --config FILE` says when it is right',
    }),
  );
  return doctorReport({ gateway: null, running: false }, entries);
}

function present(report: DoctorReport, { output }: Pick<Arguments, 'output'>, terminal: Terminal): ExitCode {
  if (output === 'json') terminal.json(report);
  else terminal.lines(renderDoctor(report, { style: terminal.style, width: terminal.width() }));
  return report.counts.finding === 0 ? ExitCode.done : ExitCode.failed;
}
