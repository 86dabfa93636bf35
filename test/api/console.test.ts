import { mkdirSync, mkdtempSync, rmSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { brotliCompressSync, gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';
import { hashSecret, newSecret } from '../../src/api/auth/credentials.js';
import type { ApiAuth } from '../../src/api/options.js';
import { SecretKey } from '../../src/util/secret.js';
import { ApiLab, type LabAnswer, PSK, policyConnection } from '../helpers/api-lab.js';

const [EDITOR, VIEWER, API_KEY] = [newSecret(), newSecret(), newSecret()];
const auth = (): ApiAuth & { readonly mode: 'tokens' } => ({
  mode: 'tokens',
  tokens: [
    { name: 'ed', role: 'editor', hash: hashSecret(EDITOR) },
    { name: 'vi', role: 'viewer', hash: hashSecret(VIEWER) },
  ],
  apiKeys: [{ name: 'robot', role: 'editor', hash: hashSecret(API_KEY) }],
  signingKey: new SecretKey(new Uint8Array(32).fill(5)),
});
const HEADER = { 'x-culvert-console': '1' };
const OWN = { prefix: '/culvert/v1' };
const SESSION = '/console/session';

/** A folder with a console that was built. */
function builtConsole(t: Test): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-console-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  mkdirSync(join(folder, 'assets'));
  const script = 'console.log("culvert");'.repeat(20);
  writeFileSync(join(folder, 'index.html'), '<!doctype html><title>Culvert</title>');
  writeFileSync(join(folder, 'assets/app-1a2b.js'), script);
  writeFileSync(join(folder, 'assets/app-1a2b.js.br'), brotliCompressSync(script));
  writeFileSync(join(folder, 'assets/app-1a2b.js.gz'), gzipSync(script));
  writeFileSync(join(folder, 'secret.txt'), 'not of a known type');
  return folder;
}

const logIn = (lab: ApiLab, body: object, headers: Record<string, string> = HEADER): Promise<LabAnswer> =>
  lab.post(SESSION, body, { ...OWN, headers });
const cookieOf = (answer: LabAnswer): string => String(answer.headers['set-cookie']).split(';')[0]!;
const withCookie = (cookie: string, more: Record<string, string> = {}) => ({
  headers: { cookie, ...HEADER, ...more },
});
const codeOf = ({ status, body }: LabAnswer) => [status, body.errors[0].code];

async function page(lab: ApiLab, url: string, headers: Record<string, string> = {}) {
  return lab.server.app.inject({ url, headers: { host: 'localhost', ...headers } });
}

t.test('pages and their files', async (t) => {
  const folder = builtConsole(t);
  const lab = await ApiLab.open(t, { auth: auth(), console: folder });
  for (const url of ['/console/', '/console/gateways/0717-x/create']) {
    const answer = await page(lab, url);
    t.equal(answer.statusCode, 200, url);
    t.match(answer.payload, '<title>Culvert</title>');
    const policy = String(answer.headers['content-security-policy']);
    t.match(policy, "default-src 'none'");
    t.notMatch(policy, /unsafe|https?:|\*/, 'nothing in line, nothing from elsewhere');
    t.match(policy, "frame-ancestors 'none'");
    t.equal(answer.headers['cache-control'], 'no-cache');
    const again = await page(lab, url, { 'if-none-match': String(answer.headers.etag) });
    t.equal(again.statusCode, 304);
  }
  for (const url of ['/', '/console']) {
    const answer = await page(lab, url);
    t.same([answer.statusCode, answer.headers.location], [302, '/console/'], url);
  }
  const script = await page(lab, '/console/assets/app-1a2b.js', { 'accept-encoding': 'gzip, br;q=0.9' });
  t.match(script.headers, {
    'content-type': 'text/javascript; charset=utf-8',
    'content-encoding': 'br',
    'cache-control': 'public, max-age=31536000, immutable',
    'x-content-type-options': 'nosniff',
    vary: 'Accept-Encoding',
  });
  const plain = await page(lab, '/console/assets/app-1a2b.js', { 'accept-encoding': 'br;q=0, identity' });
  t.equal(plain.headers['content-encoding'], undefined);
  t.not(plain.headers.etag, script.headers.etag, 'another form has another tag');
  t.equal((await page(lab, '/console/assets/app-old.js')).statusCode, 404, 'no page in place of a file');
  for (const url of ['/console/secret.txt', '/console/../package.json', '/console/%2e%2e%2fpackage.json']) {
    const answer = await page(lab, url);
    t.notMatch(answer.payload, /not of a known type|"dependencies"/, url);
  }
  writeFileSync(join(folder, 'assets/app-3c4d.js'), 'new');
  const index = join(folder, 'index.html');
  utimesSync(index, new Date(), new Date(Date.now() + 5000));
  t.equal(
    (await page(lab, '/console/assets/app-3c4d.js')).statusCode,
    200,
    'built again while the server runs',
  );
});

t.test('without a built console, and without any', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth(), console: '/nowhere/console' });
  const answer = await page(lab, '/console/');
  t.equal(answer.statusCode, 503);
  t.match(answer.payload, 'npm run console:build');
  const link = await lab.post(
    '/console/login_links',
    {},
    { ...OWN, headers: { authorization: `Bearer ${EDITOR}` } },
  );
  t.same(codeOf(link), [404, 'not_found']);
  t.match(link.body.errors[0].message, 'npm run console:build');
  const none = await ApiLab.open(t, { auth: auth() });
  t.equal((await page(none, '/console/')).statusCode, 404);
});

