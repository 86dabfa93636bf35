import type { Explanation } from '../../connection/explain.js';
import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import type { KeyLine } from '../../telemetry/capture/wireshark-keys.js';
import type { EventDocument } from '../../telemetry/events/event-document.js';
import type { EventFilter } from '../../telemetry/events/event-filter.js';
import type { EventHub, EventStart } from '../../telemetry/events/event-hub.js';
import { EVENT_KINDS } from '../../telemetry/events/kinds.js';
import type { HistoryDocument } from '../../telemetry/history.js';
import type { GatewaySnapshot } from '../../telemetry/metrics/samples.js';
import { err, ok, type Result } from '../../util/result.js';
import type { CaptureReport } from '../capture/request.js';
import type { DoctorReport } from '../doctor/report.js';
import type { ReloadReport } from '../gateway/reload.js';
import {
  ADDRESS,
  ANY_CONNECTION,
  CONNECTION,
  captureNumber,
  FLAG,
  FROM,
  LEVEL,
  type Param,
  STEP,
  TERM,
  TIME,
  textList,
  WAIT_SECONDS,
} from './params.js';
import { ControlError } from './protocol.js';

/** The parameters of a request as they came. */
export type RawParams = Readonly<Record<string, unknown>>;

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

/**
 * What a client is sent besides the answer: `progress` and `capture` before it, `status` from then on, `event` before
 * and after.
 */
interface Notices {
  readonly none: never;
  readonly progress: string;
  readonly capture: CaptureNotice;
  readonly status: StatusDocument;
  readonly event: EventDocument;
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
  events: method<EventsAnswer>()(
    'gateway',
    {
      from: FROM,
      kinds: textList('a list of kinds', EVENT_KINDS),
      connections: textList('a list of names or ids'),
      level: LEVEL,
      follow: FLAG,
    },
    'sends events, see [events.md](events.md), and then answers; with `follow` it answers first and goes on',
    'event',
  ),
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
  ping: method<{ readonly pong: true }>()('process', {}, 'answers at once: the process is alive'),
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
  prepare: documentMethod<{ readonly prepared: true }>()(
    'process',
    'for a supervisor: as `configure`, but only makes ready for it; nothing is sent, received or bound',
  ),
  take: method<ConfigureAnswer>()(
    'process',
    { term: TERM },
    'for a supervisor: starts the gateway as it was prepared; the supervisor sees to it that no other process of it runs',
  ),
  release: method<{ readonly released: true }>()(
    'process',
    {},
    'for a supervisor: the process ends at once for another one, which is prepared',
  ),
  stop: method<{ readonly stopping: true }>()(
    'gateway',
    {},
    'shuts the daemon down cleanly, after the answer',
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
  /**
   * Sends events at the pace at which the client reads. Resolves when all that there are have been sent, at once with
   * `follow`.
   * @throws ControlError refused when the client is sent events already
   */
  stream(hub: EventHub, events: EventsWish): Promise<void>;
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
  /** Another process speaks for the gateway, and this one is ready to. */
  readonly standby?: boolean;
}

/** Which events a client wants. */
export interface EventsWish {
  readonly filter: EventFilter;
  readonly from: EventStart;
  readonly follow: boolean;
}

/** What a client learns that asked for events. */
export interface EventsAnswer {
  /** The id of the newest event. */
  readonly last: string;
}

/** What a supervisor learns of the process that it attaches to. */
export interface AttachAnswer {
  readonly pid: number;
  /** Of the program: another one's desired state may have another form. */
  readonly version: string;
  /** Whether it was given a desired state already. */
  readonly configured: boolean;
  /** The id of the newest event when the last supervisor left; absent when there was none. */
  readonly reported?: string;
  /** The term in which it took over; absent where it did not. */
  readonly term?: number;
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
    return { id: null, request: badRequest('the request is not JSON: send one JSON object per line') };
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
