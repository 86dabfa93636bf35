import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { historyOf } from '../../src/connection/event-catalogue.js';
import type { IkeEvent } from '../../src/ike/events.js';
import { EventLines } from '../../src/telemetry/event-lines.js';
import { EventLog } from '../../src/telemetry/event-log.js';
import { createLogger } from '../../src/telemetry/log.js';
import { EVERY_EVENT } from '../connection/every-event.js';

/** The log lines of an event that comes three times, without their time. */
function logged(event: IkeEvent): string[] {
  const lines: string[] = [];
  const destination = { write: (line: string) => lines.push(line) };
  const log = new EventLines([new EventLog(createLogger({ level: 'trace', format: 'json', destination }))]);
  for (const at of [0, 1, 2]) log.on(event, at);
  log.flush(Number.POSITIVE_INFINITY);
  const bare = lines.map((line) => line.trim().replace(/"time":"[^"]*",/, ''));
  return [...new Set(bare)].map((line) => `  ${bare.filter((one) => one === line).length} × ${line}`);
}

function words(event: IkeEvent): string {
  const line = historyOf(event);
  const history = line === undefined ? [] : [`  history: ${line.kind}: ${line.text}`];
  return [event.kind, ...logged(event), ...history].join('\n');
}

t.test('the words of every event stay as scripts read them', async (t) => {
  const held = new URL('event-words.txt', import.meta.url);
  const made = EVERY_EVENT.map((event) => `${words(event)}\n`).join('\n');
  if (process.env.CULVERT_WRITE === '1') writeFileSync(held, made);
  t.equal(made, readFileSync(held, 'utf8'));
});
