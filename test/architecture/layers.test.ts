import { readFileSync } from 'node:fs';
import { dirname, join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { sourceFiles } from '../helpers/source-files.js';

/** Rooms in order: a file may import its own room and those before it. */
const LAYERS = [
  'util',
  'wire',
  'crypto',
  'ike',
  'esp',
  'connection',
  'linux',
  'dataplane',
  'store',
  'telemetry',
  'api',
  'daemon',
  'cli',
  'main.ts',
];

/** For browsers, with packages and a compiler configuration of its own: it knows the API by its types alone. */
const CONSOLE = 'console';

/** Siblings that must not know each other although one comes first. */
const FORBIDDEN = new Set(['esp → ike', 'linux → connection', 'linux → ike']);

/** Rooms without sockets, timers, clock or randomness, and the files in them that are meant to touch Node. */
const SANS_IO = ['util', 'wire', 'crypto', 'ike', 'esp', 'connection'];
const MAY_USE_NODE = ['crypto/backends/openssl', 'crypto/backend.ts'];

const src = fileURLToPath(new URL('../../src/', import.meta.url));

interface Import {
  readonly specifier: string;
  /** Nothing is left of it in the program. */
  readonly isType: boolean;
  readonly line: number;
}

function importsOf(text: string): Import[] {
  const found: Import[] = [];
  const pattern =
    /(?:^|\n)\s*(?:import|export)\s[^;'"]*?from\s*['"]([^'"]+)['"]|(?:^|\n)\s*import\s*['"]([^'"]+)['"]|import\(\s*['"]([^'"]+)['"]\s*\)/g;
  for (const match of text.matchAll(pattern)) {
    const specifier = match[1] ?? match[2] ?? match[3];
    if (specifier === undefined) continue;
    const isType = /^\s*(?:import|export) type /.test(match[0]);
    found.push({ specifier, isType, line: text.slice(0, match.index).split('\n').length });
  }
  return found;
}

/** The imported file relative to src, or undefined for a package. */
function target(file: string, specifier: string): string | undefined {
  if (!specifier.startsWith('.')) return undefined;
  const path = relative(src, resolve(join(src, dirname(file)), specifier));
  return path.split(sep).join('/').replace(/\.js$/, '.ts');
}

const room = (file: string): string => file.split('/')[0]!;

/** First import cycle found from any file, as a list of files, or undefined. */
function findCycle(graph: ReadonlyMap<string, readonly string[]>): string[] | undefined {
  const done = new Set<string>();
  const path: string[] = [];
  const visit = (file: string): string[] | undefined => {
    const at = path.indexOf(file);
    if (at >= 0) return [...path.slice(at), file];
    if (done.has(file)) return undefined;
    path.push(file);
    for (const next of graph.get(file) ?? []) {
      const cycle = visit(next);
      if (cycle !== undefined) return cycle;
    }
    path.pop();
    done.add(file);
    return undefined;
  };
  for (const file of graph.keys()) {
    const cycle = visit(file);
    if (cycle !== undefined) return cycle;
  }
  return undefined;
}

const files = sourceFiles(src);
const imports = new Map(files.map((file) => [file, importsOf(readFileSync(join(src, file), 'utf8'))]));

t.test('every file lives in a room of the plan', async (t) => {
  t.ok(files.length > 0, 'there are source files');
  for (const file of files) {
    t.ok(room(file) === CONSOLE || LAYERS.includes(room(file)), `${file} is in a known room`);
  }
});

t.test('a room imports only rooms before it', async (t) => {
  const wrong: string[] = [];
  for (const [file, list] of imports) {
    if (room(file) === CONSOLE) continue;
    for (const { specifier, line } of list) {
      const to = target(file, specifier);
      if (to === undefined) continue;
      if (room(to) === CONSOLE) wrong.push(`${file}:${line} imports ${to}`);
      const from = LAYERS.indexOf(room(file));
      const upwards = LAYERS.indexOf(room(to)) > from;
      if (upwards || FORBIDDEN.has(`${room(file)} → ${room(to)}`))
        wrong.push(`${file}:${line} imports ${to}`);
    }
  }
  t.same(wrong, []);
});

