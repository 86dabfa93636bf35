import { spawn } from 'node:child_process';
import { readFileSync, readlinkSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { setTimeout as pause } from 'node:timers/promises';
import { namespacePath } from '../../linux/namespace-entry.js';
import { isThere as isProcessThere, type ProcessIdentity, processOf } from '../../linux/processes.js';
import { programVersion } from '../../telemetry/program.js';
import { ControlClient } from '../control/client.js';
import type { AttachAnswer } from '../control/methods.js';
import type { AfterStop } from '../gateway/gateway-options.js';
import { StartError } from '../start-error.js';
import { addressMark, deviceMark } from '../supervised/marks.js';
import { within } from './silence.js';

/** The command line, namespace and log settings of a gateway's process. */
export interface LaunchOptions {
  /** For log lines of the process. */
  readonly id: string;
  /** Path of the control socket. */
  readonly control: string;
  /** Name as in `ip netns`, or an absolute path; the server's own namespace when left out. */
  readonly namespace?: string;
  /** The control socket of the member whose marks it shares; its own when left out. */
  readonly marks?: string;
  /** Command line of this program: interpreter and script. */
  readonly program: readonly string[];
  readonly orphanSeconds: number;
  readonly logLevel: string;
  readonly logFormat: 'auto' | 'text' | 'json';
}

/** A gateway process with its supervisor's connection. */
export interface LaunchedProcess {
  readonly pid: number;
  readonly client: ControlClient;
  /** Whether it was found running, from a server before this one. */
  readonly adopted: boolean;
  /** Of another version of this program. */
  readonly isOutdated: boolean;
  /** The id of the last event that a server before this one was sent; absent when there was none. */
  readonly reported?: string;
  /** The term in which it speaks, 0 where it was given none; absent when it does not speak. */
  readonly term?: number;
  readonly exited: Promise<void>;
  /** Closes the connection and lets the process outlive this one. */
  release(): void;
  kill(signal: 'SIGTERM' | 'SIGUSR2' | 'SIGKILL'): void;
}

/** How long a process may take to open its control socket on a busy machine. */
const OPEN_MS = 30_000;
const LOOK_MS = 20;
/** Between two looks at a process that is not our child, and is about to be gone. */
const ALIVE_MS = 20;

/** How long a process that listens may take to answer for the first time. */
const ATTACH_MS = 5000;

/** A process listens at the control socket of a gateway and does not answer. */
export class SilentProcessError extends StartError {
  /** Of the process, where it is known to be a gateway's. */
  readonly pid: number | undefined;

  constructor(control: string, pid: number | undefined) {
    const who = pid === undefined ? '' : `, process ${pid},`;
    super(
      `the gateway process at ${control}${who} does not answer`,
      'it will be killed if that lasts for a minute; check whether it is suspended',
    );
    this.pid = pid;
  }
}

/** The file beside a control socket that names the namespace of its gateway, for a server that does not know it. */
function namespaceNote(control: string): string {
  return `${control}.namespace`;
}

/**
 * The process that answers at the control socket, if there is one in the right namespace and of this program's version;
 * one that is not is ended. One of two, which speaks, may be of another version: the other one takes over from it.
 * @throws StartError
 */
export async function adoptProcess(options: LaunchOptions): Promise<LaunchedProcess | undefined> {
  const found = await adopt(options.control);
  if (found === undefined) return undefined;
  const { process: one, isOneOfTwo } = found;
  const isRight = sameNamespace(one.pid, options.namespace);
  if (isRight && (!one.isOutdated || (isOneOfTwo && options.marks !== undefined))) return one;
  await endProcess(one, 'closed');
  return undefined;
}

/** Starts a process where none answers. @throws StartError */
export async function startProcess(options: LaunchOptions): Promise<LaunchedProcess> {
  // One that was killed has left things where it ran; in the right place its successor takes them over.
  if ((notedNamespace(options.control) ?? '') !== (options.namespace ?? '')) await cleanUp(options);
  return launch(options);
}

/** The process that answers at this control socket, and whether it has a term, so that it knows of another one. */
async function adopt(
  control: string,
): Promise<{ readonly process: LaunchedProcess; readonly isOneOfTwo: boolean } | undefined> {
  const attached = await attach(control);
  if (attached === undefined) return undefined;
  const { client, answer } = attached;
  const { pid, version, reported, configured, term } = answer;
  const identity = processAt(pid, control);
  let released = false;
  const exited = client.closed.then(async () => {
    while (!released && identity !== undefined && isProcessThere(identity)) await pause(ALIVE_MS);
  });
  const kill = (signal: NodeJS.Signals): void => {
    if (processAt(pid, control) !== undefined) process.kill(pid, signal);
  };
  const release = (): void => {
    released = true;
    client.close();
  };
  const speaks = term ?? (configured ? 0 : undefined);
  const known = {
    ...(reported === undefined ? {} : { reported }),
    ...(speaks === undefined ? {} : { term: speaks }),
  };
  const isOutdated = version !== programVersion;
  const found = { pid, client, adopted: true, isOutdated, exited, release, kill, ...known };
  return { process: found, isOneOfTwo: term !== undefined };
}

/**
 * Ends what answers at a control socket, if something does; what listens there and does not answer, too. `open` when
 * left out.
 */
export async function endLeftover(control: string, how: keyof typeof STOP_SIGNAL = 'open'): Promise<void> {
  try {
    const found = await adopt(control);
    if (found !== undefined) await endProcess(found.process, how);
  } catch (error) {
    if (!(error instanceof SilentProcessError) || error.pid === undefined) throw error;
    await endSilent(error.pid, control);
  }
}

/** Ends a gateway process that does not answer. Resolves when it is gone. */
export async function endSilent(pid: number, control: string): Promise<void> {
  const identity = processAt(pid, control);
  if (identity === undefined) return;
  process.kill(pid, 'SIGKILL');
  while (isProcessThere(identity)) await pause(ALIVE_MS);
}

/** What a gateway process understands, see `runSupervised`; it is handed over by `release`. */
export const STOP_SIGNAL = { open: 'SIGTERM', closed: 'SIGUSR2' } as const satisfies Record<
  Exclude<AfterStop, 'handed'>,
  string
>;

/** How long a gateway may take to say farewell to its peers and undo what it did. */
const FAREWELL_MS = 10_000;

/**
 * Ends it, with SIGKILL where it does not follow. `closed` when another one takes its place: its networks stay
 * unreachable. Resolves when it is gone.
 */
export async function endProcess(
  { kill, exited, client }: LaunchedProcess,
  how: keyof typeof STOP_SIGNAL,
): Promise<void> {
  kill(STOP_SIGNAL[how]);
  const timer = setTimeout(() => kill('SIGKILL'), FAREWELL_MS);
  await exited;
  clearTimeout(timer);
  client.close();
}

async function launch(options: LaunchOptions): Promise<LaunchedProcess> {
  const { control, namespace = '' } = options;
  writeFileSync(namespaceNote(control), namespace, { mode: 0o600 });
  const child = spawnIn(options, [
    ...['gateway-process', '--control', control, '--id', options.id],
    ...['--orphan-seconds', String(options.orphanSeconds), '--log-level', options.logLevel],
    ...['--log-format', options.logFormat],
    ...(options.marks === undefined ? [] : ['--marks', options.marks]),
  ]);
  let problem: string | undefined;
  const exited = new Promise<void>((resolve) => {
    child.once('error', (error) => {
      problem = error.message;
      resolve();
    });
    child.once('exit', (code, signal) => {
      problem = signal === null ? `it ended with exit code ${code}` : `it was killed by ${signal}`;
      resolve();
    });
  });
  const deadline = performance.now() + OPEN_MS;
  while (problem === undefined && performance.now() < deadline) {
    const attached = await attach(control).catch(ignoreSilence);
    if (attached !== undefined) {
      const { client, answer } = attached;
      const { pid } = answer;
      const kill = (signal: NodeJS.Signals): void => void child.kill(signal);
      const release = (): void => {
        client.close();
        child.unref();
      };
      return { pid, client, adopted: false, isOutdated: false, exited, release, kill };
    }
    await pause(LOOK_MS);
  }
  child.kill('SIGKILL');
  const why = problem ?? `it did not open its control socket within ${OPEN_MS / 1000} s`;
  throw new StartError(`the gateway process did not start: ${why}`, 'see the log above');
}

/**
 * Takes away what a gateway that has ended has left: its address, routes around its tunnels, and what keeps clear
 * packets from leaving and coming. The rest of it, the TUN devices and the routes through them, goes with the process.
 */
export async function cleanUp(options: LaunchOptions): Promise<void> {
  const { control, namespace: wanted, ...rest } = options;
  // Where it ran counts, not where it is to run now.
  const noted = notedNamespace(control);
  const namespace = noted === undefined ? wanted : noted === '' ? undefined : noted;
  const marks = [addressMark(control), deviceMark(control)];
  if (marks.some(isThere) && (namespace === undefined || isThere(namespacePath(namespace)))) {
    await removeLeftovers({ ...rest, control, ...(namespace === undefined ? {} : { namespace }) });
  }
  // With a namespace its addresses and routes are gone.
  for (const path of [control, ...marks, namespaceNote(control)]) rmSync(path, { force: true });
}

function removeLeftovers(options: LaunchOptions): Promise<void> {
  const { control, id } = options;
  const child = spawnIn(options, ['gateway-process', '--control', control, '--id', id, '--clean']);
  return new Promise<void>((resolve, reject) => {
    child.once('error', reject);
    child.once('exit', (code) => {
      if (code === 0) resolve();
      else reject(new StartError(`what gateway ${id} left behind was not removed`, 'see the log above'));
    });
  });
}

/** Empty for the server's own; undefined when nothing was started yet. */
function notedNamespace(control: string): string | undefined {
  try {
    return readFileSync(namespaceNote(control), 'utf8');
  } catch {
    return undefined;
  }
}

function isThere(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

function spawnIn({ namespace, program }: LaunchOptions, argv: readonly string[]) {
  const command = [...program, ...argv];
  if (namespace !== undefined) {
    const path = namespacePath(namespace);
    if (!isThere(path)) {
      throw new StartError(
        `there is no network namespace ${namespace}`,
        isAbsolute(namespace)
          ? 'correct "namespace" of the VPC'
          : `make it with \`ip netns add ${namespace}\``,
      );
    }
    command.unshift('nsenter', `--net=${path}`, '--');
  }
  return spawn(command[0]!, command.slice(1), {
    // Its log goes where ours goes, and does not depend on us.
    stdio: ['ignore', 'ignore', 'inherit'],
    // An interrupt from the keyboard is for the server, which then stops its gateways in order.
    detached: true,
  });
}

/** @throws SilentProcessError, StartError when another user answers */
async function attach(
  control: string,
): Promise<{ readonly client: ControlClient; readonly answer: AttachAnswer } | undefined> {
  let client: ControlClient;
  try {
    client = await ControlClient.connect(control);
  } catch {
    return undefined;
  }
  if (!client.trusted) {
    client.close();
    throw new StartError(
      `a process of another user answers at ${control}`,
      'stop it, and let only root write to "run_folder"',
    );
  }
  try {
    const answer = await within(ATTACH_MS, client.attach());
    if (answer !== undefined) return { client, answer };
  } catch {
    client.close();
    return undefined;
  }
  const pid = client.peerPid;
  client.close();
  throw new SilentProcessError(
    control,
    pid !== undefined && processAt(pid, control) !== undefined ? pid : undefined,
  );
}

/** A process that is being started may take its time. */
function ignoreSilence(error: unknown): undefined {
  if (!(error instanceof SilentProcessError)) throw error;
  return undefined;
}

/** The process of this number, if it is a gateway's with this control socket: numbers of processes are used again. */
function processAt(pid: number, control: string): ProcessIdentity | undefined {
  const identity = processOf(pid);
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
    // The other one of two has it as the place of its marks.
    return words[words.indexOf('--control') + 1] === control ? identity : undefined;
  } catch {
    return undefined;
  }
}

function sameNamespace(pid: number, namespace: string | undefined): boolean {
  try {
    const wanted = statSync(namespace === undefined ? '/proc/self/ns/net' : namespacePath(namespace)).ino;
    return readlinkSync(`/proc/${pid}/ns/net`) === `net:[${wanted}]`;
  } catch {
    return false;
  }
}
