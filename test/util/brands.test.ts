import t from 'tap';
import type { ChildId, ConnectionId, DeviceNumber, IkeId, Spi, WorkerIndex } from '../../src/util/ids.js';
import { type Millis, type Seconds, seconds } from '../../src/util/units.js';

/** What the type checker takes, and what it refuses: an error that is expected and does not come fails the check. */
t.test('a value of one kind does not pass for one of another', async (t) => {
  const ike: IkeId = 1;
  const spi: Spi = 2;
  const worker: WorkerIndex = 3;
  const lifetime: Seconds = 600;
  // @ts-expect-error: an IKE SA is no child SA
  const child: ChildId = ike;
  // @ts-expect-error: an SPI is not the number of its SA
  const sameSa: IkeId = spi;
  // @ts-expect-error: devices and workers are counted apart
  const device: DeviceNumber = worker;
  // @ts-expect-error: seconds are converted
  const deadline: Millis = lifetime;
  const right: Millis = seconds(lifetime);
  const connection: ConnectionId = 'c';
  t.same([child, sameSa, device, deadline, right, connection], [1, 2, 3, 600, 600_000, 'c']);
});
