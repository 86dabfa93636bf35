import type { Explanation } from '../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../connection/status.js';
import type { CaptureReport, CaptureRequest } from '../daemon/capture/request.js';
import { ControlClient } from '../daemon/control/client.js';
import type { CaptureNotice, GivenTo } from '../daemon/control/methods.js';
import { ControlError } from '../daemon/control/protocol.js';
import type { DoctorReport } from '../daemon/doctor/report.js';
import type { ReloadReport } from '../daemon/gateway/reload.js';
import type { EventDocument } from '../telemetry/events/event-document.js';
import { ANSWER_SECONDS, DEFAULT_CONTROL } from './command.js';
import { CliError, messageOf, UnreachableError } from './errors.js';
import { suggestion } from './nearest.js';

/** What commands need of a running daemon. */
export interface Control {
  status(): Promise<StatusDocument>;
  /** The status of one connection, by its name or id. @throws CliError naming the nearest one when there is none */
  connection(name: string): Promise<ConnectionStatusDocument>;
  /**
   * Asks for the connection to be initiated. Resolves when the daemon has taken the wish on, or with `wait`
   * when the connection is up or has not come up in time.
   */
  up(name: string, wait?: UpWait): Promise<void>;
  down(name: string): Promise<void>;
  explain(name: string): Promise<Explanation>;
  /** Looks for what is in the way of the tunnels, of one connection when it is named. */
  doctor(name: string | undefined, wish: DoctorOptions): Promise<DoctorReport>;
  /** Applies the difference in the configuration file, or only reports it. */
  reload(dryRun: boolean): Promise<ReloadReport>;
  /** Captures packets of a connection until it ends; `part` gets the file and the keys as they come. */
  capture(options: CaptureOptions, part: (notice: CaptureNotice) => void): Promise<CaptureReport>;
  /** Ends the capture that runs; false when there is none. */
  stopCapture(): Promise<boolean>;
  /** `changed` is called whenever a status may have changed. */
  watch(changed: () => void): Promise<void>;
  /** Events of the daemon: resolves when it has sent those that it keeps, or has begun to send what comes. */
  events(wish: GivenTo<'events'>, take: (event: EventDocument) => void): Promise<void>;
  /** Resolves when the daemon has closed the connection. */
  readonly closed: Promise<void>;
  close(): void;
}

/** How long `culvert up` waits for a connection, and where it reports progress. */
export interface UpWait {
  /** Seconds. */
  readonly timeout: number;
  progress(line: string): void;
}

/** How `culvert doctor` looks. */
export interface DoctorOptions {
  /** Nothing is sent to peers. */
  readonly passive: boolean;
  /** An address behind a peer that answers a ping. */
  readonly probe?: string | undefined;
}

/** What to capture, and for how long: see `CaptureRequest`. */
export type CaptureOptions = Omit<CaptureRequest, 'connection'> & { readonly name: string };

/** Where a daemon listens, and how long to wait for each of its answers. */
export interface ControlTarget {
  /** Path of its socket, `DEFAULT_CONTROL` when left out. */
  readonly control?: string | undefined;
  /** Seconds, `ANSWER_SECONDS` when left out. */
  readonly timeout?: number | undefined;
}