t.test('a login is a cookie that scripts do not see, and requests of other pages do not bring', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth(), console: builtConsole(t) });
  const answer = await logIn(lab, { secret: ` ${EDITOR}\n` });
  t.equal(answer.status, 200);
  t.match(answer.body, { name: 'ed', role: 'editor', by: 'token', expires_at: '2026-11-22T22:00:00.000Z' });
  t.match(
    String(answer.headers['set-cookie']),
    /^culvert-session=.*; Path=\/; Max-Age=43200; HttpOnly; SameSite=Strict$/,
  );
  t.equal(answer.headers['cache-control'], 'no-store');
  const cookie = cookieOf(answer);
  t.equal((await lab.get('/vpn_gateways', withCookie(cookie))).status, 200);
  t.match((await lab.get(SESSION, { ...OWN, ...withCookie(cookie) })).body, { name: 'ed' });
  for (const headers of [
    { cookie },
    { cookie, ...HEADER, 'sec-fetch-site': 'cross-site' },
    { cookie, ...HEADER, 'sec-fetch-site': 'same-site' },
    { cookie, ...HEADER, origin: 'https://elsewhere.example' },
    { cookie, ...HEADER, origin: 'null' },
  ]) {
    t.same(
      codeOf(await lab.post('/vpn_gateways', {}, { headers })),
      [401, 'token_missing'],
      JSON.stringify(headers),
    );
  }
  const same = { origin: 'http://localhost', 'sec-fetch-site': 'same-origin' };
  t.equal((await lab.get('/vpn_gateways', withCookie(cookie, same))).status, 200);
  t.equal(
    (await lab.get('/vpn_gateways', { headers: { authorization: `Bearer ${cookie.split('=')[1]}` } })).status,
    401,
    'it is no token',
  );
  t.same(
    codeOf(await logIn(lab, { secret: EDITOR }, {})),
    [403, 'not_authorized'],
    'nor does another page log in',
  );
  t.same(codeOf(await logIn(lab, {})), [400, 'validation_only_one']);
  t.same(codeOf(await logIn(lab, { secret: EDITOR, code: 'x' })), [400, 'validation_only_one']);
});

t.test('over HTTPS the cookie is for this host alone', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth(), site: { endpoint: 'https://vpn.example' } });
  const set = String((await logIn(lab, { secret: EDITOR })).headers['set-cookie']);
  t.match(set, /^__Host-culvert-session=.*; Secure$/);
  t.equal((await lab.get('/vpn_gateways', withCookie(set.split(';')[0]!))).status, 200);
});

