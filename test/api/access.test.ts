import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { request } from 'node:http';
import { request as secureRequest } from 'node:https';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import sdk from 'ibm-cloud-sdk-core';
import { pino } from 'pino';
import t, { type Test } from 'tap';
import { hashSecret, newSecret } from '../../src/api/auth/credentials.js';
import { signToken } from '../../src/api/auth/jwt.js';
import { isLoopbackHost } from '../../src/api/listeners.js';
import type { ApiAuth } from '../../src/api/options.js';
import { ApiServer, type ListenOptions } from '../../src/api/server.js';
import { readSite, type Site } from '../../src/store/site.js';
import { SecretKey } from '../../src/util/secret.js';
import { ApiLab, NEW, PSK, policyConnection, SITE } from '../helpers/api-lab.js';
import { FakeRunner } from '../helpers/fake-runner.js';
import { openMemoryStore } from '../helpers/memory-store.js';

const EDITOR = newSecret();
const VIEWER = newSecret();
const API_KEY = newSecret();
const signingKey = () => new SecretKey(new Uint8Array(32).fill(5));
const auth = (): ApiAuth => ({
  mode: 'tokens',
  tokens: [
    { name: 'ed', role: 'editor', hash: hashSecret(EDITOR) },
    { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
  ],
  apiKeys: [{ name: 'robot', role: 'editor', hash: hashSecret(API_KEY) }],
  signingKey: signingKey(),
});
const bearer = (token: string) => ({ headers: { authorization: `Bearer ${token}` } });

async function token(lab: ApiLab, form: Record<string, string>) {
  const answer = await lab.server.app.inject({
    method: 'POST',
    url: '/identity/token',
    headers: {
      host: 'localhost',
      'content-type': 'application/x-www-form-urlencoded',
      authorization: 'Basic Yng6Yng=',
    },
    payload: new URLSearchParams(form).toString(),
  });
  return lab.checked('POST', '/identity/token', answer);
}
const grant = 'urn:ibm:params:oauth:grant-type:apikey';

t.test('bearer tokens and roles', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const none = await lab.get('/vpn_gateways');
  t.same([none.status, none.body.errors[0].code], [401, 'token_missing']);
  const wrong = await lab.get('/vpn_gateways', bearer('nonsense'));
  t.same([wrong.status, wrong.body.errors[0].code], [401, 'token_invalid']);
  t.equal((await lab.get('/vpn_gateways', { headers: { authorization: EDITOR } })).status, 401);
  t.equal((await lab.get('/vpn_gateways', { headers: { authorization: `bearer ${EDITOR}` } })).status, 200);

  const gateway = await lab.post(
    '/vpn_gateways',
    { subnet: { id: '0717-sub' }, mode: 'policy' },
    bearer(EDITOR),
  );
  const list = `/vpn_gateways/${gateway.body.id}/connections`;
  const made = await lab.post(list, policyConnection(1), bearer(EDITOR));
  t.equal(made.body.psk, PSK);
  const seen = await lab.get(`${list}/${made.body.id}`, bearer(VIEWER));
  t.equal(seen.status, 200);
  t.notMatch(JSON.stringify(seen.body), PSK, 'a viewer sees no key');
  t.notMatch(JSON.stringify((await lab.get(list, bearer(VIEWER))).body), PSK);
  for (const answer of [
    await lab.post(list, policyConnection(2), bearer(VIEWER)),
    await lab.patch(`${list}/${made.body.id}`, {}, bearer(VIEWER)),
    await lab.put(`${list}/${made.body.id}/local/cidrs/10.0.0.0%2F8`, bearer(VIEWER)),
    await lab.delete('/vpn_gateways/none', bearer(VIEWER)),
  ]) {
    t.same([answer.status, answer.body.errors[0].code], [403, 'not_authorized']);
  }
  const open = await lab.server.app.inject('/openapi.json');
  t.equal(open.statusCode, 200, 'the document is for everybody');
  t.equal((await lab.get('/nowhere')).body.errors[0].code, 'invalid_route');
});

