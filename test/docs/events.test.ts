import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { type CatalogueEntry, describeEvent, EVENTS, entryOf } from '../../src/connection/event-catalogue.js';
import { CLOSES } from '../../src/connection/losses.js';
import { subjectOf } from '../../src/ike/event-subject.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { EVERY_EVENT } from '../connection/every-event.js';

const reference = new URL('../../docs/events.md', import.meta.url);

const HEAD = `# Events

All that the engine reports. Log lines, the history in \`culvert explain\`, status reasons and metrics are made of
these events and of nothing else. \`src/connection/event-catalogue.ts\` holds them; \`npm run docs\` writes this page.

A log line carries the event's kind as \`event\` and, when it is known, its connection as \`connection\`. Where a failure
is reported, \`cause\` is one of the causes in [operation.md](operation.md#causes), and the evidence and the advice are
fields, too. Repeats of a folded event are one line for ten seconds, those of a silent peer for an hour; \`repeats\` says
how many were left out.
`;

function levels({ level }: CatalogueEntry<IkeEvent>): string {
  return typeof level === 'string' ? level : level.among.join(' or ');
}

function fields(entry: CatalogueEntry<IkeEvent>): string {
  const own = Object.keys(entry.fields ?? {}).map((name) => `\`${name}\``);
  return [...(entry.failure === undefined ? [] : ['`cause`', 'evidence', '`advice`']), ...own].join(', ');
}

/** What the samples of a kind put into the history of a connection. */
function histories(kind: string): string {
  const found = EVERY_EVENT.filter((event) => event.kind === kind).flatMap(
    (event) => entryOf(event).history?.(event).kind ?? [],
  );
  return [...new Set(found)].join(', ');
}

function page(): string {
  const rows = Object.entries(EVENTS).map(([kind, entry]) => {
    const one = entry as CatalogueEntry<IkeEvent>;
    const folded = one.fold === undefined ? '' : 'yes';
    return `| \`${kind}\` | ${one.meaning} | ${levels(one)} | ${fields(one)} | ${histories(kind)} | ${folded} | ${one.spec ?? ''} |`;
  });
  const closes = Object.entries(CLOSES).map(
    ([reason, { words, failure }]) =>
      `| \`${reason}\` | ${words} | ${failure === undefined ? 'yes' : 'no'} | ${failure === undefined ? '' : `\`${failure.cause}\``} |`,
  );
  return `${HEAD}
| event | meaning | level | fields | history | folded | RFC |
|---|---|---|---|---|---|---|
${rows.join('\n')}

## Reasons of a close

| reason | in the log | intended | cause in the status |
|---|---|---|---|
${closes.join('\n')}
`;
}

t.test('the reference of events is made of the catalogue', async (t) => {
  const made = page();
  if (process.env.CULVERT_WRITE === '1') writeFileSync(reference, made);
  t.equal(made, readFileSync(reference, 'utf8'), 'npm run docs writes it');
});

t.test(
  'every kind has samples, and their lines have the fields and levels of the catalogue only',
  async (t) => {
    t.same([...new Set(EVERY_EVENT.map(({ kind }) => kind))].sort(), Object.keys(EVENTS).sort());
    for (const event of EVERY_EVENT) {
      const entry = entryOf(event);
      const line = describeEvent(event);
      t.ok(levels(entry).split(' or ').includes(line.level), `${event.kind}: ${line.level}`);
      const known = new Set(Object.keys(entry.fields ?? {}));
      if (entry.failure === undefined)
        t.same(
          Object.keys(line.fields).filter((name) => !known.has(name)),
          [],
          event.kind,
        );
      else if (entry.failure(event) !== undefined) t.hasProps(line.fields, ['cause', 'role']);
    }
  },
);

t.test('the subject of every event is found in it', async (t) => {
  for (const event of EVERY_EVENT) {
    const text = JSON.stringify(event);
    const { connection, ikeId, childId } = subjectOf(event);
    t.equal(text.includes('"connection":'), connection !== undefined, `${event.kind}: connection`);
    t.equal(text.includes('"ikeId":'), ikeId !== undefined, `${event.kind}: IKE SA`);
    t.equal(text.includes('"childId":'), childId !== undefined, `${event.kind}: child SA`);
  }
});
