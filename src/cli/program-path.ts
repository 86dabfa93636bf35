import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The script this program runs from, for starting another one of it. */
export const programPath = fileURLToPath(new URL('../main.js', import.meta.url));

/** Folder of the built console, beside that script. */
export const consoleFolder = fileURLToPath(new URL('../console', import.meta.url));

/** How the person started this program, for command lines to copy. */
export function programWords(): string {
  const script = process.argv[1] ?? programPath;
  if (basename(script) === 'culvert') return 'culvert';
  const near = relative(process.cwd(), script);
  return `node ${near.startsWith('..') ? script : near}`;
}