t.test('tokens for API keys', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const answer = await token(lab, { grant_type: grant, apikey: API_KEY, response_type: 'cloud_iam' });
  t.equal(answer.status, 200);
  t.match(answer.body, { token_type: 'Bearer', expires_in: 3600 });
  t.equal(answer.headers['cache-control'], 'no-store');
  const claims = JSON.parse(Buffer.from(answer.body.access_token.split('.')[1], 'base64url').toString());
  t.match(claims, {
    id: 'robot',
    iam_id: 'robot',
    account: { bss: 'b668aa2600ac21c890aef16a6210b2fd' },
    iss: 'http://localhost/identity',
    exp: answer.body.expiration,
  });
  t.equal((await lab.get('/vpn_gateways', bearer(answer.body.access_token))).status, 200);
  t.equal(
    (await lab.get('/vpn_gateways', bearer(answer.body.refresh_token))).status,
    401,
    'for new ones only',
  );
  const again = await token(lab, { grant_type: 'refresh_token', refresh_token: answer.body.refresh_token });
  t.equal(again.status, 200);
  t.equal(
    (await token(lab, { grant_type: 'refresh_token', refresh_token: answer.body.access_token })).status,
    400,
  );

  const [head, payload, signature] = answer.body.access_token.split('.') as [string, string, string];
  const unsigned = Buffer.from('{"alg":"none","typ":"JWT"}').toString('base64url');
  const other = signToken({ ...claims, id: 'robot' }, new SecretKey(new Uint8Array(32).fill(6)));
  const renamed = signToken({ ...claims, id: 'ghost' }, signingKey());
  const oldKey = signToken({ ...claims, key: '0000000000000000' }, signingKey());
  for (const forged of [
    `${unsigned}.${payload}.`,
    `${unsigned}.${payload}.${signature}`,
    `${head}.${payload}x.${signature}`,
    other,
    renamed,
    oldKey,
  ]) {
    t.equal((await lab.get('/vpn_gateways', bearer(forged))).status, 401);
  }
  lab.now = new Date(lab.now.getTime() + 3_600_000);
  t.equal((await lab.get('/vpn_gateways', bearer(answer.body.access_token))).status, 401, 'it has expired');

  for (const [form, code] of [
    [{ grant_type: grant, apikey: 'wrong' }, 'token_invalid'],
    [{ grant_type: grant, apikey: EDITOR }, 'token_invalid'],
    [{ grant_type: grant }, 'validation_required_field'],
    [{ grant_type: 'password', apikey: API_KEY }, 'validation_enum'],
    [{}, 'validation_enum'],
  ] as const) {
    const { status, body } = await token(lab, form);
    t.same([status, body.errors[0].code, body.errorCode], [400, code, code]);
  }
});

t.test('failed logins are slowed down, and never those that are right', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const wrong = async () => (await lab.get('/vpn_gateways', bearer('a-guess'))).status;
  const statuses = [];
  for (let n = 0; n < 12; n++) statuses.push(await wrong());
  t.same(statuses, [...Array(10).fill(401), 429, 429]);
  const refused = await lab.get('/vpn_gateways', bearer('a-guess'));
  t.ok(Number(refused.headers['retry-after']) > 0);
  t.equal((await lab.get('/vpn_gateways', bearer(EDITOR))).status, 200, 'a right token passes all the while');
  const { status, body } = await token(lab, { grant_type: grant, apikey: API_KEY });
  t.equal(status, 200, 'and a right API key');
  const { refresh_token } = body;
  t.equal((await token(lab, { grant_type: 'refresh_token', refresh_token })).status, 200);
  t.equal((await token(lab, { grant_type: grant, apikey: 'wrong' })).status, 429);
  lab.now = new Date(lab.now.getTime() + Number(refused.headers['retry-after']) * 1000);
  t.same([await wrong(), await wrong()], [401, 429], 'one more guess in six seconds');
});

