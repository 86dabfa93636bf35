import t from 'tap';
import type { ThreadPulse } from '../../../src/dataplane/dataplane.js';
import { createFfiDataPlane } from '../../../src/dataplane/ffi/data-plane.js';
import { libc } from '../../../src/linux/ffi.js';
import { openPortGroup } from '../../../src/linux/sockets.js';
import { packetPair } from '../../helpers/packet-bench.js';
import { TestListener } from '../../helpers/portable-plane.js';
import { skipWithoutFfi } from '../../helpers/prerequisites.js';

const skip = skipWithoutFfi();

async function planeWith(workerEntry?: URL) {
  const group = openPortGroup({ address: '127.0.0.1', port: 0, workers: 1 });
  const fds = packetPair();
  let begin = (): void => undefined;
  const begun = new Promise<void>((resolve) => {
    begin = resolve;
  });
  const plane = createFfiDataPlane({
    espFds: group.espFds,
    tun: {
      fd: fds[1],
      close() {
        for (const fd of fds) libc().close(fd);
        group.close();
      },
    },
    listener: new TestListener(),
    now: () => performance.now(),
    ready: begin,
    ...(workerEntry === undefined ? {} : { workerEntry }),
  });
  return { plane, begun };
}

t.test('a thread that moves packets answers', { skip }, async (t) => {
  const { plane, begun } = await planeWith();
  t.same(plane.pulse(), ['starting']);
  await begun;
  // The first question has none before it.
  t.same(plane.pulse(), ['answers']);
  for (let asked = 0; asked < 50; asked++) {
    let pulse: ThreadPulse = 'silent';
    for (let i = 0; i < 1000 && pulse === 'silent'; i++) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      pulse = plane.pulse()[0]!;
    }
    if (pulse !== 'answers') t.fail(`question ${asked} has no answer`);
  }
  const closed = plane.close();
  t.same(plane.pulse(), [], 'one that is closed has no threads');
  await closed;
});

t.test('one that hangs is silent, however often it is asked', { skip }, async (t) => {
  const { plane, begun } = await planeWith(new URL('../../helpers/stuck-worker.mjs', import.meta.url));
  await begun;
  t.same(plane.pulse(), ['answers'], 'the first question has none before it');
  // More questions than the ring could hold if each were written.
  for (let asked = 0; asked < 200_000; asked++) {
    if (plane.pulse()[0] !== 'silent') t.fail('a thread that hangs does not answer');
  }
  await plane.close();
});
