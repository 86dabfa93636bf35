import { setImmediate as turn } from 'node:timers/promises';
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js';
import { pino } from 'pino';
import type { Test } from 'tap';
import type { ApiAuth } from '../../src/api/options.js';
import { ApiServer } from '../../src/api/server.js';
import { readSite, type Site } from '../../src/store/site.js';
import type { Store } from '../../src/store/store.js';
import { FakeRunner } from './fake-runner.js';
import { openMemoryStore } from './memory-store.js';

export const NEW = '2026-03-24';
export const FLAT = '2024-04-29';
export const EARLY = '2019-01-01';
/** Where the clock of a lab stands when it is not moved. */
export const TODAY = '2026-11-22T10:00:00.000Z';

export interface LabAnswer {
  readonly status: number;
  // biome-ignore lint/suspicious/noExplicitAny: tests reach into answers of every form
  readonly body: any;
  readonly headers: Readonly<Record<string, string | number | string[] | undefined>>;
}

export interface LabRequest {
  /** `/v1` when left out. */
  readonly prefix?: string;
  readonly version?: string;
  readonly body?: unknown;
  /** Sent as it is, in place of `body`. */
  readonly raw?: string | Buffer;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface LabOptions {
  readonly site?: Record<string, unknown>;
  readonly auth?: ApiAuth;
  readonly store?: Store;
  readonly runner?: FakeRunner;
  readonly trustProxy?: readonly string[];
  /** Folder of a built console. */
  readonly console?: string;
}

export const PSK = 'lkj14b1oi0alcniejkso';
export const IKE = {
  ike_version: 2,
  authentication_algorithm: 'sha256',
  encryption_algorithm: 'aes256',
  dh_group: 14,
};
export const IPSEC = { authentication_algorithm: 'sha256', encryption_algorithm: 'aes256', pfs: 'disabled' };

const manyAddresses = (network: string, count: number): string[] =>
  Array.from({ length: count }, (_, index) => `${network}.${index + 1}`);

export const SITE = {
  region: 'us-south',
  account: 'b668aa2600ac21c890aef16a6210b2fd',
  resource_groups: [
    { id: 'rg1', name: 'default' },
    { id: 'fee82deba12e4c0fb69c3b09d1f12345', name: 'other' },
  ],
  vpcs: [
    { id: 'r006-vpc-one', name: 'vpc-one' },
    { id: 'r006-vpc-two', name: 'vpc-two', namespace: 'two' },
  ],
  subnets: [
    {
      id: '0717-sub',
      name: 'subnet-1',
      vpc: 'vpc-one',
      zone: 'us-south-1',
      cidr: '192.168.100.0/24',
      public_addresses: manyAddresses('169.61.161', 8),
    },
    {
      id: '0717-sub2',
      name: 'subnet-2',
      vpc: 'vpc-two',
      zone: 'us-south-2',
      cidr: '192.168.0.0/24',
      public_addresses: manyAddresses('169.61.162', 8),
    },
  ],
};

interface OpenApiDocument {
  readonly paths: Readonly<
    Record<
      string,
      Record<string, { readonly responses: Record<number, { readonly content?: Record<string, object> }> }>
    >
  >;
}

/** An API server over a store in memory and a fake runner. Every answer is held against the OpenAPI document. */
export class ApiLab {
  readonly server: ApiServer;
  readonly store: Store;
  readonly runner: FakeRunner;
  readonly site: Site;
  readonly log: string[];
  now: Date;
  readonly #document: OpenApiDocument;
  #validators = new Map<string, ValidateFunction>();
  readonly #ajv = new Ajv2020({ strict: false, allErrors: true });

  private constructor(
    server: ApiServer,
    store: Store,
    runner: FakeRunner,
    site: Site,
    log: string[],
    clock: { now: Date },
  ) {
    this.server = server;
    this.store = store;
    this.runner = runner;
    this.site = site;
    this.log = log;
    this.now = clock.now;
    Object.defineProperty(this, 'now', { get: () => clock.now, set: (now: Date) => (clock.now = now) });
    this.#document = server.app.swagger() as unknown as OpenApiDocument;
    this.#ajv.addSchema({ ...this.#document, $id: 'openapi' });
  }

  static async open(t: Pick<Test, 'teardown'>, options: LabOptions = {}): Promise<ApiLab> {
    const site = readSite({ ...SITE, ...options.site });
    if (!site.ok) throw new Error(JSON.stringify(site.error));
    const store = options.store ?? openMemoryStore();
    const runner = options.runner ?? new FakeRunner();
    const log: string[] = [];
    const clock = { now: new Date(TODAY) };
    const server = await ApiServer.create({
      store,
      runner,
      site: site.value,
      logger: pino({ level: 'info' }, { write: (line: string) => void log.push(line) }),
      auth: options.auth ?? { mode: 'none' },
      ...(options.trustProxy === undefined ? {} : { trustProxy: options.trustProxy }),
      ...(options.console === undefined ? {} : { console: options.console }),
      now: () => clock.now,
    });
    t.teardown(async () => {
      await server.stop();
      await store.close();
    });
    return new ApiLab(server, store, runner, site.value, log, clock);
  }

  /** `target` is a path behind the prefix, with a query or without one. */
  async send(method: string, target: string, request: LabRequest = {}): Promise<LabAnswer> {
    const { prefix = '/v1', version = NEW, body, raw, headers = {} } = request;
    const mark = target.includes('?') ? '&' : '?';
    const answer = await this.server.app.inject({
      method: method as 'GET',
      url: `${prefix}${target}${mark}version=${version}&generation=2`,
      headers: { host: 'localhost', ...headers },
      ...(raw !== undefined ? { payload: raw } : body === undefined ? {} : { payload: JSON.stringify(body) }),
    });
    return this.checked(method, `${prefix}${target}`, answer);
  }