t.test('what was refused is logged, once per address and minute', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const refusals = () => lab.log.filter((line) => /auth-failed|change-refused/.test(line));
  const guess = (from: string) =>
    lab.server.app.inject({
      url: `/v1/vpn_gateways?version=${NEW}`,
      remoteAddress: from,
      ...bearer('my-secret-guess'),
    });
  for (let n = 0; n < 20; n++) await guess('192.0.2.7');
  for (let n = 0; n < 20; n++) await guess(`2001:db8::${n}`);
  t.equal(refusals().length, 2);
  t.match(refusals()[0], /login from 192\.0\.2\.7 refused: its token is not valid here/);
  t.match(refusals()[1], /login from 2001:db8::\/64 refused/, 'addresses of one IPv6 network are one');
  t.notMatch(lab.log.join(''), /my-secret-guess/);
  lab.now = new Date(lab.now.getTime() + 61_000);
  await guess('192.0.2.7');
  t.match(refusals().slice(2).join(''), /19 times since/);
  const before = refusals().length;
  for (let n = 0; n < 3; n++) await lab.delete('/vpn_gateways/none', bearer(VIEWER));
  t.equal(refusals().length, before + 1);
  t.match(refusals().at(-1), /vi is a viewer, so this change was refused: DELETE \/v1\/vpn_gateways\/none/);
});

t.test('behind a proxy the client counts, where the proxy is trusted', async (t) => {
  const forwarded = { headers: { ...bearer('wrong').headers, 'x-forwarded-for': '198.51.100.9' } };
  for (const [trustProxy, address] of [
    [['127.0.0.0/8'], '198.51.100.9'],
    [[], '127.0.0.1'],
  ] as const) {
    const lab = await ApiLab.open(t, { auth: auth(), trustProxy });
    await lab.get('/vpn_gateways', forwarded);
    t.match(lab.log.join(''), `login from ${address} refused`);
  }
});

t.test('beyond this machine a listener needs TLS, or the word that it does not', async (t) => {
  const { server, url } = await serve(
    t,
    { tcp: { host: '0.0.0.0', port: 0 }, plainHttp: true },
    { auth: auth() },
  );
  t.match(url, /^http:\/\/0\.0\.0\.0:[0-9]+$/, 'the address that was bound');
  await server.stop();
  const lab = await ApiLab.open(t, { auth: auth() });
  await t.rejects(lab.server.listen({ tcp: { host: '0.0.0.0', port: 0 } }), {
    name: 'ListenError',
    message: /without TLS would send tokens and pre-shared keys in the clear/,
    remedy: /plain_http: true/,
  });
});

t.test('what stands at the path of the API socket and is no socket is left alone', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  const path = join(folder, 'important.txt');
  writeFileSync(path, 'kept');
  const lab = await ApiLab.open(t);
  await t.rejects(lab.server.listen({ socketPath: path }), { name: 'ListenError', message: /is no socket/ });
  t.equal(readFileSync(path, 'utf8'), 'kept');
});

t.test('no authentication is for programs on this machine', async (t) => {
  const lab = await ApiLab.open(t);
  const as = async (headers: Record<string, string>) => (await lab.get('/vpn_gateways', { headers })).status;
  for (const host of ['127.0.0.1:8080', 'localhost', '[::1]:80', '127.9.9.9'])
    t.equal(await as({ host }), 200, host);
  for (const host of ['evil.example', '192.0.2.1:80', 'localhost.evil.example'])
    t.equal(await as({ host }), 403, host);
  t.equal(await as({ origin: 'http://evil.example' }), 403);
  t.equal(await as({ origin: 'http://localhost' }), 200);
  t.equal(await as({ 'sec-fetch-site': 'cross-site' }), 403);
  t.ok(isLoopbackHost('::1'));
  t.notOk(isLoopbackHost('0.0.0.0'));
  await t.rejects(lab.server.listen({ tcp: { host: '0.0.0.0', port: 0 } }), { name: 'ListenError' });
  await t.rejects(lab.server.listen({ tcp: { host: '::', port: 0 } }), { name: 'ListenError' });
});

