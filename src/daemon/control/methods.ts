import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import { CAPTURE_LIMITS } from '../../telemetry/capture/limits.js';
import type { KeyLine } from '../../telemetry/capture/wireshark-keys.js';
import { type HistoryDocument, STEPS } from '../../telemetry/history.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { parseDateTime } from '../../telemetry/rfc3339.js';
import type { Step } from '../../telemetry/series.js';
import { parseIp } from '../../util/ip.js';
import { err, ok, type Result } from '../../util/result.js';
import type { CaptureReport } from '../capture/request.js';
import type { DoctorReport } from '../doctor/report.js';
import type { ReloadReport } from '../gateway/reload.js';
import { ControlError } from './protocol.js';

/** The parameters of a request as they came. */
export type RawParams = Readonly<Record<string, unknown>>;

/** One parameter, of which a handler gets a `T`. */
interface Param<T, Optional extends boolean> {
  /** What it is, for documentation. */
  readonly is: string;
  /** Whether a client may leave it out. */
  readonly optional: Optional;
  /** @throws ControlError bad_request, naming the parameter */
  read(value: unknown, name: string): T;
}

const CONNECTION: Param<string, false> = {
  is: 'name of a connection',
  optional: false,
  read(value, name) {
    if (typeof value === 'string' && value !== '') return value;
    throw new ControlError('bad_request', `"${name}" is missing: name a connection`);
  },
};

const ANY_CONNECTION: Param<string | undefined, true> = {
  is: CONNECTION.is,
  optional: true,
  read: (value, name) => (value === undefined ? undefined : CONNECTION.read(value, name)),
};

const FLAG: Param<boolean, true> = {
  is: '`true` or `false`',
  optional: true,
  read(value, name) {
    const flag = value ?? false;
    if (typeof flag === 'boolean') return flag;
    throw new ControlError('bad_request', `"${name}" is not true or false`);
  },
};

const ADDRESS: Param<string | undefined, true> = {
  is: 'IP address',
  optional: true,
  read(value, name) {
    if (value === undefined || (typeof value === 'string' && parseIp(value) !== undefined)) return value;
    throw new ControlError('bad_request', `"${name}" is not an IP address`);
  },
};

/** A whole number within the bounds of captures. */
function captureNumber(bounds: keyof typeof CAPTURE_LIMITS, what: string): Param<number, true> {
  const { usual, least, most } = CAPTURE_LIMITS[bounds];
  return {
    is: `${what}, ${usual} when left out, ${least} to ${most}`,
    optional: true,
    read(value, name) {
      const number = value ?? usual;
      if (typeof number === 'number' && Number.isInteger(number) && number >= least && number <= most)
        return number;
      throw new ControlError('bad_request', `"${name}" is not a whole number from ${least} to ${most}`);
    },
  };
}

/** How long a client may wait, in seconds, and how long it does unless it says so. */
const MAX_WAIT_SECONDS = 3600;
const DEFAULT_WAIT_SECONDS = 60;

const WAIT_SECONDS: Param<number, true> = {
  is: `seconds, ${DEFAULT_WAIT_SECONDS} when left out, at most ${MAX_WAIT_SECONDS}`,
  optional: true,
  read(value, name) {
    const seconds = value ?? DEFAULT_WAIT_SECONDS;
    if (typeof seconds === 'number' && seconds > 0 && seconds <= MAX_WAIT_SECONDS) return seconds;
    throw new ControlError('bad_request', `"${name}" is not a number of seconds up to ${MAX_WAIT_SECONDS}`);
  },
};

const STEP: Param<Step | undefined, true> = {
  is: `seconds: ${STEPS.join(', ')}; left out, the finest that reaches back to \`from\``,
  optional: true,
  read(value, name) {
    const step = STEPS.find((one) => one === value);
    if (value === undefined || step !== undefined) return step;
    throw new ControlError('bad_request', `"${name}" is none of ${STEPS.join(', ')} (seconds)`);
  },
};

const TIME: Param<string | undefined, true> = {
  is: 'RFC 3339; left out, as far back as they are kept',
  optional: true,
  read(value, name) {
    if (value === undefined) return undefined;
    if (typeof value === 'string' && parseDateTime(value) !== undefined) return value;
    throw new ControlError('bad_request', `"${name}" is no time: write it as 2026-11-30T12:00:00Z`);
  },
};

type Params = Readonly<Record<string, Param<unknown, boolean>>>;
/** What a handler gets for these parameters, defaults filled in. */
type Read<P extends Params> = { readonly [K in keyof P]: ReturnType<P[K]['read']> };
type Names<P extends Params, Optional extends boolean> = {
  [K in keyof P]: P[K]['optional'] extends Optional ? K : never;
}[keyof P];
/** What a client gives for them. */
type Given<P extends Params> = Flat<
  { readonly [K in Names<P, false>]: ReturnType<P[K]['read']> } & {
    readonly [K in Names<P, true>]?: Exclude<ReturnType<P[K]['read']>, undefined>;
  }
