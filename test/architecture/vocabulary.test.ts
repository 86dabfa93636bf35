import { readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { sourceFiles } from '../helpers/source-files.js';

const root = fileURLToPath(new URL('../../', import.meta.url));

/** What a reader would stumble over, and the usual word. CONTRIBUTING.md has the vocabulary. */
const UNUSUAL: readonly (readonly [pattern: RegExp, instead: string])[] = [
  [/\b(MOST|LONGEST)_[A-Z0-9]/, 'MAX_'],
  [/\b(LEAST|SHORTEST)_[A-Z0-9]/, 'MIN_'],
  [/\bAnswers with (the|how|its)\b/, 'Returns'],
  [/\bmade anew\b/, 're-established, or made again'],
  [/\b(one|a word|an entry|a queue|a socket) a (worker|second|child|connection)\b/i, 'per'],
];

/** The same in comments alone: texts for operators and names of the API have words of their own. */
const UNUSUAL_IN_COMMENTS: typeof UNUSUAL = [
  [/\banew\b/i, 'again'],
  [/\b(stands?|stood|standing)\b/i, 'is, is established, means'],
  [/\b(is|are|was|were|be) told\b/, 'is reported, is informed'],
  [/\b(some|no|every)body\b|\bwhoever\b/i, 'the one who acts'],
  [/\bgo(es)? by (the )?(names?|ids?|hand|number)\b/, 'uses'],
  [/\blook(s|ed)? after\b/, 'needs attention, takes charge of'],
  [/\bat the most\b/, 'at most'],
  [/(?<!`)\btells?\b/i, 'says, reports, distinguishes, informs'],
  [/\bwithout a word\b/, 'silently'],
  [/\bonce an? (connection|thread|burst|fragment|call|worker)\b/, 'once per'],
  [/\b(comes?|coming) to nothing\b/, 'fails, in vain'],
  [/\btaken for\b/i, 'treated as'],
  [/\b(MAC|ICV|HASH(_[IR])?|AUTH|tag|cookie) (does not )?holds?\b/, 'verifies'],
  [
    /\bbehind (this|that|them|one|after|the (name|path|prefix|key|header|space|colon|transaction))\b/,
    'after',
  ],
];

/** What a line says to a reader of the source. */
const COMMENT = /^\s*(\/?\*|\/\/).*|\/\*\* .*|\s\/\/ .*/;

t.test('names and comments use the usual words', async (t) => {
  const files = ['src', 'bench'].flatMap((folder) =>
    sourceFiles(join(root, folder)).map((file) => join(root, folder, file)),
  );
  t.ok(files.length > 400);
  const found = files.flatMap((file) =>
    readFileSync(file, 'utf8')
      .split('\n')
      .flatMap((line, index) =>
        [
          ...UNUSUAL.filter(([pattern]) => pattern.test(line)),
          ...UNUSUAL_IN_COMMENTS.filter(([pattern]) => pattern.test(COMMENT.exec(line)?.[0] ?? '')),
        ].map(([, instead]) => `${relative(root, file)}:${index + 1}: ${line.trim()} (${instead})`),
      ),
  );
  t.same(found, []);
});
