import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { foldEqual } from '../../src/cli/fold.js';
import { MAX_TEXT } from '../../src/store/text-file.js';
import { commandLine } from '../helpers/command-line.js';
import { PROGRAM, type ProgramOutcome, programOutcome, UNHOOKED } from '../helpers/program.js';

const folder = t.testdir();

const CONNECTIONS = (count: number): string =>
  Array.from(
    { length: count },
    (_, n) =>
      `  - { name: c${n}, psk: "o2Jx8Imw-eJTJTNg_FBDJRpJ0v", local: { cidrs: [10.1.0.0/24] }, peer: { address: 10.9.${n >> 8}.${n & 255}, cidrs: [10.2.${n}.0/24] } }\n`,
  ).join('');
const GATEWAY = 'gateway: { name: g, address: 192.0.2.1 }\n';

function file(name: string, text: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, text, { mode: 0o600 });
  return path;
}

/** The program behind a pipe. */
function piped(text: string, ...argv: string[]): Promise<ProgramOutcome> {
  const input = file('input', text);
  const line = `cat "${input}" | "${process.execPath}" "${PROGRAM}" "$@"`;
  return programOutcome(['env', ...UNHOOKED, 'sh', '-c', line, 'sh', ...argv]);
}

t.test('- is standard input', async (t) => {
  const good = await piped(`${GATEWAY}connections:\n${CONNECTIONS(1)}`, 'check', '--config', '-');
  t.equal(good.code, 0, good.err);
  t.match(good.out, /^standard input: ok, gateway g/);
  const bad = await piped(`${GATEWAY}conections: []\n`, 'check', '--config', '-');
  t.equal(bad.code, 1);
  t.match(bad.err, /^standard input:2:1: conections: is not a known field; did you mean "connections"\?/);
  t.match(bad.err, /1 error in standard input/);
  const apply = await piped('vpn_gateways: 5\n', 'apply', '-f', '-', '--endpoint', join(folder, 'none'));
  t.equal(apply.code, 1);
  t.match(apply.err, /standard input:1:\d+: vpn_gateways: needs a list/);
  for (const command of ['run', 'serve']) {
    const { code, err } = await commandLine(command, '--config', '-');
    t.equal(code, 2);
    t.match(
      err,
      /^culvert: --config takes a file here, not standard input: it is read again at every reload/,
    );
  }
});

t.test('what is no text of bearable length is refused by what it is', async (t) => {
  const wide = Buffer.concat([Buffer.from([0xff, 0xfe]), Buffer.from(GATEWAY, 'utf16le')]);
  for (const [path, said] of [
    ['/dev/zero', /is longer than 4194304 octets, the most that are read/],
    [file('long.yaml', Buffer.alloc(MAX_TEXT + 1, '# ')), /is longer than 4194304 octets/],
    [file('wide.yaml', wide), /is in UTF-16: save it as UTF-8/],
    [
      file('latin.yaml', Buffer.from('gateway: { name: Z\xfcrich }', 'latin1')),
      /is not in UTF-8: save it as UTF-8/,
    ],
    [file('binary.yaml', readFileSync(process.execPath).subarray(0, 4096)), /holds octets of value zero/],
    [join(folder, 'none.yaml'), /is not there/],
    [folder, /is a folder: name a file in it/],
  ] as const) {
    for (const argv of [
      ['check', '--config', path],
      ['run', '--config', path],
      ['serve', '--config', path],
      ['apply', '-f', path],
    ]) {
      const { code, err } = await commandLine(...argv);
      t.equal(code, 1, argv.join(' '));
      t.match(err, said, argv.join(' '));
      t.match(err, /^culvert: the (configuration )?file [^\n]+\n$/, 'one line that names the file');
    }
  }
  const marked = await commandLine('check', '--config', file('marked.yaml', `\ufeff${GATEWAY}`));
  t.equal(marked.code, 0, 'a mark of UTF-8 is none of this');
  t.match(marked.out, /without connections it carries no traffic: add some under "connections"/);
});

t.test('equal advisories are one line, and programs get each', async (t) => {
  const path = file('many.yaml', `${GATEWAY}connections:\n${CONNECTIONS(200)}`);
  const [text, json] = await Promise.all([
    commandLine('check', '--config', path),
    commandLine('check', '--config', path, '--output', 'json'),
  ]);
  const lines = text.out.trimEnd().split('\n');
  t.equal(lines.length, 2, text.out);
  t.match(lines[1], /^ {2}c0: auto-negotiation also accepts .* \(the same for 199 more\)$/);
  t.equal(JSON.parse(json.out).advisories.length, 200);
  const about = (connection: string, message: string) => ({ connection, message });
  t.same(foldEqual([about('a', 'x'), about('b', 'y'), about('c', 'x')]), ['a: x (the same for c)', 'b: y']);
});
