import t from 'tap';
import { EAST, establishedPair, faults, pair } from '../helpers/engine-pair.js';
import { rewritingBackend } from '../helpers/rewriting-crypto.js';

t.test('a pair of networks that the peer narrowed is not asked for again', async (t) => {
  const made = pair({
    east: { local: { cidrs: ['10.1.0.0/16'] }, peer: { cidrs: ['10.2.0.0/16'] } },
    west: { local: { cidrs: ['10.2.0.0/24'] }, peer: { cidrs: ['10.1.0.0/24'] } },
  });
  made.sim.initiate(made.east);
  made.sim.run(600_000);
  t.equal(faults(made), undefined);
  t.equal(made.east.eventsOf('child-established').length, 1, 'one child SA, and none for nothing');
  t.match(made.east.eventsOf('child-failed'), [
    { failure: { cause: 'ts_mismatch', message: /narrowed/ }, pair: {} },
  ]);
  // A rekeyed one is as final as the one before.
  made.sim.run(4_000_000);
  t.equal(faults(made), undefined);
  t.ok(made.east.eventsOf('child-established').length <= 3);
  t.ok(made.east.eventsOf('child-closed').every(({ reason }) => reason === 'rekeyed'));
});

t.test('when the peer gives no more than another child SA carries, the newer one stays', async (t) => {
  // West begins with a narrow child SA, so east asks for the rest, and is narrowed to the same.
  const made = pair({
    east: { local: { cidrs: ['10.1.0.0/16'] }, peer: { cidrs: ['10.2.0.0/16'] } },
    west: { local: { cidrs: ['10.2.0.0/24'] }, peer: { cidrs: ['10.1.0.0/24'] } },
  });
  made.sim.initiate(made.west);
  made.sim.run(5000);
  const [first] = made.west.childInfo.values();
  made.sim.run(600_000);
  t.equal(faults(made), undefined);
  const [last] = made.west.childInfo.values();
  t.not(last!.spiIn, first!.spiIn);
  t.equal(made.east.eventsOf('child-established').length, 2, 'asked once');
});

/**
 * West asks for 10.3.0.0 and says 10.2.0.0 on the wire, and hears the contrary: a second child SA for the same. Both
 * messages begin with SA and a nonce behind it.
 */
function secondForTheSame(): ReturnType<typeof rewritingBackend> {
  const swaps = [
    [3, 2],
    [2, 3],
  ];
  return rewritingBackend((plain) => {
    if (plain[0] !== 40) return;
    const [from, to] = swaps.shift() ?? [];
    for (let at = 0; at + 2 < plain.length; at++)
      if (plain[at] === 10 && plain[at + 1] === from && plain[at + 2] === 0) plain[at + 1] = to!;
  });
}

t.test('child SAs with equal selectors that were not made at once stand side by side', async (t) => {
  for (let seed = 1; seed <= 8; seed++) {
    const made = establishedPair({
      seed,
      crypto: secondForTheSame(),
      west: { local: { cidrs: ['10.2.0.0/24', '10.3.0.0/24'] } },
    });
    made.sim.run(300_000);
    t.equal(made.east.childInfo.size, 2, `seed ${seed}`);
    const lists = [...made.east.childInfo.values()].map(({ localTs, peerTs }) => ({ localTs, peerTs }));
    t.strictSame(lists[0], lists[1]);
    t.same(made.east.eventsOf('child-closed'), []);
    t.same(made.west.eventsOf('child-closed'), []);
  }
});

t.test('an attempt that was given up takes no SA down that came after it', async (t) => {
  for (const again of ['east', 'west'] as const) {
    const made = pair();
    made.sim.net.impair('IKE_AUTH request', { kind: 'drop' }, 3);
    made.sim.initiate(made.east);
    made.sim.run(1500);
    made.sim.input(made.east, { kind: 'terminate', connection: 'site' });
    made.sim.run(2000);
    made.sim.initiate(made[again]);
    made.sim.run(60_000);
    t.equal(faults(made), undefined, `${again} begins`);
    for (const node of [made.east, made.west]) {
      t.equal(node.eventsOf('ike-established').length, 1, node.name);
      t.same(node.eventsOf('ike-closed'), []);
    }
  }
});

t.test(
  'a responder that is refused is given a DELETE, and INVALID_IKE_SPI if it did not get it',
  async (t) => {
    for (const lost of [false, true]) {
      const made = pair({
        east: { peer: { identity: 'west.example' } },
        west: { local: { identity: 'west.example' }, dpd: { action: 'restart', interval: 60, timeout: 300 } },
        // The responder's identity is another one on the wire: `west` becomes `wast` in what it sends.
        crypto: rewritingBackend((plain) => {
          const id = [0x77, 0x65, 0x73, 0x74, 0x2e];
          if (plain[0] !== 39) return;
          for (let at = 0; at < 16; at++)
            if (id.every((octet, n) => plain[at + n] === octet)) plain[at + 1] = 0x61;
        }),
      });
      const ours = (packet: { name: string; from: { address: string } }): boolean =>
        packet.name === 'INFORMATIONAL request' && packet.from.address === EAST;
      if (lost) made.sim.net.impair(ours, { kind: 'drop' }, 99);
      made.sim.initiate(made.east);
      made.sim.run(lost ? 150_000 : 5000);
      t.match(made.east.eventsOf('ike-failed'), [{ failure: { cause: 'identity_mismatch' } }]);
      const told = made.east.eventsOf('message').filter(({ direction }) => direction === 'out');
      t.match(told.at(-1)!.summary, lost ? /N\(INVALID_IKE_SPI\)/ : /N\(AUTHENTICATION_FAILED\) D/);
      if (lost) continue;
      t.match(made.west.eventsOf('ike-closed'), [{ failure: { cause: 'authentication_refused' } }]);
      t.equal(made.west.ikes.size, 0);
      t.equal(made.west.children.size, 0);
    }
  },
);
