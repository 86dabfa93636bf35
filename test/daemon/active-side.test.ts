import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { GatewayImage } from '../../src/connection/image/gateway-image.js';
import { ActiveSide } from '../../src/daemon/core/active-side.js';
import { LAST_SEQUENCE } from '../../src/esp/start.js';
import type { Engine } from '../../src/ike/engine.js';
import { establishedPair, faults } from '../helpers/engine-pair.js';
import { innerPacket } from '../helpers/esp.js';
import { GatewayBench, isUp } from '../helpers/gateway-pair.js';
import { must } from '../helpers/results.js';

/** A standby that answers when it is asked to. */
class Standby {
  readonly image = new GatewayImage();
  received = 0;

  readonly link = {
    send: (update: Uint8Array): void => {
      this.received = must(this.image.receive(update));
      update.fill(0);
    },
  };
}

t.test('outputs wait for the standby, and for none where there is none', async (t) => {
  const made = establishedPair();
  const { sim, east, west } = made;
  const records = east.engine.export();
  const engine = sim.makeEngine(east.config, 3);
  const standby = new Standby();
  const numbers = new Map<number, { sequenceOut: number; reservedOut: number }>();
  const active: ActiveSide = new ActiveSide({
    engine,
    link: standby.link,
    now: () => sim.now,
    release: (outputs) => sim.carryOut(east, [...outputs]),
    plane: {
      counters: () =>
        [...east.children.keys()].map((id) => ({
          ...{
            id,
            packetsIn: 1,
            bytesIn: 1,
            packetsOut: 0,
            bytesOut: 0,
            highestIn: 70,
            lastInbound: sim.now,
          },
          ...(numbers.get(id) ?? { sequenceOut: 0, reservedOut: LAST_SEQUENCE }),
          drops: {} as never,
        })),
      reserve: (id, limit) => numbers.set(id, { sequenceOut: 5, reservedOut: limit }),
    },
  });
  east.ikes.clear();
  east.childInfo.clear();
  for (const output of engine.adopt(records, sim.now).outputs) east.apply(output);
  east.engine = active as unknown as Engine;
  const rekey = (): void => {
    sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
    sim.run(sim.now + 4000);
  };
  const [first] = east.children.keys();
  rekey();
  const [second] = east.children.keys();
  t.not(second, first, 'without a standby nothing waits');
  t.equal(standby.received, 0);
  t.notOk(active.inSync);

  active.begin();
  t.equal(standby.received, 2, 'all there is, and how far inbound traffic has come');
  active.acknowledged(1);
  t.notOk(active.inSync, 'it does not know how far sequence numbers may go');
  active.look();
  active.look();
  t.notOk(active.inSync);
  active.acknowledged(standby.received + 5);
  t.notOk(active.inSync, 'nor does a number that was not given say so');
  active.acknowledged(standby.received);
  t.ok(active.inSync);

  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  const before = west.outputs.length;
  sim.run(sim.now + 20);
  t.equal(west.outputs.length, before, 'no request leaves before the standby has it');
  active.acknowledged(standby.received);
  sim.run(sim.now + 20);
  t.ok(west.outputs.length > before);
  t.equal([...east.children.keys()].join(), String(second), 'nor is what the answer makes installed');
  active.acknowledged(standby.received + 5);
  t.equal(
    [...east.children.keys()].join(),
    String(second),
    'a number that was not given acknowledges nothing',
  );
  for (let i = 0; i < 5; i++) {
    active.acknowledged(standby.received);
    sim.run(sim.now + 2000);
  }
  t.equal(faults(made), undefined);
  const [third] = east.children.keys();
  t.not(third, second);

  const { records: taken, children } = standby.image.takeOver(0);
  t.match(taken, [{ term: 3, children: [{ id: third }] }]);
  t.match(children, [{ id: third, start: { next: 65_537, limit: LAST_SEQUENCE } }], 'after its first block');

  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  sim.run(sim.now + 5000);
  t.equal([...east.children.keys()].join(), String(third));
  active.lost();
  sim.run(sim.now + 5000);
  t.not([...east.children.keys()].join(), String(third), 'a standby that is lost keeps nothing back');
  t.equal(numbers.get(third!)?.reservedOut ?? LAST_SEQUENCE, LAST_SEQUENCE);
  t.notOk(active.inSync);
  active.end();
});

t.test('a gateway whose state another host has seals in its term', async (t) => {
  const bench = new GatewayBench();
  t.teardown(() => bench.dispose());
  const standby = new Standby();
  const suite = {
    ike_policies: [
      ...[{ name: 'i', ike_version: 2, encryption_algorithm: 'aes256', authentication_algorithm: 'sha256' }],
    ].map((one) => ({ ...one, dh_group: 14 })),
    ipsec_policies: [
      {
        name: 'e',
        encryption_algorithm: 'aes128gcm16',
        authentication_algorithm: 'disabled',
        pfs: 'disabled',
      },
    ],
  };
  const change = { policies: suite, connection: { ike_policy: 'i', ipsec_policy: 'e' } };
  const a = await bench.start('a', change, { copied: { term: 0x1234_5678, link: standby.link } });
  const b = await bench.start('b', change);
  const { active } = a.gateway;
  active!.begin();
  const acks = setInterval(() => active!.acknowledged(standby.received), 2);
  t.teardown(() => clearInterval(acks));
  await a.until(isUp);
  b.device.written.length = 0;
  for (let i = 0; i < 200 && b.device.written.length === 0; i++) {
    a.device.inject(innerPacket('10.1.0.1', '10.2.0.1', 100));
    await sleep(10);
  }
  t.ok(b.device.written.length > 0, 'the peer opens them');
  b.device.inject(innerPacket('10.2.0.1', '10.1.0.1', 100));
  for (let i = 0; i < 200 && !active!.inSync; i++) await sleep(10);
  t.ok(active!.inSync);
  await sleep(250);
  const { records, children } = standby.image.takeOver(0);
  t.match(records, [{ term: 0x1234_5678, ikeVersion: 2 }]);
  t.equal(children.length, 1);
  t.ok(children[0]!.start.next > 1 && children[0]!.start.highest > 0);
});
