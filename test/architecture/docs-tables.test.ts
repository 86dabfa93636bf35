import { existsSync, readdirSync, readFileSync } from 'node:fs';
import t from 'tap';
import { adviceFor, STATUS_CAUSES } from '../../src/connection/reasons.js';
import { RELOAD_TABLE } from '../../src/connection/reload-table.js';
import { ACTIVITIES, ADVISORY_CODES } from '../../src/connection/status.js';
import { METHODS } from '../../src/daemon/control/methods.js';
import { QUIRKS } from '../../src/ike/quirks.js';
import { CONNECTION_FIELDS, FIELD_PATHS, fieldOf } from '../../src/store/connection-fields.js';
import { LimitsSchema } from '../../src/store/schema.js';

const read = (name: string): string =>
  readFileSync(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
const operation = read('operation');
const configuration = read('configuration');

t.test('the documents show the action table as it is in the code', async (t) => {
  for (const [field, { action, effect }] of Object.entries(RELOAD_TABLE)) {
    const name = field.startsWith('connection ') ? field : `\`${field}\``;
    t.ok(operation.includes(`| ${name} | ${action.replaceAll('_', ' ')} | ${effect} |`), field);
  }
});

t.test('they have every limit, every cause and every advisory, and no other', async (t) => {
  for (const field of Object.keys(LimitsSchema.properties))
    t.ok(configuration.includes(`| \`${field}\` |`), field);
  const section = operation.slice(operation.indexOf('## Causes'), operation.indexOf('## Reload'));
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
  t.same(named('| quirk |', 'Dropped packets').sort(), Object.keys(QUIRKS).sort(), 'and quirks');
});

t.test('and every method of the control socket, with its parameters', async (t) => {
  const section = operation.slice(operation.indexOf('## Control socket'), operation.indexOf('## Upgrades'));
  const rows = Object.entries(METHODS).map(([method, { params, does, notices }]) => {
    const list = Object.entries(params ?? {}).map(
      ([name, { is, optional }]) => `\`${name}\`${optional ? '?' : ''}: ${is}`,
    );
    const given = params === undefined ? 'a document' : list.join('; ');
    return `| \`${method}\` | ${given} | ${does} | ${notices === 'none' ? '' : `\`${notices}\``} |`;
  });
  t.same(
    section.split('\n').filter((line) => line.startsWith('| `')),
    rows,
  );
});

t.test('they show every field of a connection as the table of fields has it, and no other', async (t) => {
  const rows = configuration.split('\n').filter((line) => line.startsWith('| `connections[].'));
  const wanted = FIELD_PATHS.filter((path) => fieldOf(path).only !== 'api').map((path) => {
    const { means, usual, default: left } = fieldOf(path);
    return `| \`connections[].${path}\` | ${means} | ${usual ?? `\`${left}\``} |`;
  });
  t.same(rows, wanted);
  t.notOk(rows.join().includes('undefined'), 'each says what it means');
});

t.test(
  'a change of any field has its rows in the action table, and each row is that of a field',
  async (t) => {
    const ofFields = new Set<string>(Object.values(CONNECTION_FIELDS).flatMap(({ changes }) => [...changes]));
    const rows = Object.keys(RELOAD_TABLE).filter((row) => !/^(?:gateway\.|connection |limits)/.test(row));
    t.same([...ofFields].sort(), rows.sort());
    for (const path of FIELD_PATHS) {
      const { only, changes } = fieldOf(path);
      t.equal(changes.length === 0, only === 'api', path);
    }
  },
);

t.test('and every status and activity', async (t) => {
  const section = operation.slice(operation.indexOf('## States'), operation.indexOf('## Causes'));
  for (const name of ['up', 'degraded', 'down']) t.ok(section.includes(`| \`${name}\` |`), name);
  // `up` is in the table of states.
  for (const name of ACTIVITIES) t.ok(section.includes(`| \`${name}\` |`), name);
});

t.test('every link from one document to another leads somewhere', async (t) => {
  const root = new URL('../../', import.meta.url);
  const documents = [
    ...readdirSync(root).filter((name) => name.endsWith('.md')),
    ...readdirSync(new URL('docs/', root)).flatMap((name) => (name.endsWith('.md') ? [`docs/${name}`] : [])),
  ];
  const anchorsOf = (text: string): string[] =>
    [...text.matchAll(/^#+ (.+)$/gm)].map(([, title]) =>
      title!
        .toLowerCase()
        .replace(/[^a-z0-9 -]/g, '')
        .replaceAll(' ', '-'),
    );
  for (const name of documents) {
    const here = new URL(name, root);
    for (const [, target] of readFileSync(here, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)) {
      if (target!.startsWith('https:')) continue;
      const there = new URL(target!, here);
      const anchor = there.hash.slice(1);
      there.hash = '';
      t.ok(existsSync(there), `${name}: ${target}`);
      if (anchor !== '') t.ok(anchorsOf(readFileSync(there, 'utf8')).includes(anchor), `${name}: ${target}`);
    }
  }
});

t.test('the README stays one that is read to its end', async (t) => {
  const lines = readFileSync(new URL('../../README.md', import.meta.url), 'utf8').split('\n').length;
  t.ok(lines <= 151, `${lines} lines`);
});
