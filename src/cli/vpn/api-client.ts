import { type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http';
import { request as requestHttps } from 'node:https';
import type { ServerReload } from '../../api/context.js';
import type { LoginLinkAnswer } from '../../api/schemas/console-answers.js';
import type { Backup } from '../../store/backup.js';
import { CliError, messageOf } from '../errors.js';
import { readCertificates, tlsTrouble } from './tls-trouble.js';

/** An object of the API, read by the field names of the contract. */
export type ApiObject = { readonly [field: string]: unknown } & {
  readonly id: string;
  readonly name: string;
};

/** The server of the API, and how to authenticate there. */
export interface ApiTarget {
  /** `unix:PATH`, or the URL of the server without `/v1`. */
  readonly endpoint: string;
  readonly token?: string;
  /** Exchanged for a token before the first request. */
  readonly apiKey?: string;
  /** Longest wait for each answer. */
  readonly seconds: number;
  /** Certificates to trust, PEM, beside those of the system. */
  readonly caFile?: string;
}

/** A successful answer; `etag` is what a later `If-Match` compares. */
export interface ApiReply {
  readonly status: number;
  readonly body: unknown;
  readonly etag: string | undefined;
}

/** Every field of the contract is known at this version. */
export const API_VERSION = '2026-06-02';
/** Objects a page; the API gives no more. */
const PAGE = 100;
/** Seconds that what concerns many objects is given at least: its work grows with their number. */
const WHOLE_SECONDS = 60;

/** The body of `POST /culvert/v1/restore`. */
export interface RestoreRequest {
  readonly backup: Backup;
  readonly replace: boolean;
  readonly dry_run: boolean;
}

/** What a restore did, or would do in a dry run. */
export interface RestoreReport {
  readonly dry_run: boolean;
  /** Numbers of objects. */
  readonly made: number;
  readonly changed: number;
  readonly deleted: number;
  readonly unchanged: number;
  /** Down until they are given one. */
  readonly connections_without_key: readonly {
    readonly id: string;
    readonly name: string;
    readonly gateway: { readonly id: string; readonly name: string };
  }[];
}

/** One sentence of a refusal, and what it is about. */
export interface Fault {
  readonly code?: string;
  readonly message?: string;
  readonly target?: { readonly name?: string };
}

/** The server has refused a request: `message` is all that it says. */
export class RefusedError extends CliError {
  readonly faults: readonly Fault[];

  constructor(reply: ApiReply) {
    super(refusal(reply));
    this.faults = faultsOf(reply);
  }
}

/** No server answers at the endpoint: there may be one in a moment. */
export class UnreachableError extends CliError {}

/** Speaks to the API over TCP or a Unix socket. Errors are CliErrors in the words of the server. */
export class ApiClient {
  readonly #target: ApiTarget;
  #token: Promise<string | undefined> | undefined;

  constructor(target: ApiTarget) {
    this.#target = target;
  }

  /** One object, or whatever else is at the path. @throws CliError in the words of the server */
  async get(path: string): Promise<ApiObject> {
    return (await this.call('GET', path)).body as ApiObject;
  }

  /** All objects of a list, page by page. `key` names the list in the answer. */
  async list(path: string, key: string, query: Readonly<Record<string, string>> = {}): Promise<ApiObject[]> {
    const items: ApiObject[] = [];
    let start: string | undefined;
    do {
      const page = { ...query, limit: String(PAGE), ...(start === undefined ? {} : { start }) };
      const { body } = await this.call('GET', path, undefined, page);
      const { next, [key]: list } = body as { readonly [field: string]: unknown };
      if (!Array.isArray(list)) throw new CliError(`the server's answer has no "${key}": is it the VPN API?`);
      items.push(...(list as ApiObject[]));
      const href = (next as { readonly href?: string } | undefined)?.href;
      start =
        href === undefined
          ? undefined
          : (new URL(href, 'http://server').searchParams.get('start') ?? undefined);
    } while (start !== undefined);
    return items;
  }

  /** Makes several changes at once, or none. @throws RefusedError, or CliError when there is no such server */
  async transact(steps: readonly object[], dryRun: boolean): Promise<void> {
    const type = { 'content-type': 'application/json' };
    const body = { dry_run: dryRun, steps };
    await this.#request('POST', '/culvert/v1/transactions', body, type, this.#wholeSeconds);
  }

  /** Makes the server read its file again. @throws RefusedError, or CliError when the server cannot be reached */
  async reload(dryRun: boolean): Promise<ServerReload> {
    const type = { 'content-type': 'application/json' };
    return (await this.#request('POST', '/culvert/v1/reload', { dry_run: dryRun }, type))
      .body as ServerReload;
  }

  /** A link by which a browser logs in, once. @throws RefusedError, or CliError when the server cannot be reached */
  async loginLink(role: 'viewer' | 'editor'): Promise<LoginLinkAnswer> {
    const type = { 'content-type': 'application/json' };
    return (await this.#request('POST', '/culvert/v1/console/login_links', { role }, type))
      .body as LoginLinkAnswer;
  }

  /** Every object there is. @throws RefusedError, or CliError when the server cannot be reached */
  async backup(withKeys: boolean): Promise<Backup> {
    const keys = withKeys ? 'include' : 'omit';
    const { body } = await this.#request(
      'GET',
      `/culvert/v1/backup?keys=${keys}`,
      undefined,
      {},
      this.#wholeSeconds,
    );
    return body as Backup;
  }

  /** Makes the objects of a backup again, all or none. @throws RefusedError, or CliError */
  async restore(body: RestoreRequest): Promise<RestoreReport> {
    const type = { 'content-type': 'application/json' };
    const reply = await this.#request('POST', '/culvert/v1/restore', body, type, this.#wholeSeconds);
    return reply.body as RestoreReport;
  }

  /**
   * Opens an answer that goes on until one of both ends it. Resolves when its head is there.
   * @throws RefusedError, or CliError when the server cannot be reached
   */
  async stream(path: string, headers: Readonly<Record<string, string>>): Promise<IncomingMessage> {
    const { endpoint, seconds } = this.#target;
    const given = { accept: 'text/event-stream', ...(await this.#authorization()), ...headers };
    const target = this.#options(path, '', { method: 'GET', headers: given });
    const send = endpoint.startsWith('https:') ? requestHttps : requestHttp;
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const request = send(target, (got) => {
        clearTimeout(timer);
        resolve(got);
      });
      const timer = setTimeout(() => request.destroy(silence(endpoint, seconds, 'GET')), seconds * 1000);
      request.once('error', (error) => {
        clearTimeout(timer);
        reject(error instanceof CliError ? error : unreachable(endpoint, error));
      });
      request.end();
    });
    if (answer.statusCode === 200) return answer;
    throw new RefusedError(await readReply(answer));
  }

  /** Sends one request. @throws RefusedError, or CliError when the server cannot be reached */
  async call(
    method: 'GET' | 'POST' | 'PATCH' | 'PUT' | 'DELETE',
    path: string,
    body?: object,
    query: Readonly<Record<string, string>> = {},
    headers: Readonly<Record<string, string>> = {},
  ): Promise<ApiReply> {
    const search = new URLSearchParams({ version: API_VERSION, generation: '2', ...query });
    const type = method === 'PATCH' ? 'application/merge-patch+json' : 'application/json';
    return this.#request(method, `/v1${path}?${search}`, body, {
      ...(body === undefined ? {} : { 'content-type': type }),
      ...headers,
    });
  }

  get #wholeSeconds(): number {
    return Math.max(this.#target.seconds, WHOLE_SECONDS);
  }

  async #request(
    method: string,
    target: string,
    body: object | undefined,
    headers: Readonly<Record<string, string>>,
    seconds = this.#target.seconds,
  ): Promise<ApiReply> {
    const text = body === undefined ? '' : JSON.stringify(body);
    const given = { accept: 'application/json', ...(await this.#authorization()), ...headers };
    const options = { method, headers: given };
    const reply = await this.#send(target, text, options, seconds);
    if (reply.status >= 400) throw new RefusedError(reply);
    return reply;
  }

  async #authorization(): Promise<Readonly<Record<string, string>>> {
    this.#token ??= this.#login();
    const token = await this.#token;
    return token === undefined ? {} : { authorization: `Bearer ${token}` };
  }

  async #login(): Promise<string | undefined> {
    const { token, apiKey } = this.#target;
    if (token !== undefined || apiKey === undefined) return token;
    const form = new URLSearchParams({
      grant_type: 'urn:ibm:params:oauth:grant-type:apikey',
      apikey: apiKey,
    });
    const reply = await this.#send('/identity/token', form.toString(), {
      method: 'POST',
      headers: { 'content-type': 'application/x-www-form-urlencoded' },
    });
    if (reply.status !== 200) throw new CliError(`the API key was not accepted: ${refusal(reply)}`);
    return (reply.body as { readonly access_token: string }).access_token;
  }

  #send(
    path: string,
    body: string,
    options: RequestOptions,
    seconds = this.#target.seconds,
  ): Promise<ApiReply> {
    const { endpoint } = this.#target;
    const target = this.#options(path, body, options);
    const send = endpoint.startsWith('https:') ? requestHttps : requestHttp;
    return new Promise((resolve, reject) => {
      const failed = (error: unknown): void => {
        clearTimeout(timer);
        reject(error instanceof CliError ? error : unreachable(endpoint, error));
      };
      const request = send(target, (answer) => {
        readReply(answer).then((reply) => {
          clearTimeout(timer);
          resolve(reply);
        }, failed);
      });
      // The whole answer counts: a server that drips would hold us as well as one that is silent.
      const timer = setTimeout(
        () => request.destroy(silence(endpoint, seconds, options.method)),
        seconds * 1000,
      );
      request.once('error', failed);
      request.end(body);
    });
  }

  #options(path: string, body: string, options: RequestOptions): RequestOptions {
    const { endpoint, caFile } = this.#target;
    const headers = { ...options.headers, 'content-length': String(Buffer.byteLength(body)) };
    if (endpoint.startsWith('unix:')) {
      return { ...options, headers: { host: 'localhost', ...headers }, socketPath: endpoint.slice(5), path };
    }
    const url = new URL(endpoint);
    return {
      ...options,
      headers,
      host: url.hostname.replace(/^\[(.*)\]$/, '$1'),
      port: url.port || (url.protocol === 'https:' ? 443 : 80),
      path,
      ...(caFile === undefined ? {} : { ca: readCertificates(caFile) }),
    };
  }
}

