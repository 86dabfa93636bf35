import { setTimeout as sleep } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { explains, explanation, isMended } from '../helpers/explained.js';
import {
  firewall,
  isUp,
  type Life,
  noFirewall,
  PASSIVE,
  STAYS_DOWN,
  skipWithoutFirewall,
  tryFaults,
  withVersion,
} from '../helpers/faulty-pair.js';
import { HelperProgram } from '../helpers/helper-program.js';
import { SITE_A, SITE_B, type SiteLab } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { culvertConfig, ESP, IKE, swanConnection } from '../helpers/strongswan-pair.js';

const skip = skipWithoutFirewall();
const COOKIES = fileURLToPath(new URL('../helpers/cookie-responder.mjs', import.meta.url));
const MORE_CIDRS = [SITE_B.cidr, '10.12.0.0/24'];

const LOSSES: readonly Life[] = [
  [
    'the peer deletes the connection',
    async (t, version) => {
      await withVersion(t, version, PASSIVE, async (pair) => {
        t.ok((await pair.swan.initiate()).ok);
        await isUp(pair);
        await pair.swan.terminate();
        const wanted = {
          cause: 'peer_deleted',
          evidence: [/the peer deleted the connection/i, /first at +\d{4}-/],
          remedy: /its log says why/,
        };
        await explains(t, pair, wanted);
        t.ok((await pair.swan.initiate()).ok);
        await isMended(t, pair);
      });
    },
  ],
  [
    'the peer vanishes',
    async (t, version) => {
      await withVersion(t, version, { dpd: STAYS_DOWN }, async (pair) => {
        await isUp(pair);
        await firewall(pair.site, 'b', 'input', 'udp dport { 500, 4500 }');
        const wanted = {
          cause: 'dpd_timeout',
          evidence: [/no sign of life .*for \d+ s/, /waits? for the peer|has to begin/i],
          remedy: /path to the peer/,
        };
        await explains(t, pair, wanted, 60);
        await noFirewall(pair.site, 'b');
        await pair.culvert.client.up({ name: 'to-b', wait: false });
        await isMended(t, pair);
      });
    },
  ],
  [
    "an operator's down, and admin_state_up: false",
    async (t, version) => {
      await withVersion(t, version, {}, async (pair) => {
        await isUp(pair);
        await pair.culvert.down('to-b');
        const wanted = {
          cause: 'admin_down',
          evidence: [/an operator took the connection down/i],
          remedy: /culvert up/,
        };
        await explains(t, pair, wanted);
        t.notOk((await pair.swan.initiate()).ok, 'the peer is refused');
        await explains(t, pair, wanted);
        await pair.culvert.client.up({ name: 'to-b', wait: false });
        await isMended(t, pair);
      });
    },
  ],
  [
    'a rekeying that the peer refuses, while the tunnel still works',
    async (t, version) => {
      await withVersion(t, version, {}, async (pair) => {
        await isUp(pair);
        const config = (cipher: string) =>
          culvertConfig({ ike: IKE, esp: { ...ESP, encryption_algorithm: cipher }, ikeVersion: version });
        await pair.culvert.reload(config('aes128'));
        const wanted = {
          cause: 'rekey_failed',
          evidence: [/could not be rekeyed/i, /is up for 1 pair/, /NO_PROPOSAL_CHOSEN/],
          remedy: /lifetimes and PFS|compare the IPsec policies/,
        };
        await explains(t, pair, wanted, 40);
        await pair.culvert.reload(config('aes256'));
        await pair.culvert.until('to-b', ({ advisories }) => advisories.length === 0, 60);
        await isMended(t, pair);
      });
    },
  ],
  [
    'the peer ends its child SAs long before we would rekey them',
    async (t, version) => {
      const swan = { childExtra: 'life_time = 5s\n rekey_time = 0s' };
      await withVersion(t, version, { swan }, async (pair) => {
        const wanted = {
          cause: 'clock_or_lifetime',
          evidence: [
            /after \d+, \d+, \d+ s, while we would rekey after \d+ s|rekeyed after \d+ s, where 3600 s/,
          ],
          remedy: /lifetimes? at (both ends|the peer)/,
        };
        await explains(t, pair, wanted, 90);
      });
    },
  ],
  [
    'this process is stopped for a while, as in suspend',
    async (t, version) => {
      const swan = { extra: 'dpd_delay = 1s\n dpd_timeout = 5s' };
      await withVersion(t, version, { swan, ...PASSIVE, dpd: STAYS_DOWN }, async (pair) => {
        t.ok((await pair.swan.initiate()).ok);
        await isUp(pair);
        pair.culvert.signal('SIGSTOP');
        for (let n = 0; n < 60 && (n < 13 || (await pair.swan.sas()).length > 0); n++) await sleep(1000);
        pair.culvert.signal('SIGCONT');
        const wanted = {
          cause: 'clock_or_lifetime',
          evidence: [/was paused for \d+ s until \d{4}-/, /stood still +\d+/],
          remedy: /suspended/,
        };
        await explains(t, pair, wanted, 60);
        t.ok((await pair.swan.initiate()).ok);
        await isMended(t, pair);
      });
    },
  ],
  [
    'one of two networks is not at the peer: the pair is refused, told with the time of the next try, and taken then',
    async (t, version) => {
      await withVersion(t, version, { peerCidrs: MORE_CIDRS }, async (pair) => {
        // kernel-libipsec takes no network in which it has no address.
        await pair.site.lab.check('b', ['ip', 'address', 'add', '10.12.0.1/24', 'dev', 'lo']);
        await pair.culvert.until('to-b', ({ coverage }) => coverage?.refused === 1, 30);
        const wanted = {
          cause: 'ts_narrowed',
          evidence: [
            /no child SA carries 10\.1\.0\.0\/24 with 10\.12\.0\.0\/24 \(1 refused, 0 pending\)/,
            /1 of 2 pairs of networks covered, 1 refused/,
            /10\.12\.0\.0\/24 +refused +- +ts_mismatch, asked for again in/,
          ],
          remedy: /Add the missing networks at the peer/,
        };
        await explains(t, pair, wanted);
        const children = MORE_CIDRS.map((localTs, n) => ({ name: `c${n}`, localTs, remoteTs: SITE_A.cidr }));
        await pair.swan.load(swanConnection({ version, children }));
        // The next try comes by itself, 30 s after the first one, or two minutes after that.
        await isMended(t, pair, 200);
      });
    },
  ],
  [
    'more negotiations than the peer may have',
    async (t, version) => {
      const limits = { ike_sas_per_peer: 1 };
      const before = (site: SiteLab) => firewall(site, 'a', 'input', 'udp dport 4500');
      await withVersion(t, version, { ...PASSIVE, limits, before }, async (pair) => {
        // One is left half-open, since its second half does not get through.
        t.notOk((await pair.swan.initiate('c', 2)).ok);
        const local = { address: SITE_B.address, id: 'other.example', ts: SITE_B.cidr };
        await pair.swan.load(swanConnection({ version, name: 'other', local }));
        t.notOk((await pair.swan.initiate('other', 2)).ok);
        const wanted = {
          cause: 'half_open_limit',
          evidence: [
            /requests from 192\.0\.2\.2 are dropped here: 1 \w+ SAs with this peer, which is the limit/i,
          ],
          remedy: /Too many unfinished negotiations/,
        };
        await explains(t, pair, wanted, 20);
      });
    },
  ],
];

