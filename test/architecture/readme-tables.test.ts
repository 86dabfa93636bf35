import { readFileSync } from 'node:fs';
import t from 'tap';
import { adviceFor, STATUS_CAUSES } from '../../src/connection/reasons.js';
import { RELOAD_TABLE } from '../../src/connection/reload-table.js';
import { ACTIVITIES, ADVISORY_CODES } from '../../src/connection/status.js';
import { QUIRK_CODES } from '../../src/ike/quirks.js';
import { LimitsSchema } from '../../src/store/schema.js';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');

t.test('the README shows the action table as it is in the code', async (t) => {
  for (const [field, { action, effect }] of Object.entries(RELOAD_TABLE)) {
    const name = field.startsWith('connection ') ? field : `\`${field}\``;
    t.ok(readme.includes(`| ${name} | ${action.replaceAll('_', ' ')} | ${effect} |`), field);
  }
});

t.test('it has every limit, every cause and every advisory, and no other', async (t) => {
  for (const field of Object.keys(LimitsSchema.properties)) t.ok(readme.includes(`| \`${field}\` |`), field);
  const section = readme.slice(readme.indexOf('### Causes'), readme.indexOf('### Reload'));
  const named = (from: string, to: string): string[] =>
    section
      .slice(section.indexOf(from), section.indexOf(to))
      .split('\n')
      .filter((line) => line.startsWith('| `'))
      .flatMap((row) => [...row.split('|')[1]!.matchAll(/`([a-z_0-9]+)`/g)].map((found) => found[1]!));
  t.same(
    named('| cause |', '| advisory |').sort(),
    [...STATUS_CAUSES].sort(),
    'what each means and what to do',
  );
  for (const cause of STATUS_CAUSES) t.ok(adviceFor(cause), cause);
  t.same(named('| advisory |', '| quirk |').sort(), [...ADVISORY_CODES].sort(), 'so for advisories');
  t.same(named('| quirk |', 'Dropped packets').sort(), [...QUIRK_CODES].sort(), 'and quirks');
});

t.test('and every status and activity', async (t) => {
  const section = readme.slice(readme.indexOf('### States'), readme.indexOf('### Causes'));
  for (const name of ['up', 'degraded', 'down']) t.ok(section.includes(`| \`${name}\` |`), name);
  // `up` is in the table of states.
  for (const name of ACTIVITIES) t.ok(section.includes(`| \`${name}\` |`), name);
});
