import { PassThrough } from 'node:stream';
import t from 'tap';
import { hashSecret } from '../../src/api/auth/credentials.js';
import { ERROR_CODES, type ErrorCode } from '../../src/api/error-codes.js';
import { answerGarbage } from '../../src/api/listeners.js';
import { OPERATIONS } from '../../src/api/routes.js';
import { type Store, StoreError } from '../../src/store/store.js';
import { ApiLab, type LabAnswer } from '../helpers/api-lab.js';
import { CONTRACT } from '../helpers/contract-cases.js';
import { type ContractCase, makeWorld, sendCase, type World } from '../helpers/contract-world.js';
import { openMemoryStore } from '../helpers/memory-store.js';

/** Codes that the VPC documents list for these operations and for any request. */
const DOCUMENTED = `
  vpn_gateway_not_found vpn_connection_not_found vpn_connection_cidr_not_found ike_policy_not_found
  ipsec_policy_not_found vpn_gateway_subnet_not_found ike_policy_in_use ipsec_policy_in_use
  vpn_gateway_invalid_state vpn_gateway_subnet_status_error ike_policy_duplicate_name ipsec_policy_duplicate_name
  vpn_gateway_duplicate_name vpn_connection_duplicate_name ike_policy_invalid_name ipsec_policy_invalid_name
  vpn_gateway_invalid_name vpn_connection_invalid_name vpn_gateway_missing_subnet_id vpn_gateway_missing_name
  vpn_connection_local_cidrs_required vpn_connection_peer_cidrs_required vpn_connection_invalid_psk_format
  vpn_connection_cidr_not_valid vpn_connection_cidr_duplicated vpn_connection_cidr_overlap
  vpn_connection_pair_cidrs_duplicated vpn_connection_cidr_not_deleted vpn_connection_update_cidrs_not_permitted
  ike_policies_quota_exceeded ipsec_policies_quota_exceeded vpn_gateways_quota_exceeded
  vpn_connections_quota_exceeded vpn_connection_local_subnets_quota_exceeded
  vpn_connection_peer_subnets_quota_exceeded vpn_connection_local_subnets_quota_exceeded_for_connection
  vpn_connection_peer_subnets_quota_exceeded_for_connection vpn_gateway_ip_create_error
  vpn_gateway_initialization_error internal_error subnet_not_empty_vpn_gway_exists
  bad_field bad_request invalid_request_field invalid_id_format invalid_version invalid_version_range
  version_not_supported invalid_generation_parameter validation_enum validation_failure validation_invalid_name
  validation_required_field validation_min_value validation_max_value validation_only_one validation_invalid_cidr
  validation_invalid_ipv4_cidr validation_invalid_address validation_invalid_field_type validation_unique_failed
  token_missing token_invalid not_authorized invalid_route not_found http_request_size_exceeded`
  .trim()
  .split(/\s+/);

/** Documented codes that nothing here answers with. */
const NOT_HERE: Readonly<Record<string, string>> = {
  vpn_gateway_missing_name: 'a name that is left out is made up',
  vpn_gateway_ip_create_error: 'a gateway without an address is refused by vpn_gateway_subnet_status_error',
  vpn_gateway_initialization_error: 'creating is asynchronous: lifecycle_state is failed, with its reason',
  invalid_request_field: 'bad_field says it',
  invalid_id_format: 'there is no object with such an id: not found',
  validation_invalid_name: 'every kind of object has a code of its own',
  validation_invalid_ipv4_cidr: 'vpn_connection_cidr_not_valid says it, and IPv6 is allowed',
  validation_unique_failed: 'the codes for duplicate names say it',
};

