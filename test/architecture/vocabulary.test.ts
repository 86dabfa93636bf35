import { readdirSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a reader would stumble over, and the usual word. CONTRIBUTING.md has the vocabulary. */
const UNUSUAL: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\b(MOST|LONGEST)_[A-Z0-9]/, 'MAX_'],
  [/\b(LEAST|SHORTEST)_[A-Z0-9]/, 'MIN_'],
  [/\bAnswers with (the|how|its)\b/, 'Returns'],
  [/\bmade anew\b/, 're-established, or made again'],
  [/\b(one|a word|an entry|a queue|a socket) a (worker|second|child|connection)\b/i, 'per'],
];

t.test('names and comments use the usual words', async (t) => {
  const files = ['src', 'bench'].flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true, recursive: true })
      .filter((entry) => entry.isFile() && entry.name.endsWith('.ts'))
      .map((entry) => join(entry.parentPath, entry.name)),
  );
  t.ok(files.length > 400);
  const found = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        UNUSUAL.filter(([pattern]) => pattern.test(line)).map(
          ([, instead]) => `${relative(root, file)}:${index + 1}: ${line.trim()} (${instead})`,
        ),
      ),
  );
  t.same(found, []);
});
