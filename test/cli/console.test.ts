import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { ApiLab, type LabOptions } from '../helpers/api-lab.js';
import { commandLine } from '../helpers/command-line.js';
import { TWO_ROLES } from '../helpers/two-roles.js';

const OWN = { prefix: '/culvert/v1', headers: { 'x-culvert-console': '1' } };

/** A server with a built console on a Unix socket, and on TCP where asked for. */
async function served(t: Test, hasTcp: boolean, more: LabOptions = {}) {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-console-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  mkdirSync(join(folder, 'console'));
  writeFileSync(join(folder, 'console/index.html'), '<!doctype html>');
  const lab = await ApiLab.open(t, { auth: TWO_ROLES, console: join(folder, 'console'), ...more });
  const socketPath = join(folder, 'api.sock');
  const url = await lab.server.listen({
    socketPath,
    ...(hasTcp ? { tcp: { host: '127.0.0.1', port: 0 } } : {}),
  });
  const cli = (...argv: string[]) => commandLine('console', ...argv, '--endpoint', `unix:${socketPath}`);
  return { lab, url, cli };
}

t.test('culvert console prints a link that logs in, once', async (t) => {
  const { lab, url, cli } = await served(t, true);
  const { code, out } = await cli();
  t.equal(code, 0);
  t.ok(out.startsWith(`${url}/console/#login=culvert_`), 'where the server listens');
  const login = { code: out.trim().split('#login=')[1] };
  const session = await lab.post('/console/session', login, OWN);
  t.match(session.body, { name: 'root', role: 'editor', by: 'console' });
  t.equal((await lab.post('/console/session', login, OWN)).status, 401);
  const viewer = JSON.parse((await cli('--role', 'viewer', '--output', 'json')).out);
  t.same(Object.keys(viewer), ['url', 'expires_at']);
  const seen = await lab.post('/console/session', { code: viewer.url.split('#login=')[1] }, OWN);
  t.match(seen.body, { name: 'root', role: 'viewer' });
});

t.test('where browsers find the server', async (t) => {
  const behind = await served(t, true, { site: { endpoint: 'https://vpn.example' } });
  t.match((await behind.cli()).out, /^https:\/\/vpn\.example\/console\/#login=/);
  const alone = await served(t, false);
  const { code, err } = await alone.cli();
  t.equal(code, 1);
  t.match(err, /add "listen" to its file/);
});