const VERSION_2: readonly Life[] = [
  [
    'the peer answers with nothing but cookies',
    async (t, version) => {
      const settings = 'port = 1500\n port_nat_t = 14500';
      const before = async ({ lab }: SiteLab): Promise<void> => {
        const responder = lab.spawn('b', [process.execPath, COOKIES, SITE_B.address], {
          stdio: ['ignore', 'pipe', 'inherit'],
        });
        t.teardown(() => responder.kill());
        await new HelperProgram('the responder', responder).firstOutput();
      };
      await withVersion(t, version, { settings, before }, async (pair) => {
        const wanted = {
          cause: 'cookie_loop',
          evidence: [/keeps asking for a cookie/, /exchange +IKE_SA_INIT/, /the peer demanded a cookie/],
          remedy: /under load|changes our address/,
        };
        await explains(t, pair, wanted, 60);
      });
    },
  ],
  [
    'PFS at one end only: found by verifying it soon after the start',
    async (t, version) => {
      await withVersion(t, version, { esp: { ...ESP, pfs: 'group_14' } }, async (pair) => {
        const wanted = {
          cause: 'pfs_mismatch',
          evidence: [/is up for 1 pair/, /our IPsec policy wants PFS with MODP_2048/],
          remedy: /same PFS group at both ends/,
        };
        await explains(t, pair, wanted, 90);
        await pair.culvert.reload(culvertConfig({ ike: IKE, esp: ESP, ikeVersion: 2 }));
        await pair.culvert.until('to-b', ({ advisories }) => advisories.length === 0, 60);
        await isMended(t, pair);
      });
    },
  ],
  [
    'PFS at one end only: found when the peer rekeys',
    async (t, version) => {
      await withVersion(t, version, { ...PASSIVE, esp: { ...ESP, pfs: 'group_14' } }, async (pair) => {
        t.ok((await pair.swan.initiate()).ok);
        await isUp(pair);
        await pair.swan.rekey('child');
        const wanted = {
          cause: 'pfs_mismatch',
          evidence: [/is up for 1 pair/, /could not be rekeyed/],
          remedy: /same PFS group at both ends/,
        };
        await explains(t, pair, wanted, 30);
      });
    },
  ],
  [
    'large messages are lost on the way: a rekeying gets no answer from a peer whose packets arrive',
    async (t, version) => {
      await withVersion(t, version, { dpd: { ...STAYS_DOWN, timeout: 60 } }, async (pair) => {
        await isUp(pair);
        const steady = steadyPing(pair.site.lab, SITE_A, SITE_B, 0.5);
        await firewall(pair.site, 'b', 'input', 'udp dport 4500 udp length > 180 @th,64,32 0');
        await pair.culvert.reload(
          culvertConfig({
            ike: IKE,
            esp: { ...ESP, encryption_algorithm: 'aes128' },
            ikeVersion: 2,
            dpd: { ...STAYS_DOWN, timeout: 60 },
          }),
        );
        const wanted = {
          cause: 'rekey_failed',
          evidence: [/was heard, but did not answer CREATE_CHILD_SA to rekey the child SA for \d+ s/],
          remedy: /lifetimes and PFS/,
        };
        await explains(t, pair, wanted, 120);
        await steady.stop();
      });
    },
  ],
  [
    'packets leave and none comes back',
    async (t, version) => {
      await withVersion(t, version, {}, async (pair) => {
        await isUp(pair);
        const steady = steadyPing(pair.site.lab, SITE_A, SITE_B, 0.5);
        // ESP in UDP, that is without the marker of IKE (RFC 3948 §2.2).
        await firewall(pair.site, 'a', 'input', 'udp dport 4500 @th,64,32 != 0');
        await pair.culvert.until(
          'to-b',
          ({ advisories }) => advisories.some(({ code }) => code === 'one_way_traffic'),
          90,
        );
        const told = await explanation(pair);
        t.match(told, { status: 'up', verdict: /But something is wrong .* nothing has come back for \d+ s/ });
        t.match(told.advice.join(), /the peer's firewall, its routes back/);
        await noFirewall(pair.site, 'a');
        await isMended(t, pair);
        await steady.stop();
      });
    },
  ],
  [
    'what the peer saw is joined to what we were told',
    async (t, version) => {
      await withVersion(t, version, { swan: { psk: 'another-secret' } }, async (pair) => {
        const told = {
          cause: 'authentication_refused',
          evidence: [/role +initiator/],
          remedy: /let the peer initiate once/,
        };
        await explains(t, pair, told);
        t.notOk((await pair.swan.initiate()).ok);
        const seen = { cause: 'psk_mismatch', evidence: [/role +responder/], remedy: /same pre-shared key/ };
        await explains(t, pair, seen);
      });
    },
  ],
];

const VERSION_1: readonly Life[] = [
  [
    'PFS at one end only',
    async (t, version) => {
      await withVersion(t, version, { ...PASSIVE, esp: { ...ESP, pfs: 'group_14' } }, async (pair) => {
        t.notOk((await pair.swan.initiate()).ok);
        const wanted = {
          cause: 'pfs_mismatch',
          evidence: [/MODP_2048/, /role +responder/],
          remedy: /same PFS group/,
        };
        await explains(t, pair, wanted);
        await pair.swan.load(swanConnection({ version, espProposals: 'aes256-sha256-modp2048' }));
        t.ok((await pair.swan.initiate()).ok);
        await isMended(t, pair);
      });
    },
  ],
];

for (const version of [2, 1] as const) {
  t.test(`faults in the life of a connection, IKEv${version}`, { skip }, async (t) => {
    await tryFaults(t, version, [...LOSSES, ...(version === 2 ? VERSION_2 : VERSION_1)]);
  });
}
