import {
  copyFileSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t, { type Test } from 'tap';
import { PROGRAM, programOutcome, UNHOOKED } from '../helpers/program.js';

const dist = dirname(PROGRAM);
const root = dirname(dist);

/** What a run of the program loads from dist/, by the report of V8. */
async function loadedBy(t: Test, program: string, ...argv: string[]): Promise<string[]> {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-loaded-'));
  t.teardown(() => rmSync(folder, { recursive: true }));
  const environment = [...UNHOOKED, `NODE_V8_COVERAGE=${folder}`];
  const { code, err } = await programOutcome(['env', ...environment, process.execPath, program, ...argv]);
  t.equal(code, 0, err);
  return readdirSync(folder).flatMap((name) => {
    const { result } = JSON.parse(readFileSync(join(folder, name), 'utf8')) as {
      result: { url: string }[];
    };
    return result.flatMap(({ url }) =>
      url.startsWith('file:') && !url.includes('/node_modules/') ? fileURLToPath(url).slice(root.length) : [],
    );
  });
}

t.test('the program runs in few files, out of its bundle', async (t) => {
  const loaded = await loadedBy(t, PROGRAM, '--version');
  t.ok(loaded.includes('/dist/bundled/cli/program.js'), loaded.join(' '));
  t.notOk(loaded.includes('/dist/cli/program.js'));
  t.ok(loaded.length < 100, `${loaded.length} files`);
});

t.test('what was compiled later is run as it was compiled', async (t) => {
  const folder = t.testdir({ dist: {} });
  const own = join(folder, 'dist');
  for (const name of readdirSync(dist)) {
    if (name !== 'main.js' && name !== '.tsbuildinfo') symlinkSync(join(dist, name), join(own, name));
  }
  copyFileSync(PROGRAM, join(own, 'main.js'));
  copyFileSync(join(root, 'package.json'), join(folder, 'package.json'));
  writeFileSync(join(own, '.tsbuildinfo'), '');
  const later = new Date(Date.now() + 60_000);
  utimesSync(join(own, '.tsbuildinfo'), later, later);
  t.ok((await loadedBy(t, join(own, 'main.js'), '--version')).includes('/dist/cli/program.js'));
  const long = new Date(0);
  utimesSync(join(own, '.tsbuildinfo'), long, long);
  t.ok((await loadedBy(t, join(own, 'main.js'), '--version')).includes('/dist/bundled/cli/program.js'));
});
