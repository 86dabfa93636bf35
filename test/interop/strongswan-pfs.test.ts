import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { explains } from '../helpers/explained.js';
import { withVersion } from '../helpers/faulty-pair.js';
import { SITE_A, SITE_B, untilTraffic } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import { ESP, type SwanPair } from '../helpers/strongswan-pair.js';

const skip = skipWithoutStrongswan();

/** How long packets are sent, in seconds; 900 make a soak of a quarter of an hour. */
const SECONDS = Number(process.env.CULVERT_SOAK_SECONDS ?? 75);
/** Child SAs of the peer live a fifth of it each, and the first rekeying is asked for after two thirds of that. */
const LIFE = Math.max(10, Math.floor(SECONDS / 5));
/** Distance of pings in seconds, and how many of them are one second. */
const INTERVAL = 0.05;
const ONE_SECOND = 1 / INTERVAL;

const ends = `rekey_time = ${Math.floor((2 * LIFE) / 3)}s\n rand_time = 0\n life_time = ${LIFE}s`;

/** The first child SA needs no group (RFC 7296 §1.2), so that the ends differ in what comes after it only. */
const MISMATCHES = [
  { title: 'the peer wants none', pfs: 'group_14', espProposals: 'aes256-sha256' },
  { title: 'the peer wants another group', pfs: 'group_14', espProposals: 'aes256-sha256-modp4096' },
];

const ikeSas = ({ culvert }: SwanPair): number =>
  culvert.log().match(/IKEv2 SA \d+ established as/g)?.length ?? 0;

async function keepsPinging(t: Test, pair: SwanPair): Promise<void> {
  await pair.culvert.until('to-b', (one) => one.status === 'up', 30);
  await untilTraffic(pair.site.lab, SITE_A, SITE_B);
  const steady = steadyPing(pair.site.lab, SITE_A, SITE_B, INTERVAL);
  const first = ikeSas(pair);
  await sleep(SECONDS * 1000);
  const { sent, lost } = await steady.stop();
  const made = ikeSas(pair) - first;
  t.comment(`${SECONDS} s, ${sent} pings, ${lost} lost, ${made} new IKE SAs`);
  t.ok(sent > (SECONDS * ONE_SECOND) / 2, `${sent} pings were sent`);
  t.ok(made >= 3, `${made} new IKE SAs took over`);
  t.ok(lost <= ONE_SECOND, `at most one second without pings: ${lost} of ${sent} lost`);
  t.match(pair.culvert.log(), /"cause":"pfs_mismatch"/, 'the log says why');
  const wanted = {
    cause: 'pfs_mismatch',
    evidence: [/is up for 1 pair/, /(this policy allows|PFS with) MODP_2048/],
    remedy: /same PFS group at both ends/,
  };
  t.match(await explains(t, pair, wanted, 2 * LIFE), { status: 'up' }, 'and it is up in the end');
}

t.test('PFS that differs in rekeyings only: the tunnel stays up', { skip }, async (t) => {
  t.jobs = MISMATCHES.length;
  t.setTimeout((SECONDS + 180) * 1000);
  await Promise.all(
    MISMATCHES.map(({ title, pfs, espProposals }) =>
      t.test(title, { buffered: true, timeout: (SECONDS + 150) * 1000 }, async (t) => {
        const swan = { espProposals, childExtra: ends };
        await withVersion(t, 2, { esp: { ...ESP, pfs }, swan }, (pair) => keepsPinging(t, pair));
      }),
    ),
  );
});
