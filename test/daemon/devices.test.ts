import t from 'tap';
import { ConnectionDevices } from '../../src/daemon/host/devices.js';
import { Errno, LinuxError } from '../../src/linux/errors.js';
import { readGatewayFile } from '../../src/store/gateway-file.js';
import { connectionIdOf as idOf } from '../../src/store/hashed-id.js';
import type { GatewayConnection } from '../../src/store/model.js';

class FakePlane {
  readonly names: string[] = ['(first)'];
  readonly closed: number[] = [];
  refuse = '';

  readonly workers: (number | undefined)[] = [];

  addDevice(name: string, worker?: number): number {
    this.workers.push(worker);
    if (name === this.refuse)
      throw new LinuxError('EBUSY', Errno.EBUSY, `${name} is taken`, 'choose another');
    return this.names.push(name) - 1;
  }

  removeDevice(device: number): void {
    this.closed.push(device);
  }
}

function connections(...list: (readonly [name: string, device?: string])[]): readonly GatewayConnection[] {
  const text = list.map(
    ([name, device], i) =>
      `  - { name: ${name}, psk: correct-horse-battery, peer: { address: 192.0.2.${i + 2} }${device === undefined ? '' : `, interface: ${device}`} }`,
  );
  const file = readGatewayFile(
    `gateway: { name: a, address: 192.0.2.1, mode: route }\nconnections:\n${text.join('\n')}`,
    'gateway.yaml',
  );
  if (!file.ok) throw new Error(JSON.stringify(file.error));
  return file.value.connections;
}

t.test('in policy mode all share one device', async (t) => {
  const plane = new FakePlane();
  const devices = new ConnectionDevices(plane, { mode: 'policy', interface: 'culvert0' });
  t.equal(devices.open(connections(['c'], ['d'])).size, 0);
  t.same(
    [devices.nameOf(idOf('c')), devices.numberOf(idOf('d')), devices.connectionOf(0)],
    ['culvert0', 0, undefined],
  );
  t.equal(plane.names.length, 1);
});

t.test('in route mode each has its own, and keeps it', async (t) => {
  const plane = new FakePlane();
  const devices = new ConnectionDevices(plane, { mode: 'route', interface: 'culvert0' });
  const names = (...list: string[]) => list.map((name) => devices.nameOf(idOf(name)));
  devices.open(connections(['b'], ['c', 'vpn-c'], ['d'], ['e', 'culvert1']));
  t.same(names('b', 'c', 'd', 'e'), ['culvert0', 'vpn-c', 'culvert2', 'culvert1']);
  t.equal(devices.connectionOf(devices.numberOf(idOf('d'))!), idOf('d'));
  t.equal(devices.connectionOf(0), idOf('b'));

  const fewer = connections(['d'], ['e', 'culvert1']);
  devices.open(fewer);
  devices.close(fewer);
  t.same(names('b', 'd', 'e'), [undefined, 'culvert2', 'culvert1'], 'nobody moves up');
  t.same(plane.closed, [1], 'the first device stays open');
  const renamed = connections(['f'], ['g']).map((one) =>
    one.name === 'f' ? { ...one, id: idOf('d') } : one,
  );
  devices.open(renamed);
  t.same(
    names('d', 'g'),
    ['culvert2', 'culvert0'],
    'the first one is free again, a new name changes nothing',
  );
});

t.test('a device that cannot be opened is the problem of its connection only', async (t) => {
  const plane = new FakePlane();
  plane.refuse = 'vpn-c';
  const devices = new ConnectionDevices(plane, { mode: 'route', interface: 'a-name-of-15-ch' });
  const wanted = connections(['b'], ['c', 'vpn-c'], ['d']);
  t.match(
    devices.open(wanted),
    new Map([[idOf('c'), { cause: 'tun_error', message: 'vpn-c is taken: choose another' }]]),
  );
  t.equal(devices.numberOf(idOf('c')), undefined);
  t.equal(devices.nameOf(idOf('d')), 'a-name-of-15-c1', 'cut to what the kernel takes');
  plane.refuse = '';
  t.equal(devices.open(wanted).size, 0, 'tried again at the next reload');
  t.equal(devices.nameOf(idOf('c')), 'vpn-c');
});

t.test('a device goes to the worker of its connection', async (t) => {
  const plane = new FakePlane();
  const workers = new Map([
    [idOf('b'), 0],
    [idOf('c'), 1],
    [idOf('d'), 3],
  ]);
  const settings = { mode: 'route', interface: 'culvert0' } as const;
  const devices = new ConnectionDevices(plane, settings, (id) => workers.get(id)!);
  devices.open(connections(['b'], ['c'], ['d']));
  t.same(plane.workers, [1, 3], 'the gateway’s own device has a queue a worker');
});