/** The endpoint as it is used. A path after the server's name, such as `/v1`, is dropped. @throws CliError */
export function readEndpoint(text: string): string {
  if (/^unix:.+/.test(text)) return text;
  if (text.startsWith('/')) return `unix:${text}`;
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url !== undefined && /^https?:$/.test(url.protocol)) return url.origin;
  throw new CliError(`"${text}" is not an endpoint; write http://HOST:PORT, https://HOST or unix:PATH`, 2);
}

async function readReply(answer: IncomingMessage): Promise<ApiReply> {
  let text = '';
  for await (const chunk of answer.setEncoding('utf8')) text += chunk;
  const { etag } = answer.headers;
  const status = answer.statusCode ?? 0;
  if (text === '') return { status, body: undefined, etag };
  try {
    return { status, body: JSON.parse(text) as unknown, etag };
  } catch {
    throw new Error('the answer is not JSON: is this the address of the VPN API?');
  }
}

/** What the server says in its error container, one sentence for each fault. */
function refusal(reply: ApiReply): string {
  const { status } = reply;
  const messages = faultsOf(reply).flatMap(({ message }) => message ?? []);
  if (status === 401) {
    messages.push('name a token with --token-file, CULVERT_TOKEN_FILE or CULVERT_API_KEY');
  }
  return messages.length === 0 ? `the server answered ${status}` : messages.join('; ');
}