/** Codes of ours that the documents do not list. */
const OWN: Readonly<Record<string, string>> = {
  ...Object.fromEntries(
    Object.keys(ERROR_CODES)
      .filter((code) =>
        /^rout(?:e|es|ing)_|^vpc_not_found$|^subnet_not_found$|^vpn_(?:gateway|connection)_in_use$/.test(
          code,
        ),
      )
      .map((code) => [code, 'the documents have no codes for routes']),
  ),
  precondition_failed: 'the documents have the status 412 without a code',
  conflict: 'other writers were faster, time and again',
  too_many_requests: 'failed logins',
  too_many_streams: 'the documents have no streams',
  backup_not_valid: 'the documents have no backups',
  store_not_empty: 'the documents have no backups',
  store_full: 'the documents know of no store',
  store_unavailable: 'the documents know of no store',
  store_uncertain: 'the documents know of no store',
  vpn_gateway_advertised_cidrs_quota_exceeded: 'the documents have the limit without a code',
};

const provoked = new Set<string>();
const messages = new Set<string>();
function note({ status, body }: LabAnswer): void {
  for (const { code, message } of body?.errors ?? []) {
    provoked.add(`${code} ${status}`);
    messages.add(message);
  }
}

t.test('every operation has its cases', async (t) => {
  t.same(Object.keys(CONTRACT).sort(), OPERATIONS.map(({ id }) => id).sort());
  for (const { id, success, errors } of OPERATIONS) {
    const tried = new Set(CONTRACT[id]!.cases.map(({ status }) => status));
    // A list without a parent has no refusals of its own but those of its parameters.
    const due = [...Object.keys(success).map(Number), ...errors];
    t.same(
      due.filter((status) => !tried.has(status)),
      [],
      `${id}: a case for every status`,
    );
    const documented = new Set([...due, 400, 413, 415]);
    t.same(
      [...tried].filter((status) => !documented.has(status)),
      [],
      `${id}: every status is announced`,
    );
  }
});

function titleOf({ status, code, params, query, body, raw, version }: ContractCase): string {
  const what = JSON.stringify({ params, query, body, raw, version });
  return `${status} ${code ?? ''} ${what.slice(0, 120)}`;
}

t.test('answers and refusals of every operation', async (t) => {
  // Refusals change nothing, so that they can share their worlds: one for each set of quotas.
  const worlds = new Map<string, Awaited<ReturnType<typeof makeWorld>>>();
  const worldOf = async ({ quotas = {} }: ContractCase) => {
    const key = JSON.stringify(quotas);
    const made = worlds.get(key) ?? (await makeWorld(t, quotas));
    worlds.set(key, made);
    return made.world;
  };
  const check = async (id: string, one: ContractCase, world: World): Promise<void> => {
    const before = (await world.lab.store.snapshot()).revision;
    const answer = await sendCase(world, id, one);
    note(answer);
    const codes = (answer.body?.errors ?? []).map(({ code }: { code: string }) => code);
    const after = (await world.lab.store.snapshot()).revision;
    const refused = one.code !== undefined;
    if (answer.status !== one.status || (refused && (!codes.includes(one.code) || after !== before))) {
      t.fail(`${id} ${titleOf(one)}: ${answer.status} ${codes}, revision ${before} → ${after}`);
    }
  };
  for (const { id, method } of OPERATIONS) {
    const { params = {}, cases } = CONTRACT[id]!;
    const complete = cases.map((one) => ({ ...one, params: { ...params, ...one.params } }));
    const changes = complete.filter(({ code }) => code === undefined && method !== 'GET');
    for (const one of complete) if (!changes.includes(one)) await check(id, one, await worldOf(one));
    if (changes.length > 0) {
      const { world, release } = await makeWorld(t);
      for (const one of changes) await check(id, one, world);
      release();
    }
    t.pass(`${id}: ${cases.length} cases`);
  }
  for (const { release } of worlds.values()) release();
});

/** A request to every operation that gets past its path. */
function plain(id: string): ContractCase {
  const { params = {} } = CONTRACT[id]!;
  return { status: 0, params, ...(OPERATIONS.find((one) => one.id === id)!.body && { body: {} }) };
}