>;
type Flat<T> = { [K in keyof T]: T[K] };

/**
 * Who answers: `gateway`, a gateway that runs; `process`, its process from the moment it listens, configured or not.
 */
type By = 'gateway' | 'process';

/** What a client is sent besides the answer: `progress` and `capture` before it, `status` from then on. */
interface Notices {
  readonly none: never;
  readonly progress: string;
  readonly capture: CaptureNotice;
  readonly status: StatusDocument;
}

interface Method<Handled, Given, Answer, N extends keyof Notices, B extends By> {
  readonly by: B;
  readonly notices: N;
  /** What it does, for documentation. */
  readonly does: string;
  /** Its parameters with what they are; undefined for one that takes a whole document. */
  readonly params: Params | undefined;
  /** @throws ControlError bad_request */
  read(params: RawParams): Handled;
  /** Never there: it holds two types. */
  readonly types?: { readonly given: Given; readonly answer: Answer };
}

/** A method that answers with an `Answer`, by its parameters one by one. */
function method<Answer>() {
  return <P extends Params, B extends By, N extends keyof Notices = 'none'>(
    by: B,
    params: P,
    does: string,
    notices: N = 'none' as N,
  ): Method<Read<P>, Given<P>, Answer, N, B> => ({
    ...{ by, notices, does, params },
    read: (raw) =>
      Object.fromEntries(
        Object.entries(params).map(([name, param]) => [name, param.read(raw[name], name)]),
      ) as Read<P>,
  });
}

/** A method whose parameters are one document, which its handler checks. */
function documentMethod<Answer>() {
  return <B extends By>(by: B, does: string): Method<RawParams, object, Answer, 'none', B> => ({
    ...{ by, notices: 'none', does, params: undefined },
    read: (raw) => raw,
  });
}

/** All there is to ask a daemon for. Handlers, dispatch, client and documentation are made of this table. */
export const METHODS = {
  status: method<StatusDocument>()(
    'gateway',
    { name: ANY_CONNECTION },
    'the status document, with `name` of that connection only',
  ),
  up: method<ConnectionStatusDocument>()(
    'gateway',
    { name: CONNECTION, wait: FLAG, timeout: WAIT_SECONDS },
    'initiates; with `wait` answers when the connection is up, has failed, or `timeout` is over',
    'progress',
  ),
  down: method<ConnectionStatusDocument>()(
    'gateway',
    { name: CONNECTION },
    'deletes the SAs, and holds the connection down until `up`',
  ),
  watch: method<StatusDocument>()('gateway', {}, 'the status document, now and after every change', 'status'),
  explain: method<Explanation>()(
    'gateway',
    { name: CONNECTION },
    'why a connection is as it is, with what happened lately',
  ),
  history: method<HistoryDocument>()(
    'gateway',
    { name: CONNECTION, step: STEP, from: TIME },
    'state, throughput and round-trip time of a connection over the last minutes, hours or days',
  ),
  metrics: method<GatewaySnapshot>()(
    'gateway',
    {},
    'all metrics by name (docs/metrics.md); series at 0 are left out where the catalogue has them',
  ),
  doctor: method<DoctorReport>()(
    'gateway',
    { name: ANY_CONNECTION, passive: FLAG, probe: ADDRESS },
    'looks for what is in the way of the tunnels: in the host, on the path, in the connections; with `passive` sends nothing, `probe` answers a ping behind the peer',
  ),
  capture: method<CaptureReport>()(
    'gateway',
    {
      name: CONNECTION,
      seconds: captureNumber('seconds', 'seconds'),
      bytes: captureNumber('bytes', 'octets of the file'),
      snap: captureNumber('snap', 'octets that are kept of a packet'),
      inner: FLAG,
      dropped: FLAG,
      keys: FLAG,
    },
    'sends a pcapng file of the packets of a connection as they pass, and answers when it ends; with `inner` also those inside the tunnel, with `dropped` also those that are dropped, with `keys` what Wireshark decrypts them by',
    'capture',
  ),
  capture_stop: method<{ readonly stopped: boolean }>()(
    'gateway',
    {},
    'ends the capture that runs, whoever asked for it',
  ),
  reload: method<ReloadReport>()(
    'gateway',
    { dry_run: FLAG },
    'reads the configuration file again and applies the difference; with `dry_run` only reports it',
  ),
  ping: method<{ readonly pong: true }>()('process', {}, 'answers at once: the process lives'),
  names: method<NamesAnswer>()(
    'process',
    {},
    'what people call a supervised gateway and its connections, by id',
  ),
  attach: method<AttachAnswer>()(
    'process',
    {},
    'for a supervisor: the gateway ends by itself when it is left alone too long',
  ),
  configure: documentMethod<ConfigureAnswer>()(
    'process',
    'for a supervisor: the whole desired state; starts the gateway, or changes what differs',
  ),
  stop: method<{ readonly stopping: true }>()(
    'gateway',
    {},
    'ends the daemon in good order, after the answer',
  ),
};

