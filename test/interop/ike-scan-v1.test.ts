import t from 'tap';
import { CulvertDaemon } from '../helpers/culvert-daemon.js';
import { skipWithoutProgram, skipWithoutTun } from '../helpers/prerequisites.js';
import { createSiteLab, SITE_A, SITE_B } from '../helpers/site-lab.js';

const skip = skipWithoutProgram('ike-scan') || skipWithoutTun();

const config = {
  gateway: { name: 'site-a', mode: 'policy', address: SITE_A.address },
  connections: [
    {
      name: 'to-b',
      psk: 'correct-horse-battery',
      establish_mode: 'peer_only',
      local: { cidrs: [SITE_A.cidr] },
      peer: { address: SITE_B.address, cidrs: [SITE_B.cidr] },
    },
  ],
};

/** Numbers of RFC 2409 appendix A, as ike-scan takes them: cipher/bits, hash, authentication, group. */
const CIPHERS = { aes256: '7/256', aes128: '7/128', '3des': '5' };
const HASHES = { sha256: '4', sha1: '2', md5: '1' };
const GROUPS = ['14', '5', '2'];

t.test('ike-scan sees main mode with the whole matrix, and aggressive mode refused', { skip }, async (t) => {
  const site = await createSiteLab();
  try {
    const culvert = await CulvertDaemon.start(site.lab, 'a', site.folder, config);
    try {
      const scan = async (...args: string[]): Promise<string> => {
        const argv = ['ike-scan', '--sport=0', '--retry=2', '--timeout=1000', ...args, SITE_A.address];
        const { stdout } = await site.lab.run('b', argv);
        return stdout;
      };
      for (const [cipher, c] of Object.entries(CIPHERS)) {
        for (const [hash, h] of Object.entries(HASHES)) {
          for (const group of GROUPS) {
            const seen = await scan(`--trans=${c},${h},1,${group}`);
            t.match(seen, /Main Mode Handshake returned/, `${cipher}-${hash}, group ${group}`);
            t.match(seen, new RegExp(`Group=${group}:`));
          }
        }
      }
      t.match(await scan('--trans=1,1,1,1'), /NO-PROPOSAL-CHOSEN/, 'DES is refused');
      const seen = await scan('--aggressive', '--id=stranger', '--trans=7/256,2,1,2', '--dhgroup=2');
      t.match(seen, /UNSUPPORTED-EXCHANGE-TYPE/, 'a clean refusal');
      t.notMatch(seen, /Aggressive Mode Handshake returned/);
      const [reason] = (await culvert.until('to-b', (c) => c.status_reasons.length > 0)).status_reasons;
      t.match(JSON.stringify(reason) + culvert.log(), /aggressive mode/);
      t.equal(await culvert.stop(), 0);
    } finally {
      if (culvert.running) await culvert.kill();
    }
  } finally {
    await site.dispose();
  }
});