t.test('roles are those of the credential today', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const asEditor = { headers: { authorization: `Bearer ${EDITOR}` } };
  const { body: gateway } = await lab.post(
    '/vpn_gateways',
    { subnet: { id: '0717-sub' }, mode: 'policy' },
    asEditor,
  );
  const list = `/vpn_gateways/${gateway.id}/connections`;
  const viewer = cookieOf(await logIn(lab, { secret: VIEWER }));
  const editor = cookieOf(await logIn(lab, { secret: API_KEY }));
  t.equal((await lab.post(list, policyConnection(1), withCookie(editor))).status, 201);
  const seen = await lab.get(list, withCookie(viewer));
  t.equal(seen.status, 200);
  t.notMatch(JSON.stringify(seen.body), PSK, 'a viewer sees no key');
  t.same(codeOf(await lab.post(list, policyConnection(2), withCookie(viewer))), [403, 'not_authorized']);
  t.same(codeOf(await lab.post('/reload', {}, { ...OWN, ...withCookie(editor) })), [403, 'not_authorized']);
  const { tokens } = auth();
  lab.server.replace({
    site: lab.site,
    tokens: tokens.slice(0, 1),
    apiKeys: [{ name: 'robot', role: 'viewer', hash: hashSecret(API_KEY) }],
  });
  t.same(codeOf(await lab.get(list, withCookie(viewer))), [401, 'token_invalid'], 'gone with its token');
  t.match((await lab.get(SESSION, { ...OWN, ...withCookie(editor) })).body, {
    name: 'robot',
    role: 'viewer',
  });
});

t.test('a login ends: by time, by the person, and not with the server', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const cookie = cookieOf(await logIn(lab, { secret: EDITOR }));
  const other = await ApiLab.open(t, { auth: auth() });
  t.equal(
    (await other.get('/vpn_gateways', withCookie(cookie))).status,
    200,
    'another server with the same key',
  );
  const end = await lab.delete(SESSION, { ...OWN, ...withCookie(cookie) });
  t.equal(end.status, 204);
  t.match(String(end.headers['set-cookie']), 'Max-Age=0');
  t.same(codeOf(await lab.get('/vpn_gateways', withCookie(cookie))), [401, 'token_invalid']);
  const late = cookieOf(await logIn(lab, { secret: EDITOR }));
  lab.now = new Date(lab.now.getTime() + 12 * 3_600_000);
  for (let tries = 0; tries < 20; tries++) {
    t.same(
      codeOf(await lab.get('/vpn_gateways', withCookie(late))),
      [401, 'token_invalid'],
      'an open page is no attacker',
    );
  }
});

t.test('guessing is slowed down and noted, as with tokens', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const statuses: number[] = [];
  for (let tries = 0; tries < 12; tries++)
    statuses.push((await logIn(lab, { secret: `wrong-${tries}` })).status);
  t.same(statuses, [...Array(10).fill(401), 429, 429]);
  t.equal(
    (await lab.get('/vpn_gateways', withCookie('culvert-session=a.b.c'))).status,
    429,
    'a forged cookie counts',
  );
  t.equal((await logIn(lab, { secret: EDITOR })).status, 200, 'a right one is never held up');
  t.match(lab.log.join(''), /auth-failed/);
  t.notMatch(lab.log.join(''), /wrong-|culvert_/);
  const audit = await lab.get('/audit', { ...OWN, headers: { authorization: `Bearer ${EDITOR}` } });
  const logins = audit.body.entries.filter(
    ({ action }: { action: string }) => action === 'culvert.login.create',
  );
  t.same(
    logins.map(({ outcome, initiator }: { outcome: string; initiator: { name?: string } }) => [
      outcome,
      initiator.name,
    ]),
    [
      ['success', 'ed'],
      ['failure', undefined],
    ],
  );
});

