import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { EngineDriver } from '../../src/daemon/core/engine-driver.js';
import type { IkeEvent } from '../../src/ike/events.js';
import type { Input } from '../../src/ike/inputs.js';
import type { ChildSa, Output } from '../../src/ike/outputs.js';
import { createLogger } from '../../src/telemetry/log.js';
import { comesUp } from '../connection/samples.js';
import { RecordedEffects } from '../helpers/recorded-effects.js';

const PEER = { address: '192.0.2.2', port: 500 };
const SEND: Output = {
  kind: 'send',
  local: { address: '192.0.2.1', port: 500 },
  remote: PEER,
  natTraversalPort: false,
  bytes: new Uint8Array(1),
};
const EVENT = comesUp('c')[0]!;
const INSTALL: Output = { kind: 'install-child', child: { id: 7, connection: 'c' } as ChildSa };

/** A driver on an engine that answers each input with what the test says. */
function setUp(answer: (input: Input) => Output[] = () => []) {
  const effects = new RecordedEffects();
  const lines: string[] = [];
  const inputs: string[] = [];
  const deadlines: { engine: number | undefined; other: number | undefined } = {
    engine: undefined,
    other: undefined,
  };
  const published: (readonly IkeEvent[])[] = [];
  let woken = 0;
  const hooks: { publish: (events: readonly IkeEvent[]) => void } = { publish: () => undefined };
  let now = 1000;
  const driver = new EngineDriver({
    engine: {
      handle(input) {
        inputs.push(input.kind);
        if (input.kind === 'timer') deadlines.engine = undefined;
        return answer(input);
      },
      nextDeadline: () => deadlines.engine,
    },
    effects,
    clock: { now: () => now },
    logger: createLogger({ level: 'info', destination: { write: (line) => lines.push(line) } }),
    publish(events) {
      published.push(events);
      hooks.publish(events);
    },
    sleeper: {
      nextDeadline: () => deadlines.other,
      wake() {
        woken++;
        deadlines.other = undefined;
      },
    },
  });
  return {
    driver,
    effects,
    lines,
    inputs,
    deadlines,
    published,
    hooks,
    get woken() {
      return woken;
    },
    passTime(by: number) {
      now += by;
    },
  };
}

t.test('outputs are carried out in their order, and the events of the step come last', async (t) => {
  const seen: string[] = [];
  const it = setUp(() => [
    { kind: 'expect-esp', spi: 5 },
    { kind: 'event', event: EVENT },
    INSTALL,
    SEND,
    { kind: 'activate-outbound', childId: 7 },
    { kind: 'update-peer', childId: 7, peer: PEER },
    { kind: 'remove-child', childId: 6, rekeyed: true },
    { kind: 'remove-child', childId: 8, rekeyed: false },
    { kind: 'forget-esp', spi: 5 },
  ]);
  it.hooks.publish = () => seen.push(...it.effects.done);
  it.driver.input({ kind: 'initiate', connection: 'c' });
  t.same(seen, [
    'expect 5',
    'install 7 of c',
    'send 192.0.2.2',
    'activate 7',
    'peer of 7 at 192.0.2.2',
    'remove 6, rekeyed',
    'remove 8',
    'forget 5',
  ]);
  t.same(it.published, [[EVENT]]);
});

t.test('a step is not interrupted: what is given meanwhile is handled after it', async (t) => {
  const order: string[] = [];
  const it = setUp((input) => {
    order.push(`begin ${input.kind}`);
    return [];
  });
  it.hooks.publish = () => {
    if (order.length > 1) return;
    it.driver.input({ kind: 'terminate', connection: 'c' });
    it.driver.enqueue({ kind: 'shutdown' });
    it.driver.drain();
    order.push('end of the first');
  };
  it.driver.input({ kind: 'initiate', connection: 'c' });
  t.same(order, ['begin initiate', 'end of the first', 'begin terminate', 'begin shutdown']);
  it.driver.enqueue({ kind: 'initiate', connection: 'c' });
  t.equal(order.length, 4, 'what is only left there waits');
  it.driver.drain();
  t.equal(order.length, 5);
});

t.test('a child SA that was refused goes back to the engine with the reason', async (t) => {
  const given: Input[] = [];
  const it = setUp((input) => {
    given.push(input);
    return input.kind === 'initiate' ? [INSTALL] : [];
  });
  it.effects.refusal = 'no TUN device';
  it.driver.input({ kind: 'initiate', connection: 'c' });
  t.same(given.at(-1), { kind: 'install-failed', childId: 7, reason: 'no TUN device' });
});

t.test('an output that fails keeps neither the others nor the events', async (t) => {
  const it = setUp(() => [
    { kind: 'update-peer', childId: 7, peer: { address: '192.0.2.2', port: 0 } },
    SEND,
    { kind: 'event', event: EVENT },
  ]);
  it.driver.input({ kind: 'timer' });
  t.same(it.effects.done, ['send 192.0.2.2']);
  t.equal(it.published.length, 1);
  t.match(it.lines.join(''), /"output":"update-peer".*could not be carried out/);
});

t.test('an engine that throws loses the input only, and a timer is not tried again at once', async (t) => {
  let broken = true;
  const it = setUp((input) => {
    if (broken) throw new Error('a bug');
    return input.kind === 'timer' ? [SEND] : [];
  });
  it.driver.input({ kind: 'timer' });
  it.deadlines.engine = 1000;
  broken = false;
  it.driver.arm();
  t.teardown(() => it.driver.end());
  t.match(it.lines.join(''), /the engine failed on an input.*this is a bug/);
  t.same(it.published, [], 'a failed step has no events');
  await sleep(30);
  t.same(it.inputs, ['timer'], 'it is due all the time, and waits nevertheless');
  it.driver.input({ kind: 'shutdown' });
  t.same(it.inputs, ['timer', 'shutdown'], 'other inputs go on');
  t.same(it.effects.done, []);
});

t.test('one timer wakes the engine and the other sleeper, each when it is due', async (t) => {
  const it = setUp();
  t.teardown(() => it.driver.end());
  it.deadlines.engine = 1001;
  it.deadlines.other = 5000;
  it.driver.arm();
  it.passTime(10);
  for (let i = 0; i < 400 && it.inputs.length === 0; i++) await sleep(5);
  t.same(it.inputs, ['timer']);
  t.equal(it.woken, 0);
  it.deadlines.other = 1011;
  it.passTime(10);
  it.driver.arm();
  for (let i = 0; i < 400 && it.woken === 0; i++) await sleep(5);
  t.equal(it.woken, 1);
  t.same(it.inputs, ['timer'], 'the engine had nothing to do');
});

t.test('after the end no input is taken and no timer set', async (t) => {
  const it = setUp();
  it.deadlines.engine = 1;
  it.driver.end();
  it.driver.input({ kind: 'shutdown' });
  it.driver.arm();
  await sleep(20);
  t.same(it.inputs, []);
});
