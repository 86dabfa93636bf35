import { existsSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const folder = new URL('../../../shared/vectors/', import.meta.url);

/** Whether the third-party vectors stand beside the checkout; tests that need them skip when not. */
export const vectorsPresent = existsSync(folder);

/** For tap's `skip` option: false when the vectors are there, the reason when they are not. */
export const skipWithoutVectors: string | false = vectorsPresent
  ? false
  : 'third-party vectors are not beside this checkout (../shared/vectors)';

/** Path of one vector file, for example `vectorPath('rfc/rfc4231-hmac-sha2.json')`. */
export function vectorPath(name: string): string {
  return fileURLToPath(new URL(name, folder));
}

/** The parsed content of a JSON vector file. */
export function readVectors<T>(name: string): T {
  return JSON.parse(readFileSync(vectorPath(name), 'utf8')) as T;
}

/** The parsed lines of a JSON-lines vector file. */
export function readVectorLines<T>(name: string): T[] {
  return readFileSync(vectorPath(name), 'utf8')
    .split('\n')
    .filter((line) => line.trim() !== '')
    .map((line) => JSON.parse(line) as T);
}

/** The parsed content of a file in `fixtures/`. */
export function readFixture<T>(name: string): T {
  return JSON.parse(readFileSync(new URL(`../../fixtures/${name}`, import.meta.url), 'utf8')) as T;
}
