import { Writable } from 'node:stream';
import { setImmediate as turn } from 'node:timers/promises';
import fc from 'fast-check';
import t from 'tap';
import type { NewEvent } from '../../src/telemetry/events/event-document.js';
import type { EventFilter } from '../../src/telemetry/events/event-filter.js';
import {
  EventHub,
  type EventStart,
  type EventSubscription,
  isEventId,
} from '../../src/telemetry/events/event-hub.js';
import { EventPump } from '../../src/telemetry/events/event-pump.js';

const START = Date.parse('2026-11-30T08:00:00Z');
const SMALL = { events: 4, characters: 1_000_000 };

function event(n: number, more: Partial<NewEvent> = {}): NewEvent {
  return { kind: 'quirk', level: 'info', message: `event ${n}`, fields: { n }, ...more };
}

function follow(hub: EventHub, from: EventStart = 'now', filter: EventFilter = {}) {
  const woken = { times: 0 };
  const subscription = hub.subscribe({ from, filter, wake: () => void woken.times++ });
  return { subscription, woken };
}

/** Messages of all that there is to read now. */
function drain(subscription: EventSubscription): string[] {
  const out: string[] = [];
  for (let one = subscription.next(); one !== undefined; one = subscription.next()) {
    const { kind, message, fields } = JSON.parse(one.text);
    out.push(kind === 'gap' ? `gap ${fields.reason} ${fields.lost ?? ''}`.trim() : message);
  }
  return out;
}

t.test('an event is a document with an id and a time, and ids are in order', async (t) => {
  let now = START;
  const hub = new EventHub(SMALL, () => now);
  const { subscription } = follow(hub);
  const gateway = { name: 'west', id: 'g1', member: 1 };
  hub.publish(event(1, { gateway, connection: { id: 'c1', name: 'to-east' } }));
  now += 1500;
  hub.publish(event(2, { time: '2026-11-30T07:59:59.000Z' }));
  const first = subscription.next()!;
  t.same(JSON.parse(first.text), {
    id: first.id,
    time: '2026-11-30T08:00:00.000Z',
    kind: 'quirk',
    level: 'info',
    message: 'event 1',
    fields: { n: 1 },
    gateway,
    connection: { id: 'c1', name: 'to-east' },
  });
  t.ok(isEventId(first.id));
  const second = subscription.next()!;
  t.ok(second.id > first.id, 'as text');
  t.equal(
    JSON.parse(second.text).time,
    '2026-11-30T07:59:59.000Z',
    'an event from elsewhere has its own time',
  );
  t.equal(hub.position, second.id);
  const later = new EventHub(SMALL, () => now);
  t.ok(later.position > second.id, 'ids of a later hub are greater');
});

t.test('who resumes goes on where it was, or learns what it missed', async (t) => {
  const hub = new EventHub(SMALL, () => START);
  for (let n = 1; n <= 3; n++) hub.publish(event(n));
  const ids = [1, 2, 3].map((n) => hub.idOf(n));
  t.same(drain(follow(hub).subscription), [], 'what comes from now on');
  t.same(drain(follow(hub, 'oldest').subscription), ['event 1', 'event 2', 'event 3']);
  t.same(drain(follow(hub, { after: ids[0]! }).subscription), ['event 2', 'event 3']);
  t.same(drain(follow(hub, { after: ids[2]! }).subscription), []);
  for (let n = 4; n <= 7; n++) hub.publish(event(n));
  const rest = ['event 4', 'event 5', 'event 6', 'event 7'];
  t.same(drain(follow(hub, { after: ids[2]! }).subscription), rest, 'nothing is missing');
  t.same(drain(follow(hub, { after: ids[0]! }).subscription), ['gap overwritten 2', ...rest]);
  t.same(drain(follow(hub, 'oldest').subscription), rest);
  const restarted = new EventHub(SMALL, () => START + 1);
  restarted.publish(event(8));
  t.same(drain(follow(restarted, { after: ids[2]! }).subscription), ['gap restarted', 'event 8']);
  const ahead = restarted.idOf(99);
  t.same(
    drain(follow(restarted, { after: ahead }).subscription),
    ['gap restarted', 'event 8'],
    'no such event',
  );
  const { subscription } = follow(hub, { after: ids[0]! });
  const gap = subscription.next()!;
  t.same(drain(follow(hub, { after: gap.id }).subscription), rest, 'a gap has an id to go on after, too');
});

