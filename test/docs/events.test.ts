import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import {
  type CatalogueEntry,
  describeEvent,
  EVENTS,
  entryOf,
  isStreamedKind,
} from '../../src/connection/event-catalogue.js';
import { CLOSES } from '../../src/connection/losses.js';
import { subjectOf } from '../../src/ike/event-subject.js';
import type { IkeEvent } from '../../src/ike/events.js';
import {
  describeOperatorEvent,
  OPERATOR_EVENTS,
  type OperatorEvent,
} from '../../src/telemetry/events/operator-events.js';
import { EVERY_EVENT } from '../connection/every-event.js';
import { EVERY_OPERATOR_EVENT } from '../telemetry/every-operator-event.js';

const reference = new URL('../../docs/events.md', import.meta.url);

const HEAD = `# Events

All that the engine reports. Log lines, the history in \`culvert explain\`, status reasons and metrics are made of
these events and of nothing else. \`src/connection/event-catalogue.ts\` holds them; \`npm run docs\` writes this page.

A log line carries the event's kind as \`event\` and, when it is known, its connection as \`connection\`. Where a failure
is reported, \`cause\` is one of the causes in [operation.md](operation.md#causes), and the evidence and the advice are
fields, too. Repeats of a folded event are one line for ten seconds, those of a silent peer for an hour; \`repeats\` says
how many were left out.

## The stream

\`culvert events\`, \`GET /culvert/v1/events\` and webhooks give events as JSON documents, see [api.md](api.md#events):
those that are marked here, and those [around the engine](#around-the-engine). Their words, fields and folding are those
of the log, whatever its level.

## Of the engine
`;

const AROUND = `## Around the engine

What happens to gateways as a whole, to objects and to the server. \`src/telemetry/events/operator-events.ts\` holds them;
all of them are streamed. A gateway with a file of its own has \`connection-status\`, \`gateway-reloaded\` and \`gap\`.

| event | meaning | level | fields |
|---|---|---|---|`;

function levels({ level }: Pick<CatalogueEntry<IkeEvent>, 'level'>): string {
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
    const streamed = isStreamedKind(kind as IkeEvent['kind']) ? 'yes' : '';
    return `| \`${kind}\` | ${one.meaning} | ${levels(one)} | ${fields(one)} | ${histories(kind)} | ${folded} | ${streamed} | ${one.spec ?? ''} |`;
  });
  const around = Object.entries(OPERATOR_EVENTS).map(([kind, { meaning, level, fields: own = {} }]) => {
    const among = typeof level === 'string' ? level : level.among.join(' or ');
    const names = Object.keys(own).map((name) => `\`${name}\``);
    return `| \`${kind}\` | ${meaning} | ${among} | ${names.join(', ')} |`;
  });
  const closes = Object.entries(CLOSES).map(
    ([reason, { words, failure }]) =>
      `| \`${reason}\` | ${words} | ${failure === undefined ? 'yes' : 'no'} | ${failure === undefined ? '' : `\`${failure.cause}\``} |`,
  );
  return `${HEAD}
| event | meaning | level | fields | history | folded | streamed | RFC |
|---|---|---|---|---|---|---|---|
${rows.join('\n')}

${AROUND}
${around.join('\n')}

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

t.test(
  'every event around the engine has samples, with the fields and levels of its entry only',
  async (t) => {
    const kinds: readonly string[] = EVERY_OPERATOR_EVENT.map(({ kind }) => kind);
    t.same([...new Set(kinds)].sort(), Object.keys(OPERATOR_EVENTS).sort());
    const seen = new Map<OperatorEvent['kind'], Set<string>>();
    for (const event of EVERY_OPERATOR_EVENT) {
      const { fields: own = {}, level } = OPERATOR_EVENTS[event.kind];
      const line = describeOperatorEvent(event);
      t.notMatch(line.message, /undefined|\[object/, event.kind);
      t.ok((typeof level === 'string' ? [level] : level.among).includes(line.level), event.kind);
      t.same(
        Object.keys(line.fields).filter((name) => !Object.hasOwn(own, name)),
        [],
        event.kind,
      );
      seen.set(event.kind, new Set([...(seen.get(event.kind) ?? []), line.level]));
    }
    for (const [kind, { level }] of Object.entries(OPERATOR_EVENTS)) {
      const due = typeof level === 'string' ? [level] : level.among;
      t.same(
        [...(seen.get(kind as OperatorEvent['kind']) ?? [])].sort(),
        [...due].sort(),
        `${kind}: every level`,
      );
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
