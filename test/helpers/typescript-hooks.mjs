import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const require = createRequire(import.meta.url);
const kept = fileURLToPath(new URL('../../node_modules/.cache/typescript-tests/', import.meta.url));
mkdirSync(kept, { recursive: true });

/** Other output comes of another compiler or of other options: all that the result depends on beside the file. */
const compilerOptions = {
  module: 'esnext',
  target: 'es2023',
  verbatimModuleSyntax: true,
  inlineSourceMap: true,
  inlineSources: true,
};
const { version } = require('typescript/package.json');
const made = JSON.stringify([version, compilerOptions]);
/** Loaded when there is something to compile: it takes longer than most tests. */
let typescript;

const hash = (...texts) => texts.reduce((all, text) => all.update(text), createHash('sha256')).digest('hex');

/** `./file.js` is `./file.ts` where there is one. */
export function resolve(specifier, context, next) {
  if (specifier.startsWith('.') && specifier.endsWith('.js')) {
    const url = new URL(`${specifier.slice(0, -3)}.ts`, context.parentURL);
    if (existsSync(url)) return { url: url.href, format: 'module', shortCircuit: true };
  }
  return next(specifier, context);
}

export function load(url, context, next) {
  if (!url.startsWith('file:') || !/\.ts(\?|$)/.test(url)) return next(url, context);
  const path = fileURLToPath(url);
  return { format: 'module', source: javascript(path, readFileSync(path, 'utf8')), shortCircuit: true };
}

/** One result per file is kept, with what it was made of in its last line. */
function javascript(path, text) {
  const place = `${kept}${hash(path)}.js`;
  const mark = `\n//${hash(made, text)}\n`;
  if (existsSync(place)) {
    const before = readFileSync(place, 'utf8');
    if (before.endsWith(mark)) return before;
  }
  typescript ??= require('typescript');
  const { outputText } = typescript.transpileModule(text, { fileName: path, compilerOptions });
  const source = outputText + mark;
  // Other processes read it at the same time.
  const draft = `${place}.${process.pid}`;
  writeFileSync(draft, source);
  renameSync(draft, place);
  return source;
}
