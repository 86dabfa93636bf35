import t from 'tap';
import type { ConnectionStatus, StatusReason } from '../../src/connection/status.js';
import { StatusEvents } from '../../src/daemon/core/status-events.js';
import type { NewEvent } from '../../src/telemetry/events/event-document.js';

const DEAD = { code: 'peer_not_responding', message: 'The peer is dead.', details: { cause: 'dpd_timeout' } };

function watched() {
  const standing = new Map<string, ConnectionStatus>([['c', 'down']]);
  const events: NewEvent[] = [];
  const wanted = { yes: true };
  let asked = 0;
  const status = new StatusEvents({
    statuses: {
      standing: (connection) => standing.get(connection),
      outage: () => {
        asked++;
        return { isWanted: wanted.yes, reasons: [DEAD] as unknown as readonly StatusReason[] };
      },
    },
    names: { nameOf: (connection) => `name-of-${connection}` },
    publish: (event) => void events.push(event),
  });
  status.configure([{ id: 'c' }]);
  status.settle();
  const become = (next: ConnectionStatus): void => {
    standing.set('c', next);
    status.on({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'rekeyed' });
  };
  return { status, standing, events, become, wanted, asked: () => asked };
}

t.test('a connection that comes up and is lost', async (t) => {
  const { status, events, become, asked } = watched();
  t.same(events, [], 'one that is down at the start is no news');
  become('up');
  status.settle();
  t.match(events.pop(), {
    kind: 'connection-status',
    level: 'info',
    connection: { id: 'c', name: 'name-of-c' },
    message: 'name-of-c is up',
    fields: { status: 'up', before: 'down' },
  });
  t.equal(asked(), 0, 'why is asked for only where it is not up');
  become('down');
  become('up');
  status.settle();
  t.same(events, [], 'what a step takes and gives back is no change');
  become('down');
  status.settle();
  t.match(events, [
    {
      level: 'warn',
      message: 'name-of-c is down: The peer is dead.',
      fields: { status: 'down', before: 'up', cause: 'dpd_timeout' },
    },
  ]);
  status.settle();
  t.equal(events.length, 1);
});

t.test('one that is not to be up is no warning', async (t) => {
  const { status, events, become, wanted } = watched();
  become('up');
  status.settle();
  wanted.yes = false;
  become('down');
  status.settle();
  t.match(events.at(-1), { level: 'info', fields: { status: 'down' } });
});

t.test('a configuration may change how it stands, or take it away', async (t) => {
  const { status, standing, events } = watched();
  standing.set('c', 'degraded');
  status.configure([{ id: 'c' }, { id: 'd' }]);
  standing.set('d', 'down');
  status.settle();
  t.match(events, [{ fields: { status: 'degraded', before: 'down' } }]);
  standing.delete('c');
  status.configure([{ id: 'd' }]);
  standing.set('c', 'degraded');
  status.on({ kind: 'ike-closed', connection: 'c', ikeId: 1, reason: 'terminated' });
  status.settle();
  t.equal(events.length, 2, 'one that comes back begins as down');
});
