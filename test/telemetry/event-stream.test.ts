import t from 'tap';
import { ConnectionNames } from '../../src/connection/connection-names.js';
import { isStreamedKind } from '../../src/connection/event-catalogue.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { EventLines } from '../../src/telemetry/event-lines.js';
import { EventLog } from '../../src/telemetry/event-log.js';
import type { NewEvent } from '../../src/telemetry/events/event-document.js';
import { EventStream } from '../../src/telemetry/events/event-stream.js';
import { EVENT_KINDS } from '../../src/telemetry/events/kinds.js';
import { createLogger } from '../../src/telemetry/log.js';
import { EVERY_EVENT } from '../connection/every-event.js';

function streamed(names?: ConnectionNames) {
  const events: NewEvent[] = [];
  const logged: string[] = [];
  const logger = createLogger({ level: 'error', destination: { write: (line) => logged.push(line) } });
  const stream = new EventStream((event) => void events.push(event));
  return { events, logged, lines: new EventLines([new EventLog(logger), stream], names) };
}

t.test('every event but those for debugging is streamed, whatever the log says', async (t) => {
  for (const event of EVERY_EVENT) {
    const { events, logged, lines } = streamed();
    lines.on(event, 0);
    t.same(
      events.map(({ kind }) => kind),
      isStreamedKind(event.kind) ? [event.kind] : [],
      event.kind,
    );
    t.same(logged, [], 'a log of errors only');
    if (isStreamedKind(event.kind)) t.ok(EVENT_KINDS.includes(event.kind));
    for (const { level } of events) t.not(level, 'debug');
  }
  t.notOk(EVENT_KINDS.includes('message'), 'a message is for debugging');
  t.ok(EVENT_KINDS.includes('advisory-withdrawn'), 'the end of what was streamed is streamed');
});

t.test('connections have id and name, failures their cause and evidence', async (t) => {
  const names = new ConnectionNames();
  names.configure([{ id: 'c-1', name: 'to-east' }]);
  const { events, lines } = streamed(names);
  const details = { ours: ['A'], theirs: ['B'] };
  const failure = { cause: 'ike_proposal_mismatch', message: 'no common proposal', details } as const;
  const peer = { address: '192.0.2.2', port: 500 };
  lines.on({ kind: 'ike-failed', connection: 'c-1', role: 'initiator', peer, failure }, 0);
  t.match(events, [
    {
      kind: 'ike-failed',
      level: 'warn',
      connection: { id: 'c-1', name: 'to-east' },
      message: /^no IKE SA with 192\.0\.2\.2:500: No common proposal\./,
      fields: { cause: 'ike_proposal_mismatch', theirs: ['B'], role: 'initiator', advice: /./ },
    },
  ]);
});

t.test('a flood of strangers is a handful of events, and each is counted', async (t) => {
  const { events, lines } = streamed();
  for (let n = 0; n < 20_000; n++) {
    const peer = { address: `198.51.${n >> 8}.${n & 255}`, port: n & 1023 };
    const event: IkeEvent = { kind: 'datagram-dropped', reason: 'malformed', peer, detail: 'cut short' };
    lines.on(event, n);
    if (n % 1000 === 0) lines.flush(n);
  }
  lines.flush(Number.POSITIVE_INFINITY);
  t.ok(events.length <= 4, `${events.length} events`);
  const total = events.reduce((sum, { fields }) => sum + 1 + Number(fields.repeats ?? 0), 0);
  t.equal(total, 20_000);
  t.match(events.at(-1), { kind: 'datagram-dropped', message: /\(and [0-9]+ more\)$/ });
});
