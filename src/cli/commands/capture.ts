import type { CaptureReport } from '../../daemon/capture/request.js';
import { CAPTURE_LIMITS } from '../../telemetry/capture/limits.js';
import { countOf, formatBytes } from '../amounts.js';
import { CaptureOutput, KeyFolder, STDOUT } from '../capture-files.js';
import { daemonOptions, defineCommand } from '../command.js';
import type { CaptureOptions, Control } from '../control.js';
import { type DaemonArguments, eachDaemon, oneConnection } from '../daemons.js';
import { ExitCode, UsageError } from '../errors.js';
import type { Terminal } from '../terminal.js';

const { seconds, bytes, snap } = CAPTURE_LIMITS;

/** A whole number within bounds, as an option. */
function bounded(name: string, { usual, least, most }: (typeof CAPTURE_LIMITS)[keyof typeof CAPTURE_LIMITS]) {
  return {
    type: 'number',
    requiresArg: true,
    default: usual,
    coerce: (given: unknown): number => {
      const value: unknown = Array.isArray(given) ? given.at(-1) : given;
      if (typeof value === 'number' && Number.isInteger(value) && value >= least && value <= most)
        return value;
      throw new UsageError(`--${name} takes a whole number from ${least} to ${most}`);
    },
  } as const;
}

export const captureCommand = defineCommand({
  name: 'capture',
  operands: '<name>',
  description: 'Write the packets of a connection to a file for Wireshark',
  positionals: {
    name: {
      type: 'string',
      describe: 'Connection; under culvert serve GATEWAY/CONNECTION',
      demandOption: true,
    },
  },
  options: {
    file: {
      type: 'string',
      alias: 'o',
      requiresArg: true,
      describe: 'File to write (pcapng, mode 0600); - is standard output, as for wireshark -k -i -',
    },
    seconds: { ...bounded('seconds', seconds), describe: 'End after so many seconds' },
    bytes: { ...bounded('bytes', bytes), describe: 'End when the file has so many octets' },
    snap: { ...bounded('snap', snap), describe: 'Keep so many octets of a packet' },
    inner: {
      type: 'boolean',
      default: false,
      describe: 'The packets inside the tunnel, too, which are in the clear',
    },
    dropped: {
      type: 'boolean',
      default: false,
      describe: 'Dropped packets, too, each with the reason as its comment',
    },
    keys: {
      type: 'boolean',
      default: false,
      describe:
        'Write what Wireshark decrypts IKE and ESP by to the folder FILE.keys: whoever has it reads all',
    },
    member: {
      type: 'number',
      requiresArg: true,
      describe: 'Of a gateway with two members this one, 1 or 2 (default: the one whose connection is up)',
    },
    stop: { type: 'boolean', default: false, describe: 'End the capture that runs at the gateway' },
    ...daemonOptions,
  },
  examples: [
    ['capture to-site-b -o b.pcapng', 'IKE and ESP of the next minute'],
    ['capture to-site-b --inner --dropped -o b.pcapng', 'Inside the tunnel, too, and what was dropped why'],
    ['capture to-site-b --keys -o b.pcapng', 'Then: WIRESHARK_CONFIG_DIR=b.pcapng.keys wireshark b.pcapng'],
    ['capture to-site-b -o - | wireshark -k -i -', 'Watch it live'],
  ],
  epilogue:
    'Ctrl-C ends it in good order. A gateway captures for one client at a time and notes in its log who\n' +
    'asked. Packets never wait for the file: those that come too fast for it are counted, here and in it.\n' +
    'Keys are those of every SA that is established or rekeyed meanwhile, and of IKE SAs that stand already.\n' +
    'IKEv1 is decrypted only from its first message on, ESP of a child SA that stands already only after its\n' +
    'next rekeying.\n' +
    'Exit codes: 0 done, 1 there is no daemon, no connection, or a capture runs already, 2 wrong usage.',
  async run(args, terminal) {
    const { file, keys, stop } = args;
    if (!stop && file === undefined) throw new UsageError('"capture" needs -o FILE, the file to write');
    if (keys && file === STDOUT) throw new UsageError('--keys needs a file: its folder is called FILE.keys');
    const chosen = await chooseMember(args, args.name, args.member, terminal);
    let member = 0;
    return await eachDaemon(args, [args.name], silent(terminal), async (aim) => {
      if (member++ !== chosen) return ExitCode.done;
      const { control } = aim;
      const name = oneConnection(aim);
      if (stop) {
        const stopped = await control.stopCapture();
        if (args.output === 'json') terminal.json({ stopped });
        else terminal.line(stopped ? 'the capture is ended' : 'no capture runs there');
        return ExitCode.done;
      }
      const report = await capture(control, { ...args, name, file: file! });
      present(
        { file: file!, name, keys },
        report,
        { ...terminal, json: jsonTo(file!, terminal) },
        args.output,
      );
      return ExitCode.done;
    });
  },
});

