import { once } from 'node:events';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { captureStream } from '../../../src/daemon/serve/capture-stream.js';
import { GatewayBench } from '../../helpers/gateway-pair.js';

t.test('a server has the file of a gateway process as a stream', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const a = await bench.start('a');
  const { id } = a.gateway.core.connections[0]!;
  const stream = await captureStream(a.control, id, { seconds: 1, bytes: 10_000, member: 1 });
  await t.rejects(captureStream(a.control, id, {}), {
    name: 'CaptureRefused',
    message: /captures packets already/,
  });
  const parts: Buffer[] = [];
  stream.on('data', (part) => parts.push(part));
  await once(stream, 'end');
  const file = Buffer.concat(parts);
  t.equal(file.readUInt32BE(0), 0x0a0d0d0a, 'a section header');
  t.match(file.toString('latin1'), /ended when its time was over/, 'and the end');
  t.match(
    a.lines.some((line) => JSON.parse(line).with_keys),
    false,
  );
});

t.test('a reader that leaves ends the capture', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const a = await bench.start('a');
  const { id } = a.gateway.core.connections[0]!;
  const stream = await captureStream(a.control, id, {});
  stream.destroy();
  for (let i = 0; i < 400 && a.gateway.captures.stop(); i++) await sleep(5);
  t.equal(a.gateway.captures.stop(), false);
  await t.rejects(captureStream(`${a.control}.none`, id, {}), {
    name: 'CaptureRefused',
    message: /does not answer/,
  });
  await t.rejects(captureStream(a.control, 'nobody', {}), { message: /no connection nobody/ });
});
