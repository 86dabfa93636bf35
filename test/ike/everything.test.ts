import t from 'tap';
import { FedTracker } from '../connection/fed.js';
import { faults, pair } from '../helpers/engine-pair.js';
import { v1Pair } from '../helpers/v1-pair.js';

const EVERYTHING = ['0.0.0.0/0', '::/0'];

t.test(
  'all traffic of both families, and a peer with 0.0.0.0/0 alone: up, and the other is asked for once',
  async (t) => {
    for (const version of [2, 1] as const) {
      const east = { local: { cidrs: EVERYTHING }, peer: { cidrs: EVERYTHING } };
      const west = {
        local: { cidrs: ['0.0.0.0/0'] },
        peer: { cidrs: ['0.0.0.0/0'] },
        establishMode: 'peer_only',
      } as const;
      const made = (version === 2 ? pair : v1Pair)({ east, west });
      made.sim.initiate(made.east);
      made.sim.run(3_000_000);
      t.equal(faults(made), undefined, `IKEv${version}`);
      const refused = made.east.eventsOf('child-failed').filter(({ role }) => role === 'initiator');
      t.ok(refused.length <= 1, `IKEv${version}: ${refused.length} requests for ::/0`);
      const tracker = new FedTracker((at) => new Date(at).toISOString());
      tracker.configure([{ config: made.east.config.connections[0]!, peer: '192.0.2.2' }]);
      for (const event of made.east.events) tracker.handle(event, 0);
      const [status] = tracker.status();
      t.match(status, { status: 'up', status_reasons: [], coverage: { pairs: 2, covered: 1 } });
      t.match(
        status!.advisories.filter(({ code }) => code === 'one_family'),
        [{ message: /carries IPv4 only/ }],
      );
    }
  },
);