t.test('the console imports types of the API, and nothing else of the program', async (t) => {
  const own = [...imports].filter(([file]) => room(file) === CONSOLE);
  t.ok(own.length > 20, `${own.length} files`);
  const wrong = own.flatMap(([file, list]) =>
    list.flatMap(({ specifier, isType, line }) => {
      const to = target(file, specifier);
      if (specifier.startsWith('node:'))
        return /vite\.config\.ts$/.test(file) ? [] : [`${file}:${line} ${specifier}`];
      if (to === undefined || room(to) === CONSOLE) return [];
      return isType && room(to) === 'api' ? [] : [`${file}:${line} imports ${to}`];
    }),
  );
  t.same(wrong, []);
});

t.test('imports name files that exist', async (t) => {
  const known = new Set(files);
  const wrong: string[] = [];
  for (const [file, list] of imports) {
    for (const { specifier, line } of list) {
      const to = target(file, specifier);
      if (to !== undefined && !/^console\/generated\/|\.scss$/.test(to) && !known.has(to))
        wrong.push(`${file}:${line} imports ${specifier}`);
    }
  }
  t.same(wrong, []);
});

t.test('no import cycles', async (t) => {
  const graph = new Map(
    [...imports].map(([file, list]) => [
      file,
      list.map(({ specifier }) => target(file, specifier)).filter((to) => to !== undefined),
    ]),
  );
  t.equal(findCycle(graph), undefined);
  t.same(
    findCycle(
      new Map([
        ['a', ['b']],
        ['b', ['c']],
        ['c', ['a']],
      ]),
    ),
    ['a', 'b', 'c', 'a'],
    'the search does find one',
  );
});

t.test(
  'the front doors of the package: each room that has one names all that is public, and is used from outside only',
  async (t) => {
    const manifest = JSON.parse(readFileSync(join(src, '../package.json'), 'utf8'));
    const doors = files.filter((file) => file.endsWith('/index.ts')).map(room);
    const exported = Object.keys(manifest.exports).filter((name) => name !== './package.json');
    t.same(
      exported,
      doors.map((name) => `./${name}`),
    );
    for (const name of doors) {
      const { source, types, default: program } = manifest.exports[`./${name}`];
      t.same(
        [source, types, program],
        [`./src/${name}/index.ts`, `./dist/${name}/index.d.ts`, `./dist/${name}/index.js`],
      );
    }
    const wrong = [...imports].flatMap(([file, list]) =>
      list.flatMap(({ specifier, line }) =>
        target(file, specifier)?.endsWith('/index.ts') ? [`${file}:${line} imports ${specifier}`] : [],
      ),
    );
    t.same(wrong, [], 'inside, a file names the file that it needs');
  },
);

t.test('the protocol rooms do no input or output of their own', async (t) => {
  const wrong: string[] = [];
  for (const [file, list] of imports) {
    if (!SANS_IO.includes(room(file))) continue;
    if (MAY_USE_NODE.some((prefix) => file.startsWith(prefix))) continue;
    for (const { specifier, line } of list) {
      if (specifier.startsWith('node:')) wrong.push(`${file}:${line} imports ${specifier}`);
    }
  }
  t.same(wrong, []);
});

t.test('files stay small enough to read in one go', async (t) => {
  const long = files
    .map((file) => ({ file, lines: readFileSync(join(src, file), 'utf8').split('\n').length }))
    .filter(({ lines }) => lines > 600);
  t.same(long, []);
});

t.test('the protocol rooms ask nobody for the time or for chance', async (t) => {
  const pattern =
    /\b(Date\.now|new Date|Math\.random|performance\.now|setTimeout|setInterval|setImmediate)\b/;
  const wrong: string[] = [];
  for (const file of files) {
    if (!SANS_IO.includes(room(file))) continue;
    const lines = readFileSync(join(src, file), 'utf8').split('\n');
    lines.forEach((line, at) => {
      const code = line.replace(/\/\/.*$/, '').replace(/^\s*\*.*$/, '');
      if (pattern.test(code)) wrong.push(`${file}:${at + 1}: ${line.trim()}`);
    });
  }
  t.same(wrong, []);
});
