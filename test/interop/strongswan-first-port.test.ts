import t from 'tap';
import { firewall, isUp, skipWithoutFirewall, withVersion } from '../helpers/faulty-pair.js';
import { ping, SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';

const skip = skipWithoutFirewall();

for (const version of [2, 1] as const) {
  t.test(`a strongSwan that only UDP 4500 reaches, IKEv${version}`, { skip, timeout: 120_000 }, async (t) => {
    const before = (site: SiteLab) => firewall(site, 'b', 'input', 'iifname "wan" udp dport != 4500');
    const gateway = { encapsulation: 'auto' };
    await withVersion(t, version, { peerPort: 4500, gateway, before }, async (pair) => {
      await isUp(pair);
      t.equal(await ping(pair.site.lab, SITE_A, SITE_B, 3), 3);
      const { ike, children } = await pair.culvert.connection('to-b');
      t.equal(ike?.peer_endpoint, `${SITE_B.address}:4500`);
      t.equal(children[0]?.encapsulation, 'udp', 'ESP goes the same way');
      t.notMatch(pair.culvert.log(), `${SITE_B.address}:500:`);
    });
  });
}
