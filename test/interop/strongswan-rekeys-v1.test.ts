import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { SITE_A, SITE_B, untilTraffic } from '../helpers/site-lab.js';
import { steadyPing } from '../helpers/steady-ping.js';
import { type SwanSa, skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  culvertConfig,
  ESP,
  IKE,
  type SwanPair,
  swanConnection,
  withPair,
} from '../helpers/strongswan-pair.js';

const skip = skipWithoutStrongswan();

/** How long SAs are rekeyed, and how often they are counted, in seconds. */
const SECONDS = 70;
const EVERY = 5;

/** ISAKMP SAs that Culvert has, by its log. */
function ownIkeSas({ culvert }: SwanPair): number {
  const log = culvert.log();
  const count = (pattern: RegExp): number => log.match(pattern)?.length ?? 0;
  return count(/IKEv1 SA \d+ established as/g) - count(/"IKE SA \d+ closed: /g);
}

const words = (sas: readonly SwanSa[]): string =>
  sas.map(({ state, children }) => `${state}(${children.length})`).join(' ');

/** What both ends had at most while ISAKMP SAs and ESP SAs replaced one another under ping. */
async function whileRekeying(t: Test, pair: SwanPair, step: (n: number) => unknown = () => undefined) {
  const { site, swan, culvert } = pair;
  await untilTraffic(site.lab, SITE_A, SITE_B);
  const steady = steadyPing(site.lab, SITE_A, SITE_B, 0.05);
  const most = { ours: 0, theirs: 0, ourChildren: 0, theirChildren: 0 };
  const note = (key: keyof typeof most, found: number): void => {
    most[key] = Math.max(most[key], found);
  };
  for (let passed = 0; passed < SECONDS; passed += EVERY) {
    await step(passed / EVERY + 1);
    await sleep(EVERY * 1000);
    const sas = await swan.sas();
    t.comment(`${passed + EVERY} s, strongSwan: ${words(sas)}; Culvert: ${ownIkeSas(pair)}`);
    note('theirs', sas.length);
    note('theirChildren', sas.flatMap(({ children }) => children).length);
    note('ours', ownIkeSas(pair));
    note('ourChildren', (await culvert.connection('to-b')).children.length);
  }
  const { sent, lost } = await steady.stop();
  t.ok(sent > SECONDS * 10, `${sent} pings were sent`);
  if (lost > 0) t.comment(culvert.log().split('\n').slice(-400).join('\n'));
  t.equal(lost, 0, `none of ${sent} was lost`);
  return { ...most, made: culvert.log().match(/IKEv1 SA \d+ established as/g)?.length ?? 0 };
}

// As initiator strongSwan gives its ESP SAs to the new ISAKMP SA, keeps the old one REKEYING and deletes it with its
// lifetime only: it relies on the DELETE of the responder.
t.test('strongSwan rekeys ISAKMP SAs that live long: none is left at either end', { skip }, async (t) => {
  const connection = swanConnection({
    version: 1,
    extra: 'rekey_time = 0\n reauth_time = 6s\n over_time = 600s\n rand_time = 0',
    childExtra: 'rekey_time = 4s\n life_time = 12s\n rand_time = 0',
  });
  const config = culvertConfig({ ikeVersion: 1, ike: IKE, esp: ESP, establishMode: 'peer_only' });
  await withPair(t, config, connection, async (pair) => {
    t.ok((await pair.swan.initiate()).ok);
    const most = await whileRekeying(t, pair);
    t.ok(most.made >= 10, `${most.made} ISAKMP SAs followed one another`);
    // One in six seconds, each of which is deleted after twenty, and the one that stands.
    t.ok(most.theirs <= 6, `at most ${most.theirs} ISAKMP SAs at strongSwan`);
    t.ok(most.ours <= 6, `at most ${most.ours} here`);
    // One in four seconds, each of which lives for twelve.
    t.ok(most.theirChildren <= 5, `at most ${most.theirChildren} pairs of ESP SAs at strongSwan`);
    t.ok(most.ourChildren <= 5, `at most ${most.ourChildren} here`);
  });
});

/** Culvert's file. A reload with another cipher in a policy rekeys what the policy is for. */
function otherCiphers(n: number) {
  const cipher = { encryption_algorithm: n % 2 === 0 ? 'aes256' : 'aes128' };
  return culvertConfig({ ikeVersion: 1, ike: { ...IKE, ...cipher }, esp: { ...ESP, ...cipher } });
}

t.test('Culvert rekeys: nothing is left at either end', { skip }, async (t) => {
  const connection = swanConnection({
    version: 1,
    proposals: 'aes256-sha256-modp2048,aes128-sha256-modp2048',
    espProposals: 'aes256-sha256,aes128-sha256',
  });
  await withPair(t, otherCiphers(0), connection, async (pair) => {
    await pair.culvert.until('to-b', (one) => one.status === 'up');
    const most = await whileRekeying(t, pair, (n) => pair.culvert.reload(otherCiphers(n)));
    t.ok(most.made >= 10, `${most.made} ISAKMP SAs followed one another`);
    // One in five seconds, each of which is deleted after ten, and the one that stands; the same of ESP SAs.
    t.ok(most.theirs <= 4, `at most ${most.theirs} ISAKMP SAs at strongSwan`);
    t.ok(most.ours <= 4, `at most ${most.ours} here`);
    t.ok(most.theirChildren <= 4, `at most ${most.theirChildren} pairs of ESP SAs at strongSwan`);
    t.ok(most.ourChildren <= 4, `at most ${most.ourChildren} here`);
  });
});