t.test('a login link works once, soon, and for no more than its maker may', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth(), console: builtConsole(t) });
  const linkFor = async (token: string, body: object = {}): Promise<string> => {
    const answer = await lab.post('/console/login_links', body, {
      ...OWN,
      headers: { authorization: `Bearer ${token}` },
    });
    t.equal(answer.status, 200);
    t.match(answer.body.url, /^http:\/\/localhost\/console\/#login=culvert_/);
    return answer.body.url.split('#login=')[1];
  };
  const code = await linkFor(EDITOR);
  const opened = await logIn(lab, { code });
  t.match(opened.body, { name: 'ed', role: 'editor' });
  t.same(codeOf(await logIn(lab, { code })), [401, 'token_invalid'], 'twice');
  t.match((await logIn(lab, { code: await linkFor(EDITOR, { role: 'viewer' }) })).body, { role: 'viewer' });
  const old = await linkFor(EDITOR);
  lab.now = new Date(lab.now.getTime() + 121_000);
  t.same(codeOf(await logIn(lab, { code: old })), [401, 'token_invalid'], 'late');
  t.equal((await lab.post('/console/login_links', {}, OWN)).status, 401);
  const many = await Promise.all(Array.from({ length: 101 }, () => linkFor(EDITOR)));
  t.equal((await logIn(lab, { code: many[0]! })).status, 401, 'the oldest makes room');
  t.equal((await logIn(lab, { code: many[100]! })).status, 200);
  const mine = await logIn(lab, { code: await linkFor(VIEWER, { role: 'editor' }) });
  t.match(mine.body, { name: 'vi', role: 'viewer' });
});

t.test('what an open page reads again and again is one entry of the audit trail', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const cookie = cookieOf(await logIn(lab, { secret: EDITOR }));
  const reads = async (): Promise<unknown[]> => {
    const audit = await lab.get('/audit', { ...OWN, headers: { authorization: `Bearer ${EDITOR}` } });
    return audit.body.entries
      .filter(({ action }: { action: string }) => action === 'is.vpn.ike-policy.list')
      .map(({ repeats }: { repeats?: number }) => repeats);
  };
  for (let n = 0; n < 5; n++) await lab.get('/ike_policies', withCookie(cookie));
  t.same(await reads(), [5]);
  lab.now = new Date(lab.now.getTime() + 600_000);
  await lab.get('/ike_policies', withCookie(cookie));
  t.same(await reads(), [undefined, 5]);
  const steps = [{ operation: 'create_ike_policy', body: {} }];
  for (let n = 0; n < 3; n++) {
    const asked = await lab.post(
      '/transactions',
      { dry_run: true, steps },
      { ...OWN, ...withCookie(cookie) },
    );
    t.equal(asked.status, 400);
  }
  const { body } = await lab.get('/audit', { ...OWN, headers: { authorization: `Bearer ${EDITOR}` } });
  const refused = body.entries.filter(({ outcome }: { outcome: string }) => outcome === 'failure');
  t.match(
    refused,
    [{ action: 'culvert.transaction.create', repeats: 3 }],
    'so is a form that is being typed',
  );
  for (let n = 0; n < 2; n++)
    await lab.get('/ike_policies', { headers: { authorization: `Bearer ${EDITOR}` } });
  t.same(await reads(), [undefined, undefined, undefined, 5], 'other clients have an entry each');
});

t.test('who may log in', async (t) => {
  const lab = await ApiLab.open(t, { auth: auth() });
  const answer = await lab.get('/credentials', { ...OWN, headers: { authorization: `Bearer ${VIEWER}` } });
  t.same(answer.body, {
    auth: 'tokens',
    credentials: [
      { name: 'ed', role: 'editor', kind: 'token' },
      { name: 'vi', role: 'viewer', kind: 'token' },
      { name: 'robot', role: 'editor', kind: 'api_key' },
    ],
  });
  t.equal((await lab.get('/credentials', OWN)).status, 401);
});

t.test('without authentication there is nothing to log in to', async (t) => {
  const lab = await ApiLab.open(t, { console: builtConsole(t) });
  t.match((await lab.get(SESSION, OWN)).body, { name: 'anonymous', role: 'editor', by: 'none' });
  t.equal((await lab.post('/console/login_links', {}, OWN)).body.url, 'http://localhost/console/');
  t.same((await lab.get('/credentials', OWN)).body, { auth: 'none', credentials: [] });
  t.equal(
    (await page(lab, '/console/', { 'sec-fetch-site': 'cross-site' })).statusCode,
    200,
    'a link from elsewhere leads to the page',
  );
  t.equal((await lab.get(SESSION, { ...OWN, headers: { 'sec-fetch-site': 'cross-site' } })).status, 403);
});
