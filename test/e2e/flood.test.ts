import t from 'tap';
import { toHex } from '../../src/util/bytes.js';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { pair } from '../helpers/engine-pair.js';
import { addForger, Flood, residentKb } from '../helpers/flood.js';
import { skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, ping, SITE_A, SITE_B } from '../helpers/site-lab.js';
import { v1Pair } from '../helpers/v1-pair.js';

const skip = skipWithoutTun();

const PER_SECOND = 1000;
/** What the process may grow by, far above its tables and far below an SA for every forged message. */
const MAX_GROWTH_KB = 150_000;

/** First messages of both versions, as real peers would send them. */
function firstMessages(): string[] {
  return [pair({ seed: 9 }), v1Pair({ seed: 9 })].map((donor) => {
    donor.sim.initiate(donor.east);
    return toHex(donor.sim.net.sent[0]!.bytes);
  });
}

for (const version of [2, 1] as const) {
  t.test(`IKEv${version} under a flood of forged first messages`, { skip, timeout: 180_000 }, async (t) => {
    const site = await createSiteLab();
    t.teardown(() => site.dispose());
    await addForger(site.lab, SITE_A, SITE_B.address);
    const psk = 'correct-horse-battery';
    const policy = {
      ike_version: version,
      encryption_algorithm: 'aes256',
      authentication_algorithm: 'sha256',
    };
    const a = await CulvertDaemon.start(site.lab, 'a', site.folder, {
      gateway: { name: 'site-a', address: SITE_A.address },
      connections: [
        {
          name: 'c',
          psk,
          establish_mode: 'peer_only',
          local: { cidrs: [SITE_A.cidr] },
          peer: { address: SITE_B.address, cidrs: [SITE_B.cidr] },
        },
        // Takes its peer from anywhere: forged requests are not refused by their address.
        {
          name: 'anywhere',
          psk,
          establish_mode: 'peer_only',
          local: { cidrs: ['10.3.0.0/24'] },
          peer: {
            address: '203.0.113.9',
            cidrs: ['10.4.0.0/24'],
            ike_identity: { type: 'fqdn', value: 'away.example' },
          },
        },
      ],
    });
    const b = await CulvertDaemon.start(site.lab, 'b', site.folder, {
      gateway: { name: 'site-b', address: SITE_B.address },
      ike_policies: [{ name: 'p', ...policy, dh_group: 14, key_lifetime: 28_800 }],
      connections: [
        {
          name: 'c',
          psk,
          ike_policy: 'p',
          local: { cidrs: [SITE_B.cidr] },
          peer: { address: SITE_A.address, cidrs: [SITE_A.cidr] },
        },
      ],
    });
    await b.until('c', ({ status }) => status === 'up', 30);
    const [before] = [(await b.connection('c')).ike];
    t.equal(before?.version, version);
    const resident = residentKb(a.pid);
    const flood = await Flood.start(site.lab, {
      target: SITE_A.address,
      forged: SITE_B.address,
      messages: firstMessages(),
      perSecond: PER_SECOND,
    });
    await flood.reaches(PER_SECOND);
    t.match(a.log(), /demanding a cookie/, 'the forged messages have to prove where they are');
    t.equal(await ping(site.lab, SITE_B, SITE_A, 20), 20, 'the tunnel carries traffic meanwhile');
    t.equal((await b.connection('c')).ike?.initiator_spi, before?.initiator_spi, 'over the same IKE SA');
    await b.down('c');
    await b.up('c');
    const after = await b.until('c', ({ status }) => status === 'up', 60);
    t.not(after.ike?.initiator_spi, before?.initiator_spi, 'the peer has connected anew meanwhile');
    await a.until('c', ({ status }) => status === 'up', 60);
    t.equal(await ping(site.lab, SITE_B, SITE_A, 2), 2);
    // The flood lasts on: what the process keeps of it would go on growing.
    await flood.reaches(flood.sent + 2 * PER_SECOND);
    const growth = residentKb(a.pid) - resident;
    t.ok(growth < MAX_GROWTH_KB, `the process has grown by ${growth} KB after ${flood.sent} forged messages`);
    await flood.end();
    await b.stop();
    await a.stop();
  });
}