function faultsOf({ body }: ApiReply): readonly Fault[] {
  return ((body ?? {}) as { readonly errors?: readonly Fault[] }).errors ?? [];
}

function silence(endpoint: string, seconds: number, method: string | undefined): CliError {
  const done = method === 'GET' ? '' : ', and check first whether the change was made';
  return new CliError(
    `the server does not answer: no complete answer came from ${endpoint} within ${seconds} s; wait longer with --timeout${done}`,
  );
}

function unreachable(endpoint: string, error: unknown): CliError {
  const { code } = error as NodeJS.ErrnoException;
  const path = endpoint.startsWith('unix:') ? endpoint.slice(5) : undefined;
  if (path !== undefined && code === 'ENOENT') {
    return new UnreachableError(
      `no server: there is no socket ${path}; start one with culvert serve --config FILE, or name its endpoint with --endpoint or CULVERT_ENDPOINT`,
    );
  }
  if (path !== undefined && (code === 'EACCES' || code === 'EPERM')) {
    return new CliError(`the socket ${path} may not be used by this user; use the server's URL with a token`);
  }
  if (code === 'ECONNREFUSED') {
    return new UnreachableError(`no server listens at ${endpoint}; start it with culvert serve`);
  }
  return new CliError(
    tlsTrouble(endpoint, error) ?? `the server at ${endpoint} cannot be reached: ${messageOf(error)}`,
  );
}
