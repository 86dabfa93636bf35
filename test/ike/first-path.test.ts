import t from 'tap';
import { EAST, faults, type Pair, pair, type SimNode, WEST } from '../helpers/engine-pair.js';
import { v1, v1Faults, v1Pair } from '../helpers/v1-pair.js';
import type { Packet } from '../helpers/virtual-net.js';

// RFC 7296 §2.23 and RFC 3947 §4 let an initiator begin on port 4500: the peer is told by `peer.port`.

const VERSIONS = [
  { version: 2, make: pair, wrong: faults },
  { version: 1, make: v1Pair, wrong: v1Faults },
] as const;
const AT_4500 = { peer: { port: 4500 }, encapsulation: 'always' } as const;

/** A net that lets nothing through to or from port 500. */
function closes500({ sim }: Pair): void {
  sim.net.impair(({ from, to }) => from.port === 500 || to.port === 500, { kind: 'drop' }, 9999);
}

function failures(node: SimNode) {
  return node.eventsOf('ike-failed').map((event) => event.failure);
}

/** From where to where packets went, without repetitions. */
function paths(packets: readonly Packet[]): string[] {
  const text = ({ from, to, natTraversalPort }: Packet) =>
    `${from.address}:${from.port} ${to.address}:${to.port}${natTraversalPort ? ' marked' : ''}`;
  return [...new Set(packets.map(text))];
}

t.test(
  'a peer that port 500 does not reach is reached on port 4500, from the first message on',
  async (t) => {
    for (const { version, make, wrong } of VERSIONS) {
      const made = make({ east: AT_4500 });
      closes500(made);
      made.sim.initiate(made.east);
      made.sim.run(2000);
      t.equal(wrong(made), undefined, `version ${version}`);
      t.same(paths(made.sim.net.sent), [
        `${EAST}:4500 ${WEST}:4500 marked`,
        `${WEST}:4500 ${EAST}:4500 marked`,
      ]);
      t.same(
        [...made.east.children.values()].map(({ encapsulation, local, peer }) => [
          encapsulation,
          local.port,
          peer.port,
        ]),
        [['udp', 4500, 4500]],
      );
      t.match(made.east.eventsOf('ike-initiating'), [{ peer: { address: WEST, port: 4500 } }]);
    }
  },
);

t.test('by default the first message goes to port 500', async (t) => {
  for (const { make } of VERSIONS) {
    const made = make({ east: { encapsulation: 'always' } });
    closes500(made);
    made.sim.initiate(made.east);
    made.sim.run(120_000);
    t.same(paths(made.sim.net.sent), [`${EAST}:500 ${WEST}:500`]);
    t.match(failures(made.east), [{ cause: 'peer_silent', message: /did not answer on UDP port 500:/ }]);
  }
});

t.test('IKE and ESP stay on port 4500 through rekeying, and also where no NAT is found', async (t) => {
  for (const { version, make, wrong } of VERSIONS) {
    for (const encapsulation of ['always', 'auto'] as const) {
      const short = { ikeLifetime: 900, childLifetime: 600 };
      const made = make({ east: { ...AT_4500, ...short, encapsulation }, west: short });
      closes500(made);
      made.sim.initiate(made.east);
      made.sim.run(2_000_000);
      const settled = made.sim.run(2_100_000, () => wrong(made) === undefined);
      t.ok(settled, `version ${version}, ${encapsulation}`);
      t.ok(made.east.eventsOf('ike-established').length > 1, 'it was rekeyed');
      t.notOk(made.sim.net.sent.some(({ natTraversalPort }) => !natTraversalPort));
    }
  }
});

t.test('silence on port 4500 names that port, and each further address is tried there', async (t) => {
  for (const { make } of VERSIONS) {
    const made = make({ east: { ...AT_4500, peer: { port: 4500, addresses: ['192.0.2.99', WEST] } } });
    made.sim.net.impair(() => true, { kind: 'drop' }, 9999);
    made.sim.initiate(made.east);
    made.sim.run(120_000);
    t.same(paths(made.sim.net.sent), [
      `${EAST}:4500 192.0.2.99:4500 marked`,
      `${EAST}:4500 ${WEST}:4500 marked`,
    ]);
    t.match(failures(made.east), [
      {
        cause: 'peer_silent',
        message: /did not answer on UDP port 4500:/,
        details: { unanswered: 'message 1' },
      },
    ]);
  }
});

t.test('a peer that falls silent after its first answer has port 4500 open', async (t) => {
  for (const [{ version, make }, allowed] of [
    [VERSIONS[0], 1],
    [VERSIONS[1], 2],
  ] as const) {
    const made = make({ east: AT_4500 });
    let answers = 0;
    made.sim.net.impair(({ from }) => from.address === WEST && answers++ >= allowed, { kind: 'drop' }, 9999);
    made.sim.initiate(made.east);
    made.sim.run(120_000);
    const cause = version === 2 ? 'peer_silent' : 'psk_mismatch_likely';
    t.match(failures(made.east), [{ cause }]);
    t.notMatch(failures(made.east)[0]?.message, /port 500/);
  }
});

t.test('a responder whose answers from port 4500 get lost says so', async (t) => {
  for (const { make } of VERSIONS) {
    const made = make({ east: AT_4500 });
    made.sim.net.impair(({ from }) => from.address === WEST, { kind: 'drop' }, 9999);
    made.sim.initiate(made.east);
    made.sim.run(80_000);
    t.match(failures(made.west), [
      { cause: 'port_4500_blocked', message: /what we send from UDP port 4500 does not reach it/ },
    ]);
  }
});

t.test('what cannot be begun names the port it would have gone to', async (t) => {
  for (const version of [2, 1] as const) {
    const patch = { adminUp: false, peer: { port: 4500 } } as const;
    const { sim, east } = pair({ east: version === 1 ? v1(patch) : patch });
    sim.initiate(east);
    t.match(east.eventsOf('ike-failed'), [{ peer: { address: WEST, port: 4500 } }]);
  }
});
