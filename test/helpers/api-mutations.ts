import { setImmediate as turn } from 'node:timers/promises';
import { toEngineConfig } from '../../src/store/engine-config.js';
import { readPsks } from '../../src/store/psk.js';
import { KIND } from '../../src/store/records.js';
import { ApiLab, type LabOptions, PSK } from './api-lab.js';
import { CONNECTION, IKE, IPSEC, OTHER_PSK, SHAPES } from './api-shapes.js';
import { RequestMutator } from './request-mutator.js';
import type { SeededRandom } from './seeded-random.js';

/** Small quotas, so that they are met. */
const SITE: NonNullable<LabOptions['site']> = {
  quotas: {
    gateways_per_region: 8,
    gateways_per_zone: 8,
    route_gateways_per_zone_and_vpc: 2,
    ike_policies: 9,
    ipsec_policies: 9,
  },
};

const MUTATING = new Set(['POST', 'PATCH', 'PUT', 'DELETE']);

/** Everything that is stored, as text; the server's own steps are waited for. */
async function stored(lab: ApiLab): Promise<string> {
  for (;;) {
    const before = await lab.store.snapshot();
    const busy = before
      .list<{ lifecycle: string }>(KIND.gateway)
      .some(({ value }) => value.lifecycle === 'pending' || value.lifecycle === 'deleting');
    await turn();
    if (!busy && (await lab.store.snapshot()).revision === before.revision) {
      return JSON.stringify(Object.values(KIND).map((kind) => before.list(kind)));
    }
  }
}

/** What holds for every state of the store. */
async function checkState(lab: ApiLab): Promise<string | undefined> {
  const now = await lab.store.snapshot();
  for (const kind of Object.values(KIND)) {
    for (const { value } of now.list<Record<string, string>>(kind)) {
      if (kind !== KIND.connection) continue;
      if (now.get(KIND.gateway, value.gateway!) === undefined) return 'a connection without a gateway';
      if (value.ikePolicy && now.get(KIND.ikePolicy, value.ikePolicy) === undefined)
        return 'a policy is missing';
      if (value.ipsecPolicy && now.get(KIND.ipsecPolicy, value.ipsecPolicy) === undefined)
        return 'a policy is missing';
    }
  }
  for (const { id, members } of lab.runner.desired.values()) {
    for (const file of members) {
      const psks = readPsks(file);
      if (!psks.ok) return `keys of ${id}`;
      const names = new Map(file.connections.map(({ name }) => [name, ['192.0.2.9']]));
      toEngineConfig(file, psks.value, names);
    }
  }
  return undefined;
}

/** Whether a text that should not shows a key. What the mutation has made a field name may be quoted. */
function showsKey(text: string, raw: string | undefined): boolean {
  return [PSK, OTHER_PSK].some((key) => text.includes(key) && raw?.includes(`"${key}":`) !== true);
}

/** An API server over a store in memory, and mutated requests to it one after the other. */
export class ApiMutations {
  readonly lab: ApiLab;
  /** Answers by status. */
  readonly counts = new Map<number, number>();
  readonly #mutator: RequestMutator;
  #sent = 0;

  private constructor(lab: ApiLab, random: SeededRandom) {
    this.lab = lab;
    this.#mutator = new RequestMutator(random);
  }

  static async open(owner: Parameters<typeof ApiLab.open>[0], random: SeededRandom): Promise<ApiMutations> {
    return new ApiMutations(await ApiLab.open(owner, { site: SITE }), random);
  }

  /** Ids of one object of each kind; one is made where there is none. */
  async #ids(): Promise<Record<string, string>> {
    const { lab } = this;
    const now = await lab.store.snapshot();
    const gateways = now.list<{ mode: string }>(KIND.gateway);
    const policy =
      gateways.find(({ value }) => value.mode === 'policy')?.id ?? (await lab.gateway(`p-${now.revision}`));
    const route =
      gateways.find(({ value }) => value.mode === 'route')?.id ??
      (await lab.gateway(`r-${now.revision}`, 'route'));
    const ike = now.list(KIND.ikePolicy)[0]?.id ?? (await lab.post('/ike_policies', IKE)).body.id;
    const ipsec = now.list(KIND.ipsecPolicy)[0]?.id ?? (await lab.post('/ipsec_policies', IPSEC)).body.id;
    const connections = now.list<{ gateway: string }>(KIND.connection);
    const spare = {
      psk: PSK,
      local: CONNECTION.local,
      peer: { ...CONNECTION.peer, address: '203.0.113.200' },
    };
    const connection =
      connections.find(({ value }) => value.gateway === policy)?.id ??
      (await lab.post(`/vpn_gateways/${policy}/connections`, spare)).body.id ??
      'none';
    return { policy, route, connection, ike, ipsec };
  }

  #request(known: Readonly<Record<string, string>>) {
    const mutator = this.#mutator;
    const fill = (text: string): string => text.replace(/<([a-z]+)>/g, (whole, name) => known[name] ?? whole);
    const shape = mutator.pick(SHAPES);
    let { path, body } = shape;
    // Some stay good, so that there is always something to be hit.
    const good = mutator.chance(0.15);
    if (!good && body !== undefined) {
      do body = mutator.value(body);
      while (mutator.chance(0.3));
    }
    if (!good && (body === undefined || mutator.chance(0.1))) path = mutator.path(path);
    const method =
      good || mutator.chance(0.97) ? shape.method : mutator.pick(['GET', 'POST', 'PUT', 'PATCH', 'DELETE']);
    let raw = body === undefined ? undefined : fill(JSON.stringify(body));
    if (!good && raw !== undefined && mutator.chance(0.08)) raw = mutator.text(raw);
    return { method, path: fill(path), version: shape.version, raw, headers: this.#headers() };
  }

  #headers(): Record<string, string> {
    const mutator = this.#mutator;
    const headers: Record<string, string> = {};
    if (mutator.chance(0.05)) headers['if-match'] = mutator.pick(['*', 'W/"x"', '', '"', ',,,']);
    if (mutator.chance(0.05))
      headers['content-type'] = mutator.pick([
        'application/json',
        'text/html',
        ';;',
        'application/x-www-form-urlencoded',
      ]);
    return headers;
  }

  /** Sends one request. What is wrong with its answer or with what it left in the store; empty when nothing is. */
  async next(): Promise<string[]> {
    const { lab, counts } = this;
    const n = this.#sent++;
    const { method, path, version, raw, headers } = this.#request(await this.#ids());
    const before = await stored(lab);
    const what = `#${n} ${method} ${path} (${version}) ${raw?.slice(0, 300)}`;
    const faults: string[] = [];
    try {
      const body = raw === undefined ? {} : { raw };
      const answer = await lab.send(method, path, { version, headers, ...body });
      const { status } = answer;
      counts.set(status, (counts.get(status) ?? 0) + 1);
      if (status >= 500) faults.push(`${status}: ${what}`);
      if (status >= 400 && showsKey(JSON.stringify(answer.body), raw)) faults.push(`a key is shown: ${what}`);
      const after = await stored(lab);
      if ((status >= 400 || !MUTATING.has(method)) && after !== before) faults.push(`half done: ${what}`);
      const wrong = n % 50 === 0 || status < 300 ? await checkState(lab) : undefined;
      if (wrong !== undefined) faults.push(`${wrong}: ${what}`);
    } catch (error) {
      faults.push(`${(error as Error).message.slice(0, 500)}: ${what}`);
    }
    const log = lab.log.splice(0).filter((line) => /"level":(50|60)/.test(line) || showsKey(line, raw));
    return [...faults, ...log.map((line) => `${line}: ${what}`)];
  }
}