/** The name of a method of the control socket. */
export type ControlMethod = keyof typeof METHODS;
type TypesOf<M extends ControlMethod> = NonNullable<(typeof METHODS)[M]['types']>;
/** What a handler gets. */
export type ParamsOf<M extends ControlMethod> = ReturnType<(typeof METHODS)[M]['read']>;
/** What a client gives. */
export type GivenTo<M extends ControlMethod> = TypesOf<M>['given'];
/** What the method returns. */
export type AnswerOf<M extends ControlMethod> = TypesOf<M>['answer'];
/** What the method sends before its answer, any number of times; `never` for most. */
export type NoticeOf<M extends ControlMethod> = Notices[(typeof METHODS)[M]['notices']];

/** A request under way, as its handler sees it. */
export interface Call {
  /** Aborted when the client is gone. */
  readonly gone: AbortSignal;
  /** Aborted when the client is gone or this much time is over. */
  within(seconds: number): AbortSignal;
  progress(line: string): void;
  /** Sends a part of a capture. */
  capture(notice: CaptureNotice): void;
  /** Whether the client has read most of what it was sent. */
  ready(): boolean;
  /** User and process at the other end, where they are known. */
  readonly client: { readonly uid: number | undefined; readonly pid: number | undefined };
  /**
   * From now on the client is sent `status` a moment after each change, as long as it is there. A client that follows
   * already is not subscribed twice.
   */
  follow(subscribe: (changed: () => void) => () => void, status: () => StatusDocument): void;
  /** Runs `step` when the answer has been written. */
  afterwards(step: () => void): void;
}

type Handlers<M extends ControlMethod> = {
  [K in M]: (params: ParamsOf<K>, call: Call) => AnswerOf<K> | Promise<AnswerOf<K>>;
};
type MethodsBy<B extends By> = {
  [M in ControlMethod]: (typeof METHODS)[M]['by'] extends B ? M : never;
}[ControlMethod];

/** What a running gateway answers. Methods throw `ControlError` for an answer in the negative. */
export type ControlHandler = Handlers<MethodsBy<'gateway'>>;
/** What its process answers, before the gateway runs, too. */
export type ProcessHandler = Handlers<MethodsBy<'process'>>;

/** The names that people know the gateway and its connections by. */
export interface NamesAnswer {
  /** Null before it is configured, and for a daemon that has its names from a file. */
  readonly gateway: string | null;
  /** By id. */
  readonly connections: Readonly<Record<string, string>>;
}

/** What a supervisor learns of the process that it attaches to. */
export interface AttachAnswer {
  readonly pid: number;
  /** Of the program: another one's desired state may have another form. */
  readonly version: string;
  /** Whether it was given a desired state already. */
  readonly configured: boolean;
}

/** What became of a desired state. */
export interface ConfigureAnswer {
  /** False when the change is not possible while it runs: the supervisor starts a new process. */
  readonly ok: boolean;
  /** What was done, none when it was started. */
  readonly report?: ReloadReport;
}

/** A part of a capture: octets of its file in base64, lines of key tables, or both. */
export interface CaptureNotice {
  readonly file?: string;
  readonly keys?: readonly KeyLine[];
}

/** A request whose method is known and whose parameters have not been checked yet. */
export interface ControlRequest {
  readonly method: ControlMethod;
  readonly params: RawParams;
}

/**
 * The request in one line, or the error `bad_request` or `unknown_method`; and the id to answer with, as far as it can
 * be read, so that even a bad request gets its answer, else null.
 */
export function readRequest(line: string): {
  readonly id: string | number | null;
  readonly request: Result<ControlRequest, ControlError>;
} {
  let value: unknown;
  try {
    value = JSON.parse(line);
  } catch {
    return { id: null, request: badRequest('the request is not JSON: send one JSON object a line') };
  }
  if (!isRecord(value)) return { id: null, request: badRequest('the request is not a JSON object') };
  const { id, method, params = {} } = value;
  return {
    id: typeof id === 'string' || typeof id === 'number' ? id : null,
    request: requestOf(method, params),
  };
}

function requestOf(method: unknown, params: unknown): Result<ControlRequest, ControlError> {
  if (typeof method !== 'string') return badRequest('the request has no "method"');
  if (!isMethod(method)) {
    const known = Object.keys(METHODS).join(', ');
    return err(new ControlError('unknown_method', `there is no method "${method}": ${known} are there`));
  }
  if (!isRecord(params)) return badRequest('"params" is not an object');
  return ok({ method, params });
}

function isMethod(method: string): method is ControlMethod {
  return Object.hasOwn(METHODS, method);
}

function isRecord(value: unknown): value is RawParams {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

function badRequest(message: string): Result<never, ControlError> {
  return err(new ControlError('bad_request', message));
}
