import t from 'tap';
import { explains, isMended } from '../helpers/explained.js';
import {
  firewall,
  type Life,
  noFirewall,
  PASSIVE,
  skipWithoutFirewall,
  tryFaults,
  withVersion,
} from '../helpers/faulty-pair.js';
import type { SiteLab } from '../helpers/site-lab.js';

const skip = skipWithoutFirewall();

const PATH: readonly Life[] = [
  [
    'UDP 500 is blocked, as initiator',
    async (t, version) => {
      const before = (site: SiteLab) => firewall(site, 'b', 'input', 'udp dport 500');
      await withVersion(t, version, { before }, async (pair) => {
        const wanted = {
          cause: 'port_500_blocked',
          evidence: [
            /nothing has ever come back from 192\.0\.2\.2:500/i,
            /silence does not show which/,
            /confidence +possible/,
            /first sent +\d{4}-/,
            /last sent +\d{4}-/,
          ],
          remedy: /peer address.*UDP 500 and 4500/,
        };
        await explains(t, pair, wanted, 90);
        await noFirewall(pair.site, 'b');
        await isMended(t, pair, 120);
      });
    },
  ],
  [
    "UDP 500 is blocked on the way back: the peer's requests arrive, our answers do not",
    async (t, version) => {
      const before = (site: SiteLab) => firewall(site, 'b', 'input', 'udp sport 500');
      await withVersion(t, version, { ...PASSIVE, before }, async (pair) => {
        t.notOk((await pair.swan.initiate()).ok);
        const wanted = {
          cause: 'port_500_blocked',
          evidence: [/what we send from UDP port 500 does not reach it/, /role +responder/],
          remedy: /UDP 500 and 4500/,
        };
        await explains(t, pair, wanted, 60);
        await noFirewall(pair.site, 'b');
        t.ok((await pair.swan.initiate()).ok);
        await isMended(t, pair);
      });
    },
  ],
  [
    'UDP 4500 is blocked, as initiator',
    async (t, version) => {
      const before = (site: SiteLab) => firewall(site, 'b', 'input', 'udp dport 4500');
      await withVersion(t, version, { before }, async (pair) => {
        const wanted = {
          cause: 'port_4500_blocked',
          evidence: [/answered on UDP port 500 but not on 4500/, /tries +\d+/],
          remedy: /Open UDP 4500 in both directions/,
        };
        await explains(t, pair, wanted, 90);
        await noFirewall(pair.site, 'b');
        await isMended(t, pair, 120);
      });
    },
  ],
  [
    'UDP 4500 is blocked, as responder',
    async (t, version) => {
      const before = (site: SiteLab) => firewall(site, 'a', 'input', 'udp dport 4500');
      await withVersion(t, version, { ...PASSIVE, before }, async (pair) => {
        t.notOk((await pair.swan.initiate()).ok);
        const wanted = {
          cause: 'port_4500_blocked',
          evidence: [/was to go on on port 4500, where nothing came/, /role +responder/],
          remedy: /Open UDP 4500 in both directions/,
        };
        await explains(t, pair, wanted, 60);
        await noFirewall(pair.site, 'a');
        t.ok((await pair.swan.initiate()).ok);
        await isMended(t, pair);
      });
    },
  ],
  [
    "our own packet filter keeps our requests in: that is certain, and the peer's is not asked about",
    async (t, version) => {
      const before = (site: SiteLab) => firewall(site, 'a', 'output', 'udp dport 500');
      await withVersion(t, version, { before }, async (pair) => {
        const wanted = {
          cause: 'port_500_blocked',
          evidence: [
            /this host's own packet filter/i,
            /send error +operation not permitted/,
            /confidence +certain/,
          ],
          remedy: /every firewall/,
        };
        await explains(t, pair, wanted, 90);
      });
    },
  ],
];

for (const version of [2, 1] as const) {
  t.test(`faults of the path, IKEv${version}`, { skip }, async (t) => tryFaults(t, version, PATH));
}
