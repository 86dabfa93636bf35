import { readFileSync } from 'node:fs';
import { dirname, relative, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const src = fileURLToPath(new URL('../../src/', import.meta.url));

/** Packages that a gateway under a server loads before it has its configuration. Each costs time without tunnels. */
const MAY_LOAD = ['pino', '@cfworker/json-schema'];

/** What is loaded with a file: itself and all that it imports, but for types. Packages by name, files from `src/`. */
function loadedWith(start: string): Map<string, string> {
  const from = new Map<string, string>();
  const visit = (file: string): void => {
    const text = readFileSync(resolve(src, file), 'utf8');
    for (const [, what, specifier] of text.matchAll(
      /^(?:im|ex)port (?!type\b)([^'";]*?)\bfrom '([^']+)';/gms,
    )) {
      if (what === undefined || specifier === undefined || specifier.startsWith('node:')) continue;
      const found = specifier.startsWith('.')
        ? relative(src, resolve(src, dirname(file), specifier)).replace(/\.js$/, '.ts')
        : specifier;
      if (from.has(found)) continue;
      from.set(found, file);
      if (found.endsWith('.ts')) visit(found);
    }
  };
  visit(start);
  return from;
}

t.test('a supervised gateway loads no library that it can do without', async (t) => {
  for (const entry of [
    'cli/gateway-start.ts',
    'cli/commands/gateway-process.ts',
    'daemon/supervised/run-supervised.ts',
    'telemetry/log.ts',
    'dataplane/ffi/loop/worker.ts',
  ]) {
    const loaded = loadedWith(entry);
    const packages = [...loaded].filter(([name]) => !name.endsWith('.ts') && !MAY_LOAD.includes(name));
    t.same(
      packages.map(([name, by]) => `${name} by ${by}`),
      [],
      entry,
    );
  }
  t.ok(
    loadedWith('daemon/supervised/run-supervised.ts').has('ike/engine.ts'),
    'the whole of it was looked at',
  );
  t.ok(loadedWith('cli/program.ts').has('yargs'), 'a package would have been found');
  t.ok(loadedWith('store/gateway-file.ts').has('yaml'), 'as would one further down');
});

t.test('TypeBox is there for its types alone', async (t) => {
  for (const entry of ['daemon/serve/serve.ts', 'cli/program.ts', 'daemon/system/lifecycle.ts']) {
    t.notOk(loadedWith(entry).has('typebox'), entry);
  }
});
