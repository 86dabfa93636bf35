// Puts the modules of dist/ into few files under dist/bundled/, which dist/main.js runs: Node takes as long to find and
// link five hundred modules as a gateway takes for everything else at its start. The modules stay beside them, for
// programs that import the libraries, and for whoever compiles without this step.

import { mkdirSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { build } from 'esbuild';

const root = fileURLToPath(new URL('..', import.meta.url));
const dist = join(root, 'dist');
const outdir = join(dist, 'bundled');
/** As old as the compilation that was bundled: dist/main.js compares it with the newest one. */
const stamp = join(outdir, '.stamp');
const compiled = statSync(join(dist, '.tsbuildinfo'));

/** What is started by its file: by dist/main.js, and as threads. */
const ENTRIES = [
  ...['terminal', 'gateway-start', 'program'].map((name) => `cli/${name}.js`),
  'dataplane/ffi/loop/worker.js',
  'dataplane/tun-watch.js',
  'telemetry/metrics/render-thread.js',
];
/** Packages of plain ECMAScript modules, which gain as our own do. All others are loaded from where they are. */
const BUNDLED = [/^@noble\//, /^@cfworker\//];

if ((statSync(stamp, { throwIfNoEntry: false })?.mtimeMs ?? 0) < compiled.mtimeMs) await bundle();

async function bundle() {
  const { dependencies, optionalDependencies } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const packages = Object.keys({ ...dependencies, ...optionalDependencies });
  rmSync(outdir, { recursive: true, force: true });
  await build({
    entryPoints: ENTRIES.map((name) => join(dist, name)),
    outbase: dist,
    outdir,
    bundle: true,
    splitting: true,
    chunkNames: 'chunks/[name]-[hash]',
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: packages.filter((name) => !BUNDLED.some((pattern) => pattern.test(name))),
    plugins: [{ name: 'places', setup: keepPlaces }],
    logLevel: 'warning',
  });
  writeFileSync(stamp, '');
  // Times are set in whole milliseconds, and not exactly: a little later than the compilation, lest it seem older.
  const later = new Date(Math.ceil(compiled.mtimeMs) + 1);
  utimesSync(stamp, later, later);
}

/**
 * A module finds files by `import.meta.url`, which would be that of the bundle: it stays that of the module, but for
 * threads, which are in the bundle themselves. `ROOT` is replaced, file by file, by the way from there to dist/.
 */
function keepPlaces({ onLoad, onEnd, initialOptions }) {
  initialOptions.write = false;
  onLoad({ filter: /\/dist\/.*\.js$/ }, ({ path }) => {
    const text = readFileSync(path, 'utf8');
    if (!text.includes('import.meta.url')) return undefined;
    const place = (file) => `new URL(${JSON.stringify(`ROOT/${relative(dist, file)}`)}, import.meta.url)`;
    const contents = text
      .replace(/new URL\('([^']+)', import\.meta\.url\)/g, (_, name) => {
        const file = join(path, '..', name);
        return place(ENTRIES.includes(relative(dist, file)) ? join(outdir, relative(dist, file)) : file);
      })
      .replace(/(?<!, )import\.meta\.url/g, `${place(path)}.href`);
    return { contents };
  });
  onEnd(({ outputFiles = [] }) => {
    for (const { path, text } of outputFiles) {
      mkdirSync(dirname(path), { recursive: true });
      writeFileSync(path, text.replaceAll('"ROOT/', `"${relative(dirname(path), dist)}/`));
    }
  });
}
