import { pino } from 'pino';
import t from 'tap';
import { GatewayHealth } from '../../src/daemon/gateway/gateway-health.js';
import type { ThreadPulse } from '../../src/dataplane/dataplane.js';
import { answerProbe, type HealthPath } from '../../src/telemetry/health.js';
import { GatewayBench } from '../helpers/gateway-pair.js';

t.test('a packet thread that does not answer three times in a row is reported', async (t) => {
  let pulses: ThreadPulse[] = ['starting', 'starting'];
  const lines: string[] = [];
  const health = new GatewayHealth({
    plane: { pulse: () => pulses },
    logger: pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line).msg) }),
  });
  t.teardown(() => health.stop());
  const beat = (...now: ThreadPulse[]): void => {
    pulses = now;
    health.beat();
  };
  t.match(health.ready(), {
    ok: false,
    checks: [{ message: 'the gateway is still starting' }, { ok: true }],
  });
  health.start();
  t.equal(health.health().ok, true, 'threads that load are no fault');
  t.equal(health.ready().ok, false);
  pulses = ['answers', 'answers'];
  t.equal(health.ready().ok, true, 'it need not wait for the next beat');

  beat('answers', 'silent');
  beat('answers', 'silent');
  t.equal(health.health().ok, true, 'a busy machine is no fault');
  beat('answers', 'silent');
  t.match(health.health(), {
    ok: false,
    checks: [{ name: 'packet_threads', message: 'packet thread 1 does not answer' }],
  });
  t.equal(health.ready().ok, false);
  beat('silent', 'silent');
  beat('silent', 'silent');
  beat('silent', 'silent');
  t.match(health.health().checks, [{ message: 'packet threads 0,1 do not answer' }]);
  beat('answers', 'answers');
  t.equal(health.health().ok, true);
  t.same(lines, [
    'packet thread 1 does not answer',
    'packet thread 0 does not answer',
    'packet thread 0 answers again',
    'packet thread 1 answers again',
  ]);
  beat('answers', 'silent');
  t.equal(health.health().ok, true, 'the count begins anew');

  health.ending();
  t.equal(health.health().ok, true, 'a restart would not help');
  t.match(health.ready(), { ok: false, checks: [{ message: 'the gateway is ending' }] });
});

t.test('a gateway is ready with its peers down, and not any more while it ends', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const { gateway } = await bench.start('a');
  const ask = async (path: HealthPath) => {
    const { status, headers, body } = await answerProbe(gateway.health, path);
    t.match(headers, { 'content-type': 'application/json', 'cache-control': 'no-store' });
    return { status, ...JSON.parse(body) };
  };
  t.same(await ask('/health'), {
    status: 'ok',
    checks: [{ name: 'packet_threads', status: 'ok' }],
  });
  t.match(await ask('/ready'), { status: 'ok', checks: [{ name: 'gateway', status: 'ok' }, {}] });
  const ended = gateway.stop();
  t.match(await ask('/ready'), {
    status: 'failing',
    checks: [{ name: 'gateway', status: 'failing', message: 'the gateway is ending' }, { status: 'ok' }],
  });
  t.equal((await answerProbe(gateway.health, '/ready')).status, 503);
  await ended;
});
