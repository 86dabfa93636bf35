import t from 'tap';
import { WriteAhead } from '../../../src/connection/image/write-ahead.js';
import type { Engine } from '../../../src/ike/engine.js';
import type { DatagramInput } from '../../../src/ike/inputs.js';
import type { SaRecord } from '../../../src/ike/sa/record.js';
import { EAST, pair } from '../../helpers/engine-pair.js';

t.test('what anyone can send again, and what all traffic brings about, costs no export', async (t) => {
  const { sim, east, west } = pair();
  east.engine = sim.makeEngine(east.config, 1);
  let exports = 0;
  const exported = (engine: Engine, id: string): SaRecord[] => {
    exports++;
    return engine.exportConnection(id);
  };
  const ahead = new WriteAhead((id) => exported(east.engine, id));
  east.ahead = (outputs) => ahead.step(outputs, east.engine.takeTouched()).ready;
  sim.initiate(west);
  sim.run(sim.now + 30_000);
  t.ok(exports > 2);
  const [last] = sim.net.sent
    .filter(({ to, name }) => to.address === EAST && name.endsWith('request'))
    .slice(-1);
  const { from, to, natTraversalPort, bytes } = last!;
  const again: DatagramInput = { kind: 'datagram', local: to, remote: from, natTraversalPort, bytes };
  const forged = Uint8Array.from(bytes);
  forged[bytes.length - 1]! ^= 1;
  const [childId] = east.children.keys();
  const before = exports;
  const sent = east.outputs.length;
  for (let i = 0; i < 50; i++) {
    sim.input(east, again);
    sim.input(east, { ...again, bytes: forged });
    sim.input(east, { kind: 'inbound-traffic', childId: childId!, at: sim.now });
  }
  t.ok(east.outputs.length > sent, 'the repeated request was answered each time');
  t.equal(exports, before);

  const update = ahead.begin();
  t.ok(exports > before, 'an image that begins has all that could wait');
  t.match(update.changes.filter(({ kind }) => kind === 'connection').length, 1);
  t.equal(ahead.catchUp(10), undefined, 'nothing is left');
  sim.input(east, { kind: 'renew', connection: 'site', scope: 'children' });
  t.match(ahead.waiting, { updates: 2 });
  t.ok(ahead.waiting.outputs > 0);
  ahead.end();
  t.equal(ahead.waiting.outputs, 0);
});