t.test('requests and answers', async (t) => {
  const lab = await ApiLab.open(t);
  const id = '96d225c4-56bd-43d9-98fc-d7148e5c5028';
  const answer = await lab.get('/vpn_gateways/none', { headers: { 'x-request-id': id } });
  t.equal(answer.body.trace, id);
  t.match(answer.headers, {
    'x-request-id': id,
    'x-correlation-id': id,
    'x-content-type-options': 'nosniff',
    vary: 'Accept-Encoding',
  });
  t.match(
    (await lab.get('/vpn_gateways/none', { headers: { 'x-request-id': 'a b\u007f' } })).body.trace,
    /^[-0-9a-f]{36}$/,
  );

  const body = {
    ike_version: 2,
    authentication_algorithm: 'sha256',
    encryption_algorithm: 'aes256',
    dh_group: 14,
  };
  const raw = JSON.stringify(body);
  for (const type of [
    'application/json',
    'application/x-www-form-urlencoded',
    'text/plain',
    'application/json; charset=utf-8',
    '',
  ]) {
    const made = await lab.send('POST', '/ike_policies', {
      raw,
      headers: type === '' ? {} : { 'content-type': type },
    });
    t.equal(made.status, 201, type);
  }
  const zipped = {
    raw: gzipSync(raw),
    headers: { 'content-encoding': 'gzip', 'content-type': 'application/json' },
  };
  t.equal((await lab.send('POST', '/ike_policies', zipped)).status, 201);
  const bomb = { raw: gzipSync(Buffer.alloc(10_000_000, 32)), headers: { 'content-encoding': 'gzip' } };
  t.equal((await lab.send('POST', '/ike_policies', bomb)).status, 413);
  t.equal((await lab.send('POST', '/ike_policies', { ...zipped, raw })).status, 400);
  t.equal(
    (await lab.send('POST', '/ike_policies', { raw, headers: { 'content-encoding': 'br' } })).status,
    415,
  );
  const big = await lab.send('POST', '/ike_policies', { raw: `{"name":"${'x'.repeat(70_000)}"}` });
  t.same([big.status, big.body.errors[0].code], [413, 'http_request_size_exceeded']);
  for (const bad of [
    '{',
    '{"a":1}}',
    '[1]',
    '"text"',
    'null',
    '',
    '   ',
    '{"a"',
    `${'['.repeat(30_000)}`,
    Buffer.from([0xff, 0xfe]),
  ]) {
    const refused = await lab.send('POST', '/ike_policies', {
      raw: bad,
      headers: { 'content-type': 'application/json' },
    });
    t.same([refused.status, refused.body.errors[0].code], [400, 'bad_request'], String(bad).slice(0, 10));
  }
  const proto = await lab.send('POST', '/ike_policies', { raw: `{"__proto__":{"x":1},${raw.slice(1)}` });
  t.equal(proto.status, 400);
  const inherited = raw.replace('14', '15,"dh_groups":[{"toString":1},{"toString":1}]');
  t.equal((await lab.send('POST', '/ike_policies', { raw: inherited })).body.errors[0].code, 'bad_field');
  for (const path of [
    '/%',
    '/vpn_gateways/%zz',
    '/vpn_gateways/a%00b',
    '/',
    `/vpn_gateways/${'x'.repeat(600)}`,
  ]) {
    const { status } = await lab.get(path);
    t.ok(status === 400 || status === 404, `${path.slice(0, 20)} → ${status}`);
  }
  t.equal((await lab.send('POST', '/vpn_gateways/none')).body.errors[0].code, 'invalid_route');

  await lab.send('POST', '/ike_policies', { raw });
  t.notMatch(lab.log.join(''), PSK);
});

t.test('the audit log', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const { id } = (
    await lab.post(
      '/vpn_gateways',
      { name: 'gw', subnet: { id: '0717-sub' }, mode: 'policy' },
      bearer(EDITOR),
    )
  ).body;
  const list = `/vpn_gateways/${id}/connections`;
  const made = await lab.post(list, policyConnection(1), bearer(EDITOR));
  const path = `${list}/${made.body.id}`;
  await lab.patch(
    path,
    { psk: 'another-secret', name: 'renamed' },
    { headers: { ...bearer(EDITOR).headers, 'x-request-id': 'req-1' } },
  );
  await lab.put(`${path}/local/cidrs/192.168.101.0%2F24`, bearer(EDITOR));
  await lab.delete(path, bearer(EDITOR));
  await lab.patch(path, {}, bearer(EDITOR));
  type Note = {
    who: string;
    role: string;
    at: string;
    request_id: string;
    changes: { action: string; id: string; before: { name: string }; after: { psk: string; name: string } }[];
  };
  const notes = (await lab.store.notes(0, 100)).map(({ note }) => note as Note);
  const mine = notes
    .filter(({ who }) => who === 'ed')
    .flatMap(({ changes }) => changes.map(({ action }) => action));
  t.same(mine, [
    'is.vpn.vpn-gateway.create',
    'is.vpn.vpn-connection.create',
    'is.vpn.vpn-connection.update',
    'is.vpn.vpn-connection_local-cidr.create',
    'is.vpn.vpn-connection.delete',
  ]);
  t.ok(
    notes.some(({ who }) => who === 'culvert'),
    'and the server itself',
  );
  t.match(
    notes.find((note) => note.request_id === 'req-1'),
    {
      role: 'editor',
      at: /^2026-11-22T/,
      changes: [
        {
          id: made.body.id,
          before: { name: 'connection-1' },
          after: { name: 'renamed', psk: '[redacted, changed]' },
        },
      ],
    },
  );
  const everything = JSON.stringify(notes) + lab.log.join('');
  for (const secret of [PSK, 'another-secret', EDITOR]) t.notMatch(everything, secret);
});

