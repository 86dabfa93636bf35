import t from 'tap';
import { peerAddressBesideTunnel } from '../../src/connection/own-address.js';
import { FedTracker } from './fed.js';
import { connection, network } from './samples.js';

function peer(cidrs: readonly string[], addresses = ['192.0.2.2']) {
  const made = connection('c');
  return { ...made, peer: { ...made.peer, addresses, selectors: cidrs.map(network) } };
}

t.test("a peer's own address inside its networks is advised of, with what becomes of it", async (t) => {
  for (const cidrs of [['192.0.2.0/24'], ['10.2.0.0/24', '0.0.0.0/0']]) {
    const said = peerAddressBesideTunnel(peer(cidrs));
    t.match(
      said,
      /own address 192\.0\.2\.2 lies in its network .*discarded.*fail_closed: false.*peer\.cidrs/,
    );
  }
  t.match(
    peerAddressBesideTunnel(peer(['198.51.100.0/24'], ['192.0.2.2', '198.51.100.9'])),
    /198\.51\.100\.9/,
    'any address of a host name',
  );
});

t.test('there is nothing to be said where the address lies outside, or nothing is routed', async (t) => {
  t.equal(peerAddressBesideTunnel(peer(['10.2.0.0/24', '2001:db8::/32'])), undefined);
  t.equal(peerAddressBesideTunnel(peer(['192.0.2.2/32'])), undefined, 'it has no route, which is a reason');
  t.equal(peerAddressBesideTunnel({ ...peer(['192.0.2.0/24']), adminUp: false }), undefined);
  const all = peer(['0.0.0.0/0', '::/0']);
  const local = { ...all.local, selectors: all.peer.selectors };
  t.equal(peerAddressBesideTunnel({ ...all, local }), undefined, 'in route mode routes decide');
});

t.test('the status says so', async (t) => {
  const tracker = new FedTracker((at) => new Date(at).toISOString());
  tracker.configure([{ config: peer(['192.0.2.0/24']), peer: '192.0.2.2' }]);
  t.match(tracker.status()[0]?.advisories, [{ code: 'peer_address_beside_tunnel' }]);
});
