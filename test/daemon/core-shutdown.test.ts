import t from 'tap';
import { ConnectionNames } from '../../src/connection/connection-names.js';
import { TrafficTotals } from '../../src/connection/traffic-totals.js';
import { IkeTap } from '../../src/daemon/capture/ike-tap.js';
import { GatewayCore } from '../../src/daemon/core/core.js';
import type { Input } from '../../src/ike/inputs.js';
import type { Output } from '../../src/ike/outputs.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf } from '../../src/store/hashed-id.js';
import { readPsks } from '../../src/store/psk.js';
import { createLogger } from '../../src/telemetry/log.js';
import { GatewayCounts } from '../../src/telemetry/metrics/gateway-samples.js';
import { comesUp, constantRandom } from '../connection/samples.js';
import { GATEWAY } from '../helpers/config-snippets.js';
import { RecordedEffects } from '../helpers/recorded-effects.js';

const HOURS = 3_600_000;

/** A core over an engine that answers as the test says. */
function setUp(answer: (input: Input) => Output[], text = GATEWAY) {
  const file = readGatewayFile(text, 'gateway.yaml');
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  const psks = readPsks(file.value);
  if (!psks.ok) throw new Error(JSON.stringify(psks.error));
  const engine = { closing: false, handle: answer, nextDeadline: () => undefined };
  const effects = new RecordedEffects();
  const core = new GatewayCore({
    ...{ file: file.value, psks: psks.value, engine, effects, names: new ConnectionNames() },
    ...{ totals: new TrafficTotals(), counts: new GatewayCounts() },
    tap: new IkeTap(),
    counters: () => [],
    countersOf: () => undefined,
    devices: { nameOf: () => undefined, connectionOf: () => undefined },
    clock: { now: () => 0, epoch: 0 },
    random: constantRandom(0),
    logger: createLogger({ level: 'silent' }),
    resolve: () => Promise.reject(new Error('no names here')),
  });
  core.start();
  return { core, engine, effects };
}

const happened = (...events: Extract<Output, { kind: 'event' }>['event'][]): Output[] =>
  events.map((event) => ({ kind: 'event', event }));

t.test('a shutdown ends with the step that leaves nothing to wait for', async (t) => {
  const { core, engine, effects } = setUp((input) => {
    if (input.kind === 'initiate') return happened(comesUp('c')[0]!);
    if (input.kind === 'shutdown') engine.closing = true;
    if (input.kind === 'timer') {
      engine.closing = false;
      return happened({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'shutdown' });
    }
    return [];
  });
  core.input({ kind: 'initiate', connection: 'c' });
  let ended = false;
  const shutdown = core.shutdown(HOURS).then(() => {
    ended = true;
  });
  core.input({ kind: 'renew', connection: 'c', scope: 'connection' });
  await Promise.resolve();
  t.notOk(ended, 'a step that changes nothing of it');
  t.notOk(effects.done.includes('end'));
  core.input({ kind: 'timer' });
  await shutdown;
  t.ok(effects.done.includes('end'), 'what was postponed is done at the end');
});

t.test('without SAs there is nothing to wait for', async () => {
  await setUp(() => []).core.shutdown(HOURS);
});

t.test('a DELETE that is never answered is waited for no longer than patience allows', async (t) => {
  const { core, engine, effects } = setUp((input) => {
    if (input.kind === 'shutdown') engine.closing = true;
    return [];
  });
  await core.shutdown(5);
  t.ok(engine.closing);
  t.ok(effects.done.includes('end'));
});

t.test('who hands over says farewell to those peers only that have to call by themselves', async (t) => {
  const connection = (name: string, mode: string, n: number) =>
    `- { name: ${name}, psk: correct-horse-battery, establish_mode: ${mode}, local: { cidrs: [10.1.0.0/24] },
    peer: { address: 192.0.2.${n}, cidrs: [10.${n}.0.0/24] } }`;
  const text = (...all: readonly string[]) =>
    `gateway: { name: g, address: 192.0.2.1 }\nconnections:\n  ${all.join('\n  ')}\n`;
  const called = connection('called', 'peer_only', 2);
  const calling = connection('calling', 'bidirectional', 3);
  const inputs: Input[] = [];
  const { core, engine, effects } = setUp(
    (input) => {
      inputs.push(input);
      if (input.kind === 'terminate') engine.closing = true;
      if (input.kind === 'timer') engine.closing = false;
      return [];
    },
    text(called, calling),
  );
  let ended = false;
  const over = core.handOver(HOURS).then(() => {
    ended = true;
  });
  await Promise.resolve();
  t.notOk(ended, 'its DELETE is not answered yet');
  core.input({ kind: 'timer' });
  await over;
  t.same(
    inputs.flatMap((input) => (input.kind === 'terminate' ? [input.connection] : [])),
    [connectionIdOf('called')],
  );
  t.notOk(inputs.some(({ kind }) => kind === 'shutdown'));
  t.ok(effects.done.includes('end'));
  await setUp(() => [], text(calling)).core.handOver(HOURS);
  t.pass('with none of these there is nothing to wait for');
});