function siteOf(): Site {
  const site = readSite(SITE);
  if (!site.ok) throw new Error('the site of the tests is not right');
  return site.value;
}

async function serve(
  t: Test,
  listen: ListenOptions,
  more: { auth: ApiAuth; tls?: { cert: string; key: string }; now?: () => Date },
) {
  const store = openMemoryStore();
  const server = await ApiServer.create({
    store,
    runner: new FakeRunner(),
    site: siteOf(),
    logger: pino({ level: 'silent' }),
    ...more,
  });
  t.teardown(() => server.stop());
  return { server, url: await server.listen(listen) };
}

t.test('the Unix socket is for root', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-api-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const socketPath = join(folder, 'api.sock');
  const { server } = await serve(t, { socketPath }, { auth: auth() });
  t.equal(statSync(socketPath).mode & 0o777, 0o600);
  const status = await new Promise((resolve, reject) => {
    const path = `/v1/ike_policies?version=${NEW}`;
    const body =
      '{"ike_version":2,"authentication_algorithm":"sha256","encryption_algorithm":"aes256","dh_group":14}';
    request({ socketPath, path, method: 'POST' }, (answer) => {
      answer.resume().on('end', () => resolve(answer.statusCode));
    })
      .on('error', reject)
      .end(body);
  });
  t.equal(status, 201, 'no token is needed');
  const second = await ApiServer.create({
    store: openMemoryStore(),
    runner: new FakeRunner(),
    site: siteOf(),
    logger: pino({ level: 'silent' }),
    auth: auth(),
  });
  await t.rejects(second.listen({ socketPath }), { message: /another server listens/ });
  await server.stop();
  await second.stop();
});

t.test('TLS', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-tls-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const [key, cert] = [join(folder, 'key.pem'), join(folder, 'cert.pem')];
  execFileSync(
    'openssl',
    [
      'req',
      '-x509',
      '-newkey',
      'ec',
      '-pkeyopt',
      'ec_paramgen_curve:prime256v1',
      '-nodes',
      '-keyout',
      key,
      '-out',
      cert,
      '-days',
      '2',
      '-subj',
      '/CN=localhost',
      '-addext',
      'subjectAltName=IP:127.0.0.1',
    ],
    { stdio: 'ignore' },
  );
  const tls = { cert: readFileSync(cert, 'utf8'), key: readFileSync(key, 'utf8') };
  const { url } = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } }, { auth: auth(), tls });
  t.match(url, /^https:/);
  const href = await new Promise((resolve, reject) => {
    const options = { ca: tls.cert, headers: { authorization: `Bearer ${EDITOR}` }, agent: false };
    secureRequest(`${url}/v1/vpn_gateways?version=${NEW}`, options, (answer) => {
      let text = '';
      answer.setEncoding('utf8').on('data', (part: string) => (text += part));
      answer.on('end', () => resolve(JSON.parse(text).first.href));
    })
      .on('error', reject)
      .end();
  });
  t.match(href, /^https:\/\/127\.0\.0\.1:/);
});