  /** Throws when the answer is not one that the document announces. */
  checked(
    method: string,
    target: string,
    answer: {
      readonly statusCode: number;
      readonly payload: string;
      readonly headers: LabAnswer['headers'];
    },
  ): LabAnswer {
    const { statusCode, payload, headers } = answer;
    const where = `${method} ${target} → ${statusCode}`;
    const isJson = String(headers['content-type']).startsWith('application/json');
    const body = payload === '' ? undefined : isJson ? JSON.parse(payload) : payload;
    if (statusCode >= 400) {
      if (!this.#valid('#/components/schemas/Errors', body)) throw this.#fault(where, body);
      if (body.trace !== headers['x-request-id']) throw new Error(`${where}: trace and X-Request-Id differ`);
    }
    const path = this.#pathOf(target.split('?')[0]!);
    if (path !== undefined && statusCode < 400) {
      const pointer = `#/paths/${pointerPart(path)}/${method.toLowerCase()}/responses/${statusCode}`;
      const documented = this.#document.paths[path]?.[method.toLowerCase()]?.responses[statusCode];
      if (documented === undefined) throw new Error(`${where} is not in the document`);
      const media = String(headers['content-type']).split(';')[0]!;
      if (!isJson && body !== undefined && documented.content?.[media] === undefined)
        throw new Error(`${where}: content type ${media}`);
      const typed = documented.content?.['application/json'] !== undefined;
      if (typed !== (body !== undefined && isJson))
        throw new Error(`${where}: a body where none is due, or none`);
      if (typed) {
        if (!this.#valid(`${pointer}/content/application~1json/schema`, body)) throw this.#fault(where, body);
        if (!String(headers['content-type']).startsWith('application/json')) {
          throw new Error(`${where}: content type ${headers['content-type']}`);
        }
      }
    }
    return { status: statusCode, body, headers };
  }

  #valid(pointer: string, body: unknown): boolean {
    let validate = this.#validators.get(pointer);
    if (validate === undefined) {
      validate = this.#ajv.getSchema(`openapi${pointer}`);
      if (validate === undefined) throw new Error(`${pointer} is not in the document`);
      this.#validators.set(pointer, validate);
    }
    return validate(body);
  }

  #fault(where: string, body: unknown): Error {
    const errors = [...this.#validators.values()].flatMap((validate) => validate.errors ?? []).slice(0, 8);
    return new Error(
      `${where} does not fit the document: ${JSON.stringify(errors)} in ${JSON.stringify(body)}`,
    );
  }

  #pathOf(target: string): string | undefined {
    const paths = Object.keys(this.#document.paths);
    const parts = target.split('/');
    return paths.find((path) => {
      const names = path.split('/');
      return (
        names.length === parts.length &&
        names.every((name, index) => (name.startsWith('{') ? parts[index] !== '' : name === parts[index]))
      );
    });
  }

  get(target: string, request: LabRequest = {}): Promise<LabAnswer> {
    return this.send('GET', target, request);
  }

  post(target: string, body: unknown, request: LabRequest = {}): Promise<LabAnswer> {
    return this.send('POST', target, { ...request, body });
  }

  patch(target: string, body: unknown, request: LabRequest = {}): Promise<LabAnswer> {
    const headers = { 'content-type': 'application/merge-patch+json', ...request.headers };
    return this.send('PATCH', target, { ...request, headers, body });
  }

  /** Several changes at once. */
  transact(steps: readonly object[], more: object = {}): Promise<LabAnswer> {
    return this.post('/transactions', { steps, ...more }, { prefix: '/culvert/v1' });
  }

  put(target: string, request: LabRequest = {}): Promise<LabAnswer> {
    return this.send('PUT', target, request);
  }

  delete(target: string, request: LabRequest = {}): Promise<LabAnswer> {
    return this.send('DELETE', target, request);
  }

  /** A gateway that is stable, by its id. */
  async gateway(
    name: string,
    mode: 'policy' | 'route' = 'policy',
    subnet = '0717-sub',
    request: LabRequest = {},
  ): Promise<string> {
    const body = { name, subnet: { id: subnet }, mode };
    const { status, body: made } = await this.post('/vpn_gateways', body, request);
    if (status !== 201) throw new Error(`no gateway: ${JSON.stringify(made)}`);
    await this.until(
      async () => (await this.get(`/vpn_gateways/${made.id}`)).body.lifecycle_state === 'stable',
    );
    return made.id;
  }

  async until(condition: () => Promise<boolean> | boolean): Promise<void> {
    for (let tries = 0; tries < 500; tries++) {
      if (await condition()) return;
      await turn();
    }
    throw new Error('it did not come to pass');
  }
}

function pointerPart(path: string): string {
  return encodeURIComponent(path.replaceAll('~', '~0').replaceAll('/', '~1'));
}

/** A connection in policy mode. `n` makes its networks and its peer its own. */
export function policyConnection(n: number, more: object = {}): Record<string, unknown> {
  return {
    name: `connection-${n}`,
    psk: PSK,
    local: { cidrs: ['192.168.100.0/24'] },
    peer: { address: `169.21.50.${n}`, cidrs: [`10.${n}.0.0/16`] },
    ...more,
  };
}