t.test('from a time on', async (t) => {
  let now = START;
  const hub = new EventHub(SMALL, () => now);
  for (let n = 1; n <= 3; n++) {
    hub.publish(event(n));
    now += 1000;
  }
  const since = new Date(START + 1000).toISOString();
  t.same(drain(follow(hub, { since }).subscription), ['event 2', 'event 3']);
  t.same(drain(follow(hub, { since: new Date(now).toISOString() }).subscription), []);
});

t.test('filters by kind, gateway, connection and level; a gap fits all of them', async (t) => {
  const hub = new EventHub({ ...SMALL, events: 100 }, () => START);
  const west = { name: 'west', id: 'g1' };
  const east = { name: 'east', id: 'g2' };
  hub.publish(event(1, { gateway: west, connection: { id: 'c1', name: 'to-east' } }));
  hub.publish(event(2, { gateway: east, level: 'warn', kind: 'advisory' }));
  hub.publish(event(3, { kind: 'server-started' }));
  const chosen = (filter: EventFilter): string[] => drain(follow(hub, 'oldest', filter).subscription);
  t.same(chosen({ gateways: ['west'] }), ['event 1']);
  t.same(chosen({ gateways: ['g2', 'nowhere'] }), ['event 2']);
  t.same(chosen({ connections: ['c1'] }), ['event 1']);
  t.same(chosen({ connections: ['to-east'], gateways: ['east'] }), [], 'all lists have to fit');
  t.same(chosen({ kinds: ['quirk', 'server-started'] }), ['event 1', 'event 3']);
  t.same(chosen({ level: 'warn' }), ['event 2']);
  hub.publish(event(4, { kind: 'gap' }));
  t.match(chosen({ gateways: ['nowhere'], kinds: ['quirk'], level: 'warn' }), [/^gap/]);
});

t.test('who waits is woken once, and only by what it wants', async (t) => {
  const hub = new EventHub(SMALL, () => START);
  const { subscription, woken } = follow(hub, 'now', { kinds: ['advisory'] });
  t.same(drain(subscription), []);
  for (let n = 1; n <= 50; n++) hub.publish(event(n));
  t.equal(woken.times, 0);
  t.equal(subscription.position, hub.position, 'what it does not want is behind it');
  hub.publish(event(51, { kind: 'advisory' }));
  hub.publish(event(52, { kind: 'advisory' }));
  t.equal(woken.times, 1);
  t.same(drain(subscription), ['event 51', 'event 52'], 'and no gap of what it never wanted');
  subscription.close();
  hub.publish(event(53, { kind: 'advisory' }));
  t.equal(woken.times, 1);
  t.equal(hub.subscribers, 0);
});

t.test('what is kept is bounded by number and by size, whatever comes', async (t) => {
  const hub = new EventHub({ events: 1000, characters: 20_000 }, () => START);
  for (let n = 1; n <= 5000; n++) hub.publish(event(n, { message: 'x'.repeat(n % 997) }));
  const { subscription } = follow(hub, 'oldest');
  let size = 0;
  let count = 0;
  for (let one = subscription.next(); one !== undefined; one = subscription.next()) {
    size += one.text.length;
    count++;
  }
  t.ok(size <= 20_000, `${size} characters`);
  t.ok(count > 20, `${count} events`);
  hub.publish(event(1, { message: 'y'.repeat(100_000), fields: { list: Array(50_000).fill('z') } }));
  const [last] = [follow(hub, { after: hub.idOf(hub.last - 1) }).subscription.next()!];
  t.ok(last.text.length < 16 * 1024, 'a huge event is cut');
  t.match(JSON.parse(last.text), { fields: { left_out: /more than/ } });
});

