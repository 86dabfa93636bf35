import { readFileSync } from 'node:fs';
import t from 'tap';
import { adviceFor } from '../../src/connection/reasons.js';
import { RELOAD_TABLE } from '../../src/connection/reload-table.js';
import { LimitsSchema } from '../../src/store/schema.js';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

t.test('the README shows the action table as it is in the code', async (t) => {
  for (const [field, { action, effect }] of Object.entries(RELOAD_TABLE)) {
    const name = field.startsWith('connection ') ? field : `\`${field}\``;
    t.ok(readme.includes(`| ${name} | ${action.replaceAll('_', ' ')} | ${effect} |`), field);
  }
});

t.test('it has every limit, and every cause it names is one', async (t) => {
  for (const field of Object.keys(LimitsSchema.properties)) t.ok(readme.includes(`| \`${field}\` |`), field);
  const section = readme.slice(readme.indexOf('### Causes'), readme.indexOf('### Reload'));
  const rows = section.split('\n').filter((line) => line.startsWith('| `'));
  const causes = rows.flatMap((row) =>
    [...row.split('|')[1]!.matchAll(/`([a-z_0-9]+)`/g)].map((found) => found[1]!),
  );
  t.ok(causes.length > 20);
  for (const cause of causes) t.ok(adviceFor(cause), cause);
});