/** @throws CliError in plain words when no daemon listens there */
export async function openControl({
  control: path = DEFAULT_CONTROL,
  timeout = ANSWER_SECONDS,
}: ControlTarget): Promise<Control> {
  let client: ControlClient;
  const answered = <T>(answer: Promise<T>, seconds = timeout): Promise<T> => inTime(answer, seconds, path);
  try {
    client = await ControlClient.connect(path);
  } catch (error) {
    throw refused(path, error);
  }
  /** An answer about a connection. Where there is none of the name, the error has the nearest one. */
  const found = <T>(name: string, answer: Promise<T>): Promise<T> =>
    answer.catch(async (error: unknown) => {
      if (error instanceof ControlError && error.code === 'not_found')
        connectionNamed(await client.status(), name);
      throw error;
    });
  return {
    status: () => answered(client.status()),
    connection: async (name) => connectionNamed(await answered(found(name, client.status({ name }))), name),
    up: async (name, wait) => {
      const waiting = wait === undefined ? {} : { wait: true, timeout: wait.timeout };
      const asked = found(name, client.up({ name, ...waiting }, wait?.progress));
      const answer = asked.catch((error: unknown) => {
        // Whether it is up, and why not, is what the status says better than this answer.
        if (wait !== undefined && error instanceof ControlError && error.code === 'failed') return;
        throw error;
      });
      await answered(answer, (wait?.timeout ?? 0) + timeout);
    },
    down: async (name) => void (await answered(found(name, client.down({ name })))),
    explain: (name) => answered(found(name, client.explain({ name }))),
    doctor: (name, { passive, probe }) => {
      const wish = { passive, ...(probe === undefined ? {} : { probe }) };
      return answered(
        name === undefined ? client.doctor(wish) : found(name, client.doctor({ name, ...wish })),
      );
    },
    reload: (dryRun) => answered(client.reload({ dry_run: dryRun })),
    capture: ({ name, seconds, bytes, snap, inner, dropped, keys }, part) => {
      const asked = client.capture({ name, seconds, bytes, snap, inner, dropped, keys }, part);
      return answered(found(name, asked), seconds + timeout);
    },
    stopCapture: async () => (await answered(client.capture_stop())).stopped,
    watch: async (changed) => void (await answered(client.watch({}, changed))),
    events: async (wish, take) => void (await answered(client.events(wish, take))),
    closed: client.closed,
    close: () => client.close(),
  };
}

/** Talks to the daemon at a control socket and hangs up, whatever happens. */
export async function withControl<T>(
  target: ControlTarget,
  talk: (control: Control) => Promise<T>,
): Promise<T> {
  const control = await openControl(target);
  try {
    return await talk(control);
  } finally {
    control.close();
  }
}

/** The connection of that name, or of that id. @throws CliError naming the nearest configured one when there is none */
export function connectionNamed(document: StatusDocument, name: string): ConnectionStatusDocument {
  const found =
    document.connections.find(({ name: known }) => known === name) ??
    document.connections.find(({ id }) => id === name);
  if (found !== undefined) return found;
  const known = document.connections.map((connection) => connection.name);
  const hint = suggestion(name, known) || `; configured are: ${known.join(', ') || 'none'}`;
  throw new CliError(`gateway "${document.gateway.name}" has no connection "${name}"${hint}`);
}

/** @throws CliError when the answer is one in the negative, or does not come in time */
export async function inTime<T>(answer: Promise<T>, seconds: number, path: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new UnreachableError(silence(path, seconds))), seconds * 1000);
  });
  try {
    return await Promise.race([answer, late]);
  } catch (error) {
    throw error instanceof CliError ? error : new CliError(messageOf(error));
  } finally {
    clearTimeout(timer);
  }
}

function silence(path: string, seconds: number): string {
  return `the daemon does not answer: nothing came from ${path} within ${seconds} s; check whether its process is suspended, or wait longer with --timeout`;
}

/** Errors of `connect` that mean that no daemon answers there, and not that this command asks in the wrong way. */
const ABSENT = ['ENOENT', 'ECONNREFUSED', 'EAGAIN'];

function refused(path: string, error: unknown): CliError {
  const { code = '' } = error as NodeJS.ErrnoException;
  const text = refusal(path, error, code);
  return ABSENT.includes(code) ? new UnreachableError(text) : new CliError(text);
}

function refusal(path: string, error: unknown, code: string): string {
  switch (code) {
    case 'ENOENT':
      return `no daemon: there is no control socket ${path}; start one with culvert run --config FILE, or name its socket with --control`;
    case 'ECONNREFUSED':
      return `no daemon listens at ${path} any more; start it again with culvert run --config FILE`;
    case 'EACCES':
    case 'EPERM':
      return `the control socket ${path} may not be used by this user; run the command as the user of the daemon`;
    // Its queue of connections is full: they are not being accepted.
    case 'EAGAIN':
      return `the daemon does not answer: it accepts no connection at ${path}; check whether its process is suspended`;
    case 'ENOTSOCK':
      return `${path} is not a control socket; name the one of gateway.control with --control`;
    default:
      return `the daemon at ${path} cannot be reached: ${messageOf(error)}`;
  }
}
