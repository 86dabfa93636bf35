import t from 'tap';
import { ControlClient } from '../../src/daemon/control/client.js';
import { GatewayBench, isUp } from '../helpers/gateway-pair.js';

t.test('a gateway answers with the history of a connection: state, traffic and round trips', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const before = Date.now();
  const dead_peer_detection = { action: 'restart', interval: 1, timeout: 5 };
  const a = await bench.start('a', { connection: { dead_peer_detection } });
  await bench.start('b', { connection: { dead_peer_detection: { ...dead_peer_detection, action: 'none' } } });
  await a.until(isUp);
  const client = await ControlClient.connect(a.control);
  t.teardown(() => client.close());
  const history = (wish: object = {}) => client.history({ name: 'c', ...wish });
  // Dead peer detection asks after a second, and the next look takes the answer.
  let seconds = await history({ step: 1 });
  const measured = () => seconds.points.find((point) => point.round_trip_ms !== null);
  for (let n = 0; n < 200 && measured() === undefined; n++) {
    await new Promise((resolve) => setTimeout(resolve, 100));
    seconds = await history({ step: 1 });
  }
  t.match(measured(), { seconds: 1, up_seconds: 1, degraded_seconds: 0 });
  t.match(seconds, { name: 'c', step: 1 });
  t.ok(Date.parse(seconds.since) >= before - 2000, 'it begins with the process');
  t.ok(
    seconds.points.every(({ at }) => at.endsWith('.000Z')),
    'whole seconds',
  );
  const [hour] = (await history({ step: 3600 })).points.slice(-1);
  t.ok(hour!.up_seconds! > 0, 'the same in wider steps');
  await t.rejects(history({ step: 5 }), { code: 'bad_request', message: /"step" is none of 1, 60, 3600/ });
  await t.rejects(history({ from: 'noon' }), { code: 'bad_request', message: /"from" is no time/ });
  await t.rejects(client.history({ name: 'nobody' }), { code: 'not_found' });
});