const VIEWER = 'a-token-for-a-viewer';
const auth = {
  mode: 'tokens',
  tokens: [
    { name: 'ed', role: 'editor', hash: hashSecret('a-token-for-an-editor') },
    { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
  ],
  apiKeys: [],
} as const;

t.test('who may not is refused by every operation', async (t) => {
  const lab = await ApiLab.open(t, { auth });
  const ids = new Proxy({}, { get: () => 'any' });
  const ask = async (id: string, token?: string) => {
    const headers = () => (token === undefined ? {} : { authorization: `Bearer ${token}` });
    const answer = await sendCase({ lab, ids, tag: '' }, id, { ...plain(id), headers });
    note(answer);
    return [answer.status, answer.body?.errors?.[0].code];
  };
  for (const { id, method } of OPERATIONS) {
    t.same(await ask(id), [401, 'token_missing'], id);
    lab.now = new Date(lab.now.getTime() + 60_000);
    t.same(await ask(id, 'wrong'), [401, 'token_invalid'], id);
    if (method !== 'GET') t.same(await ask(id, VIEWER), [403, 'not_authorized'], id);
  }
  for (let n = 0; n < 20; n++) await ask('list_vpcs', 'wrong');
  for (const { id } of OPERATIONS) t.same(await ask(id, 'wrong'), [429, 'too_many_requests'], id);
});

t.test('version and generation are looked at by every operation of the VPC documents', async (t) => {
  const { world, release } = await makeWorld(t);
  const documented = OPERATIONS.filter(({ prefixes = ['/v1'] }) => prefixes.includes('/v1'));
  for (const { id, method, path } of documented) {
    for (const [query, code] of [
      ['', 'invalid_version'],
      ['version=today', 'invalid_version'],
      ['version=2018-12-31', 'version_not_supported'],
      ['version=2999-01-01', 'invalid_version_range'],
      ['version=2026-01-01&generation=3', 'invalid_generation_parameter'],
    ]) {
      const url = `/v1${path.replace(/:[a-z_]+/g, 'any')}`;
      const sent = await world.lab.server.app.inject({
        method,
        url: `${url}?${query}`,
        headers: { host: 'localhost' },
      });
      const answer = world.lab.checked(method, url, sent);
      note(answer);
      t.same([answer.status, answer.body.errors[0].code], [400, code], `${id} ${query}`);
    }
  }
  note(await world.lab.get('/nowhere'));
  release();
});

t.test('a store that fails is a fault of the server, and says no more', async (t) => {
  const inner = openMemoryStore();
  let fault: Error | undefined;
  const store: Store = {
    snapshot: async () => {
      if (fault !== undefined && !(fault instanceof StoreError)) throw fault;
      return inner.snapshot();
    },
    commit: async (changes, options) => {
      if (fault !== undefined) throw fault;
      return inner.commit(changes, options);
    },
    watch: (after, listener) => inner.watch(after, listener),
    notes: (after, limit) => inner.notes(after, limit),
    probe: () => inner.probe(),
    close: () => inner.close(),
  };
  const { world, release } = await makeWorld(t, {}, { store });
  // What the configuration says, and what the trail has, needs no store.
  const alone = /_resource_groups?$|_regions?$|_zones?$|^list_audit$|^get_subnet$|^delete_subnet$/;
  fault = new Error('a secret of the disk');
  for (const { id } of OPERATIONS.filter((one) => !alone.test(one.id))) {
    const answer = await sendCase(world, id, plain(id));
    note(answer);
    t.same([answer.status, answer.body.errors[0].code], [500, 'internal_error'], id);
    t.notMatch(JSON.stringify(answer.body), /secret/);
  }
  fault = new StoreError('conflict', 'it is at another revision', 'try again');
  // One that answers with a stream writes nothing, nor does the one that lets a process take over.
  const writesNothing = ['delete_subnet', 'switch_vpn_gateway'];
  const changes = OPERATIONS.filter(
    ({ method, id, media }) => method !== 'GET' && !writesNothing.includes(id) && media === undefined,
  );
  for (const { id } of changes) {
    const { cases, params = {} } = CONTRACT[id]!;
    const success = cases.findLast((one) => one.code === undefined)!;
    const answer = await sendCase(world, id, { ...success, params: { ...params, ...success.params } });
    note(answer);
    t.same([answer.status, answer.body?.errors[0].code], [409, 'conflict'], id);
  }
  for (const [code, expected] of [
    ['full', [507, 'store_full', '5']],
    ['unavailable', [503, 'store_unavailable', '5']],
    ['refused', [503, 'store_unavailable', '5']],
    ['uncertain', [503, 'store_uncertain', '5']],
  ] as const) {
    fault = new StoreError(code, '/var/lib/secret/store.db', 'free space');
    for (const { id } of changes) {
      const { cases, params = {} } = CONTRACT[id]!;
      const success = cases.findLast((one) => one.code === undefined)!;
      const answer = await sendCase(world, id, { ...success, params: { ...params, ...success.params } });
      note(answer);
      t.same([answer.status, answer.body?.errors[0].code, answer.headers['retry-after']], expected, id);
      t.notMatch(JSON.stringify(answer.body), /secret/);
    }
    const reads = OPERATIONS.filter(({ method }) => method === 'GET');
    for (const { id } of reads) t.ok((await sendCase(world, id, plain(id))).status < 500, `${id} goes on`);
  }
  fault = undefined;
  release();
});

t.test('what is no request is told so', async (t) => {
  for (const [code, status] of [
    ['HPE_INVALID_METHOD', 400],
    ['ERR_HTTP_REQUEST_TIMEOUT', 408],
  ] as const) {
    const socket = new PassThrough();
    answerGarbage(Object.assign(new Error(code), { code }), socket);
    const [head = '', body = ''] = socket.read().toString().split('\r\n\r\n');
    t.match(head, new RegExp(`^HTTP/1.1 ${status} `));
    note({ status, body: JSON.parse(body), headers: {} });
  }
});

t.test('a wrong key for a token', async (t) => {
  const lab = await ApiLab.open(t, { auth });
  const answer = await lab.server.app.inject({
    method: 'POST',
    url: '/identity/token',
    payload: 'grant_type=urn:ibm:params:oauth:grant-type:apikey&apikey=wrong',
  });
  note(lab.checked('POST', '/identity/token', answer));
});

t.test('streams of events that are too many', async (t) => {
  const lab = await ApiLab.open(t);
  const headers = { host: 'localhost' };
  // They end with the server; a request is sent when its answer is waited for.
  for (let n = 0; n < 16; n++)
    void lab.server.app.inject({ url: '/culvert/v1/events', headers }).then(() => {});
  await lab.until(async () => {
    const answer = await lab.get('/events?follow=false', { prefix: '/culvert/v1' }).catch(() => undefined);
    if (answer?.status === 429) note(answer);
    return answer?.status === 429;
  });
  t.ok(provoked.has('too_many_streams 429'));
});

t.test('every code is announced, provoked, and either documented or ours', async (t) => {
  const announced = Object.entries<readonly number[]>(ERROR_CODES).flatMap(([code, statuses]) =>
    statuses.map((status) => `${code} ${status}`),
  );
  t.same(
    [...provoked].filter((one) => !announced.includes(one)),
    [],
    'no status or code but those announced',
  );
  t.same(
    announced.filter((one) => !provoked.has(one)),
    [],
    'every code was provoked with every status',
  );
  const codes = Object.keys(ERROR_CODES) as ErrorCode[];
  const missing = DOCUMENTED.filter((code) => !(code in ERROR_CODES));
  t.same(missing.sort(), Object.keys(NOT_HERE).sort(), 'documented codes are here, or it is said why not');
  const own = codes.filter((code) => !DOCUMENTED.includes(code));
  t.same(own.sort(), Object.keys(OWN).sort(), 'codes of ours are said to be');
});

t.test('no message speaks of a file: clients of the API have none', async (t) => {
  t.ok(messages.size > 80, `${messages.size} messages`);
  t.same(
    [...messages].filter((message) => /gateway\.[a-z]|psk_file|the file|quotes when|--[a-z]/.test(message)),
    [],
  );
});
