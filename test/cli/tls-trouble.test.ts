import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { createServer as createSecureServer } from 'node:https';
import type { AddressInfo, Server } from 'node:net';
import { join } from 'node:path';
import t, { type Test } from 'tap';
import { tlsTrouble } from '../../src/cli/vpn/tls-trouble.js';
import { makeCertificate } from '../helpers/certificates.js';
import { commandLine } from '../helpers/command-line.js';
import { skipWithoutProgram } from '../helpers/prerequisites.js';

const EMPTY = JSON.stringify({ vpn_gateways: [], first: { href: 'http://x' }, limit: 100, total_count: 0 });

async function listening(t: Test, server: Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  t.teardown(() => new Promise((resolve) => server.close(resolve)));
  return (server.address() as AddressInfo).port;
}

const list = (endpoint: string, ...argv: string[]) =>
  commandLine('vpn-gateways', '--endpoint', endpoint, ...argv);

/** All that a command says, when it fails in one line. */
async function said(endpoint: string, ...argv: string[]): Promise<string> {
  const { code, err } = await list(endpoint, ...argv);
  return code === 1 && /^culvert: [^\n]+\n$/.test(err) ? err : `not one line: ${code} ${err}`;
}

t.test(
  'what fails at TLS is one line with its remedy',
  { skip: skipWithoutProgram('openssl') },
  async (t) => {
    const folder = t.testdir();
    const { certificate, key } = makeCertificate(folder);
    const other = makeCertificate(folder, 'other').certificate;
    const pair = { cert: readFileSync(certificate), key: readFileSync(key) };
    const answer = (_request: unknown, response: { end(text: string): void }) => response.end(EMPTY);
    const secure = await listening(t, createSecureServer(pair, answer));
    const plain = await listening(t, createServer(answer));
    const nobody =
      /the certificate of https:\S+ is not signed by anyone this machine trusts; .*--ca-file or CULVERT_CA_FILE/;
    t.match(await said(`https://127.0.0.1:${secure}`), nobody, 'signed by itself');
    t.match(
      await said(`https://127.0.0.1:${secure}`, '--ca-file', other),
      nobody,
      'another certificate is trusted',
    );
    t.equal(
      (await list(`https://127.0.0.1:${secure}`, '--ca-file', certificate)).code,
      0,
      'so named it is trusted',
    );
    t.match(
      await said(`https://localhost:${secure}`, '--ca-file', certificate),
      /is for IP Address:127\.0\.0\.1; name the server so with --endpoint/,
    );
    t.match(
      await said(`https://127.0.0.1:${plain}`, '--ca-file', certificate),
      new RegExp(
        `the server at https://127\\.0\\.0\\.1:${plain} does not speak TLS; write http://127\\.0\\.0\\.1:${plain}\\n`,
      ),
    );
    t.match(
      await said(`http://127.0.0.1:${secure}`),
      new RegExp(`gives no HTTP answer; if it speaks TLS, write https://127\\.0\\.0\\.1:${secure}\\n`),
    );
    const nothing = join(folder, 'nothing.pem');
    t.match(
      await said(`https://127.0.0.1:${secure}`, '--ca-file', nothing),
      /cannot be read: ENOENT.*correct --ca-file/,
    );
    writeFileSync(nothing, 'no certificate');
    t.match(
      await said(`https://127.0.0.1:${secure}`, '--ca-file', nothing),
      /holds no certificate in PEM form/,
    );
  },
);

t.test('certificates out of their time, and what TLS has no part in', async (t) => {
  const of = (code: string, endpoint = 'https://vpn.example') => tlsTrouble(endpoint, { code });
  t.match(of('CERT_HAS_EXPIRED'), /has expired; renew it there, then run culvert serve-reload/);
  t.match(of('CERT_NOT_YET_VALID'), /check the clocks/);
  t.match(of('UNABLE_TO_VERIFY_LEAF_SIGNATURE'), /not signed by anyone/);
  t.equal(of('ECONNREFUSED'), undefined);
  t.equal(of('ECONNRESET', 'unix:/run/culvert/api.sock'), undefined);
  t.equal(of('ENOTFOUND', 'http://vpn.example'), undefined);
});