t.test(
  'any mixture of events and readers: each reader sees every event once and in order, or a gap',
  async () => {
    const action = fc.oneof(
      fc.record({ do: fc.constant('publish' as const) }),
      fc.record({ do: fc.constant('read' as const), who: fc.nat(2), most: fc.nat(6) }),
      fc.record({ do: fc.constant('resume' as const), who: fc.nat(2) }),
    );
    fc.assert(
      fc.property(fc.array(action, { maxLength: 120 }), (actions) => {
        const hub = new EventHub({ events: 5, characters: 1_000_000 }, () => START);
        const readers = [0, 1, 2].map(() => ({
          subscription: follow(hub).subscription,
          seen: 0,
          at: hub.position,
        }));
        let published = 0;
        for (const one of actions) {
          if (one.do === 'publish') {
            hub.publish(event(++published));
            continue;
          }
          const reader = readers[one.who]!;
          if (one.do === 'resume') {
            reader.subscription.close();
            reader.subscription = follow(hub, { after: reader.at }).subscription;
            continue;
          }
          for (let n = 0; n < one.most; n++) {
            const next = reader.subscription.next();
            if (next === undefined) {
              if (reader.seen !== published) return false;
              break;
            }
            const { kind, fields } = JSON.parse(next.text);
            reader.at = next.id;
            if (kind === 'gap') reader.seen += fields.lost;
            else if (fields.n !== ++reader.seen) return false;
          }
        }
        return true;
      }),
    );
  },
);

/** A reader that takes what it is given only when it is let. */
class SlowReader extends Writable {
  readonly read: string[] = [];
  #let: (() => void) | undefined;

  constructor() {
    super({ highWaterMark: 64, decodeStrings: false });
  }

  override _write(chunk: string, _encoding: string, done: () => void): void {
    this.read.push(chunk);
    this.#let = done;
  }

  goOn(): void {
    const done = this.#let;
    this.#let = undefined;
    done?.();
  }
}

t.test('a reader that does not read costs nothing, and learns how much it missed', async (t) => {
  const hub = new EventHub(SMALL, () => START);
  const reader = new SlowReader();
  const frame = ({ text }: { text: string }): string => text;
  const pump = new EventPump(hub, reader, { filter: {}, from: 'now', follow: true, frame });
  t.teardown(() => pump.close());
  await turn();
  hub.publish(event(1));
  await turn();
  t.ok(pump.blockedSince !== undefined, 'one event is more than it takes at once');
  for (let n = 2; n <= 1000; n++) hub.publish(event(n));
  await turn();
  t.ok(reader.writableLength < 1000, `${reader.writableLength} characters wait for it`);
  const messages = () => reader.read.map((text) => JSON.parse(text).message as string);
  while (messages().at(-1) !== 'event 1000') {
    reader.goOn();
    await turn();
  }
  t.match(messages(), [
    'event 1',
    /^995 events were overwritten/,
    'event 997',
    'event 998',
    'event 999',
    'event 1000',
  ]);
  reader.goOn();
  await turn();
  t.equal(pump.blockedSince, undefined);
  hub.publish(event(1001));
  await turn();
  t.equal(messages().at(-1), 'event 1001', 'and goes on');
});

t.test('what there is, and then the end', async (t) => {
  const hub = new EventHub({ ...SMALL, events: 100 }, () => START);
  for (let n = 1; n <= 20; n++) hub.publish(event(n));
  const reader = new SlowReader();
  let drained = false;
  const frame = ({ id }: { id: string }): string => id;
  new EventPump(hub, reader, {
    ...{ filter: {}, from: 'oldest', follow: false, frame },
    drained: () => {
      drained = true;
    },
  });
  for (let n = 0; n < 100 && !drained; n++) {
    reader.goOn();
    await turn();
  }
  t.ok(drained);
  t.equal(hub.subscribers, 0, 'it follows no longer');
  hub.publish(event(21));
  while (reader.writableLength > 0) {
    reader.goOn();
    await turn();
  }
  t.same(
    reader.read,
    Array.from({ length: 20 }, (_, n) => hub.idOf(n + 1)),
  );
});