interface Wanted extends CaptureOptions {
  readonly file: string;
}

/** Captures to the file until it ends by itself, or the user ends it. */
async function capture(control: Control, { file, ...wanted }: Wanted): Promise<CaptureReport> {
  // The name first: a wrong one must not empty a file.
  await control.connection(wanted.name);
  const output = new CaptureOutput(file);
  const folder = wanted.keys ? new KeyFolder(`${file}.keys`) : undefined;
  const interrupted = (): void => void control.stopCapture().catch(() => undefined);
  process.once('SIGINT', interrupted);
  process.once('SIGTERM', interrupted);
  let failure: unknown;
  try {
    return await control.capture(wanted, (notice) => {
      try {
        if (notice.file !== undefined) output.write(Buffer.from(notice.file, 'base64'));
        if (notice.keys !== undefined) folder?.add(notice.keys);
      } catch (error) {
        failure ??= error;
        control.close();
      }
    });
  } catch (error) {
    throw failure ?? error;
  } finally {
    process.removeListener('SIGINT', interrupted);
    process.removeListener('SIGTERM', interrupted);
    output.close();
  }
}

/** The place, among the daemons that are meant, of the one to capture at. @throws CliError for a wrong connection */
async function chooseMember(
  args: DaemonArguments,
  name: string,
  member: number | undefined,
  terminal: Terminal,
): Promise<number> {
  const states: string[] = [];
  await eachDaemon(args, [name], silent(terminal), async (aim) => {
    states.push((await aim.control.connection(oneConnection(aim))).status);
    return ExitCode.done;
  });
  if (member === undefined) return Math.max(0, states.indexOf('up'));
  if (Number.isInteger(member) && member >= 1 && member <= states.length) return member - 1;
  throw new UsageError(`--member takes a number from 1 to ${states.length}: there are so many`);
}

/** Headings of members are of no use where one is chosen, and standard output may be the file. */
function silent(terminal: Terminal): Terminal {
  return { ...terminal, line: () => undefined, lines: () => undefined, json: () => undefined };
}

function jsonTo(file: string, terminal: Terminal): Terminal['json'] {
  return file === STDOUT ? (value) => terminal.note(JSON.stringify(value)) : (value) => terminal.json(value);
}

const ENDS = {
  time: 'its time is over',
  full: 'the file is as long as it may get',
  stopped: 'it was stopped',
} as const;

function present(
  { file, name, keys }: { readonly file: string; readonly name: string; readonly keys: boolean },
  report: CaptureReport,
  terminal: Terminal,
  output: string,
): void {
  const folder = `${file}.keys`;
  if (output === 'json') {
    terminal.json({ file, connection: name, ...report, ...(keys ? { keys: folder } : {}) });
    return;
  }
  const say = file === STDOUT ? terminal.note : terminal.line;
  const { packets, bytes: octets, lost, ended } = report;
  say(`${file}: ${countOf(packets, 'packet')}, ${formatBytes(octets)}; ${ENDS[ended]}`);
  if (lost > 0) terminal.note(`${countOf(lost, 'packet')} came faster than they could be captured`);
  if (!keys) return;
  say(`read it with: WIRESHARK_CONFIG_DIR=${folder} wireshark ${file}`);
  terminal.note(
    `${folder} has the keys of ${name}: whoever reads it reads the traffic. Delete it when it is not needed any more`,
  );
  const { child_sas_without_keys: sealed = 0, sas_wireshark_cannot_decrypt: unknown = 0 } = report;
  if (sealed > 0) {
    terminal.note(
      `${countOf(sealed, 'child SA')} stood before: nothing decrypts their packets here; see --inner, or capture a rekeying`,
    );
  }
  if (unknown > 0) terminal.note(`Wireshark does not decrypt the suite of ${countOf(unknown, 'SA')}`);
}