t.test('the cloud SDK as a client', async (t) => {
  const { BaseService, IamAuthenticator, NoAuthAuthenticator } = sdk;
  class Client extends BaseService {
    async call(method: string, url: string, body?: object, headers: Record<string, string> = {}) {
      return this.createRequest({
        options: { url, method, ...(body && { body }), qs: { version: NEW, generation: 2 } },
        defaultOptions: {
          ...this.baseOptions,
          headers: {
            Accept: 'application/json',
            ...(body && { 'Content-Type': 'application/json' }),
            ...headers,
          },
        },
      });
    }
  }
  const use = async (client: Client): Promise<void> => {
    const made = await client.call('POST', '/vpn_gateways', {
      name: 'sdk',
      mode: 'policy',
      subnet: { id: '0717-sub' },
    });
    t.equal(made.status, 201);
    const { id } = made.result;
    const connection = await client.call('POST', `/vpn_gateways/${id}/connections`, policyConnection(1));
    const path = `/vpn_gateways/${id}/connections/${connection.result.id}`;
    const patched = await client.call(
      'PATCH',
      path,
      { name: 'by-sdk' },
      {
        'Content-Type': 'application/merge-patch+json',
        'If-Match': connection.headers.etag,
      },
    );
    t.equal(patched.result.name, 'by-sdk');
    t.equal((await client.call('PUT', `${path}/peer/cidrs/10.50.0.0%2F16`)).status, 201);
    t.equal((await client.call('DELETE', path)).status, 202);
    await t.rejects(client.call('GET', path), { message: /no connection/ });
    await t.rejects(client.call('POST', '/vpn_gateways', { subnet: { id: 'x' } }), { message: /no subnet/ });
  };
  const open = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } }, { auth: { mode: 'none' } });
  await use(new Client({ authenticator: new NoAuthAuthenticator(), serviceUrl: `${open.url}/v1/` }));

  const closed = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } }, { auth: auth() });
  const login = (apikey: string) =>
    new Client({
      authenticator: new IamAuthenticator({ apikey, url: closed.url! }),
      serviceUrl: `${closed.url}/v1`,
    });
  await use(login(API_KEY));
  await t.rejects(login('wrong-key').call('GET', '/vpn_gateways'), { message: /not known/ });

  // Two hours later, by everybody's clock, the client gets a new token; by the server's alone it is refused.
  const clock = Date.now;
  let ahead = 0;
  let serverAhead = 0;
  Date.now = () => clock() + ahead;
  t.teardown(() => {
    Date.now = clock;
  });
  const now = (): Date => new Date(Date.now() + serverAhead);
  const moving = await serve(t, { tcp: { host: '127.0.0.1', port: 0 } }, { auth: auth(), now });
  const authenticator = new IamAuthenticator({ apikey: API_KEY, url: moving.url! });
  const client = new Client({ authenticator, serviceUrl: `${moving.url}/v1` });
  const tokens = new Set<string>();
  for (ahead of [0, 60_000, 7_200_000]) {
    t.equal((await client.call('GET', '/vpn_gateways')).status, 200);
    const request: { headers?: Record<string, string> } = {};
    await authenticator.authenticate(request);
    tokens.add(request.headers!.Authorization!);
  }
  t.equal(tokens.size, 2, 'one token as long as it is good, then another');
  serverAhead = 3_601_000;
  const refused = (await client.call('GET', '/vpn_gateways').catch((error: unknown) => error)) as {
    readonly status: number;
    readonly body: string;
  };
  t.equal(refused.status, 401);
  t.match(refused.body, /token_invalid/);

  const garbage = await new Promise<string>((resolve) => {
    const { hostname, port } = new URL(open.url!);
    const socket = connect(Number(port), hostname, () => socket.write('this is no HTTP\r\n\r\n'));
    let text = '';
    socket.setEncoding('utf8').on('data', (part: string) => (text += part));
    socket.on('close', () => resolve(text));
  });
  t.match(garbage, /^HTTP\/1\.1 400[\s\S]*"errors":\[/);
  const { hostname, port } = new URL(open.url!);
  const busy = await serve(t, {}, { auth: { mode: 'none' } });
  await t.rejects(busy.server.listen({ tcp: { host: hostname, port: Number(port) } }), {
    message: /EADDRINUSE/,
  });
});
