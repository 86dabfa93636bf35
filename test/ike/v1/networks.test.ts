import t from 'tap';
import { parseIp } from '../../../src/util/ip.js';
import { describeSelector } from '../../../src/wire/ike/describe.js';
import { connection } from '../../helpers/engine-pair.js';
import { establishedV1, v1, v1Pair } from '../../helpers/v1-pair.js';

const EAST_NETS = ['10.1.0.0/24'];
const WEST_NETS = ['10.2.0.0/24', '10.2.1.0/24', '10.2.2.0/24'];
const FULL = {
  east: { local: { cidrs: EAST_NETS }, peer: { cidrs: WEST_NETS } },
  west: { local: { cidrs: WEST_NETS }, peer: { cidrs: EAST_NETS } },
};

/** West has the first of its networks only, and knows about the others later. */
function partial() {
  const passive = { establishMode: 'peer_only' } as const;
  const some = { local: { cidrs: WEST_NETS.slice(0, 1) }, peer: { cidrs: EAST_NETS }, ...passive };
  const made = v1Pair({ east: FULL.east, west: some });
  made.sim.initiate(made.east);
  made.sim.run(1000);
  const whole = connection('west', v1({ ...FULL.west, ...passive }));
  const complete = (): void =>
    void made.sim.input(made.west, { kind: 'configure', config: { connections: [whole] } });
  return { ...made, complete };
}

t.test('traffic to a network that no SA carries asks for its pair first', async (t) => {
  const { sim, east, complete } = partial();
  t.equal(east.childInfo.size, 1);
  t.equal(east.eventsOf('child-failed').length, 2);
  complete();
  sim.input(east, { kind: 'acquire', connection: 'site', destination: parseIp('10.2.2.7')! });
  sim.run(sim.now + 1000);
  const order = east
    .eventsOf('child-established')
    .map(({ child }) => child.peerTs.map(describeSelector).join());
  t.strictSame(order, ['10.2.0.0/24', '10.2.2.0/24', '10.2.1.0/24']);
  t.equal(east.ikes.size, 1, 'on the ISAKMP SA that stands');
});

t.test('a part is reported as narrowed until the whole is carried, and not afterwards', async (t) => {
  const local = (...cidrs: string[]) => ({ local: { cidrs }, peer: { cidrs: WEST_NETS.slice(0, 1) } });
  const { sim, east, west } = v1Pair({
    east: local('10.1.0.128/25'),
    west: { local: { cidrs: WEST_NETS.slice(0, 1) }, peer: { cidrs: EAST_NETS }, establishMode: 'peer_only' },
  });
  const ask = (...cidrs: string[]): void => {
    const connections = [connection('east', v1(local(...cidrs)))];
    sim.input(east, { kind: 'configure', config: { connections } });
    sim.input(east, { kind: 'acquire', connection: 'site', destination: parseIp('10.2.0.7')! });
    sim.run(sim.now + 1000);
  };
  sim.initiate(east);
  sim.run(1000);
  ask('10.1.0.0/24');
  ask('10.1.0.0/24', '10.1.0.64/26');
  t.strictSame(
    west
      .eventsOf('child-established')
      .map(({ child }) => [child.localTs, child.peerTs].flat().map(describeSelector)),
    ['10.1.0.128/25', '10.1.0.0/24', '10.1.0.64/26'].map((asked) => ['10.2.0.0/24', asked]),
  );
  t.strictSame(
    west.eventsOf('child-established').map(({ child }) => child.narrowed),
    [true, false, false],
  );
  t.match(west.eventsOf('advisory'), [
    { code: 'ts_narrowed', message: /agreed on fewer networks than are configured here/ },
  ]);
  t.equal(west.eventsOf('advisory').length, 1);
  t.notOk(east.eventsOf('child-established').some(({ child }) => child.narrowed));
  const order = west.events.flatMap(({ kind }) => (/^child-established|^advisory$/.test(kind) ? [kind] : []));
  t.strictSame(order.slice(0, 2), ['child-established', 'advisory'], 'the advice follows what it is about');
});

t.test('a pair that the peer refuses is asked for ever more seldom', async (t) => {
  const { sim, east } = partial();
  const destination = parseIp('10.2.2.7')!;
  for (let second = 0; second < 600; second++) {
    sim.input(east, { kind: 'acquire', connection: 'site', destination });
    sim.run(sim.now + 1000);
  }
  const tries = east.eventsOf('child-failed').length;
  t.ok(tries >= 6 && tries <= 10, `${tries} failures in ten minutes for two pairs`);
  t.equal(east.childInfo.size, 1);
});

t.test('all is carried, or the peer is to begin: traffic asks for nothing', async (t) => {
  const made = establishedV1(FULL, WEST_NETS.length);
  const count = made.sim.net.sent.length;
  made.sim.input(made.east, { kind: 'acquire', connection: 'site', destination: parseIp('10.2.1.7')! });
  made.sim.run(made.sim.now + 1000);
  t.equal(made.sim.net.sent.length, count);
});

t.test('nothing stands: traffic brings the connection up', async (t) => {
  const { sim, east } = v1Pair(FULL);
  sim.input(east, { kind: 'acquire', connection: 'site', destination: parseIp('10.2.1.7')! });
  sim.run(1000);
  t.equal(east.childInfo.size, WEST_NETS.length);
});
