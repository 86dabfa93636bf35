import { setTimeout as sleep } from 'node:timers/promises';
import t, { type Test } from 'tap';
import { type CulvertDaemon, down, up } from './culvert-daemon.js';
import { answers, countIkeOf, cut, heal, type IkeCounter } from './outage.js';
import { SITE_A, SITE_B, untilTraffic } from './site-lab.js';
import { steadyPing } from './steady-ping.js';
import { type StrongSwan, skipWithoutStrongswan } from './strongswan.js';
import { culvertConfig, ESP, IKE, type SwanPair, swanConnection, withPair } from './strongswan-pair.js';

const skip = skipWithoutStrongswan();

export type IkeVersion = 1 | 2;
type Action = 'restart' | 'clear' | 'hold' | 'none';

/** Seconds of silence until a probe, and until the peer is dead. */
const INTERVAL = 1;
const TIMEOUT = 3;
/** Quiet is watched this long, in milliseconds: a retry or a probe would have come twice by then. */
const QUIET = 4000;

interface Case extends SwanPair {
  readonly t: Test;
  /** IKE messages that Culvert sent. */
  readonly ike: IkeCounter;
}

interface ActionCase {
  /** The path was cut and is good again when this returns. */
  readonly blackhole: (one: Case) => Promise<void>;
  /** charon is dead and nobody has noticed; it is back when this returns. */
  readonly crash: (one: Case) => Promise<void>;
}

/** What each action promises, kept against strongSwan that only answers, watches nobody and remembers nothing. */
const ACTIONS: Readonly<Record<Action, ActionCase>> = {
  restart: {
    async blackhole(one) {
      await noticed(one);
      await begins(one);
      await heal(one.site);
      await recovers(one, 'blackhole, restart', 'the path was good again');
    },
    async crash(one) {
      await noticed(one);
      await begins(one);
      await one.swan.revive();
      await recovers(one, 'kill -9, restart', 'the peer was back');
    },
  },
  clear: {
    async blackhole(one) {
      await noticed(one);
      await heal(one.site);
      one.t.equal((await one.culvert.connection('to-b')).activity, 'passive');
      await staysQuiet(one, 'traffic brings nothing back', () => answers(one.site.lab));
      void one.culvert.up('to-b').catch(() => undefined);
      await recovers(one, 'blackhole, clear', 'the operator said up');
    },
    async crash(one) {
      await noticed(one);
      await one.swan.revive();
      await staysQuiet(one, 'the peer is back and has to begin', () => answers(one.site.lab));
      one.t.ok((await one.swan.initiate()).ok, 'the peer begins');
      await recovers(one, 'kill -9, clear', 'the peer was up');
    },
  },
  hold: {
    async blackhole(one) {
      await noticed(one);
      await heal(one.site);
      await trapped(one);
      await recovers(one, 'blackhole, hold', 'the first packet');
    },
    async crash(one) {
      await noticed(one);
      await one.swan.revive();
      await trapped(one);
      await recovers(one, 'kill -9, hold', 'the first packet');
    },
  },
  none: {
    async blackhole(one) {
      const before = await one.culvert.connection('to-b');
      await staysQuiet(one, 'nobody asks for a sign of life', () => answers(one.site.lab));
      const after = await one.culvert.connection('to-b');
      await heal(one.site);
      one.t.equal(after.status, 'up');
      one.t.same(spisOf(after), spisOf(before), 'the SAs are kept');
      await recovers(one, 'blackhole, none', 'the path was good again');
      one.t.same(spisOf(await one.culvert.connection('to-b')), spisOf(before), 'and carry on');
    },
    async crash(one) {
      const before = await one.culvert.connection('to-b');
      await one.swan.revive();
      await staysQuiet(one, 'nobody notices', () => answers(one.site.lab));
      one.t.same(spisOf(await one.culvert.connection('to-b')), spisOf(before), 'the SAs are kept');
      one.t.ok((await one.swan.initiate()).ok, 'the peer begins, with INITIAL_CONTACT');
      await recovers(one, 'kill -9, none', 'the peer was up');
    },
  },
};

/** Culvert watches strongSwan, with one IKE version. */
export function deadPeerTests(version: IkeVersion): void {
  for (const [action, { blackhole, crash }] of Object.entries(ACTIONS)) {
    t.test(`IKEv${version}, action ${action}`, { skip, buffered: true }, async (t) => {
      const config = culvertConfig({
        ikeVersion: version,
        ike: IKE,
        esp: ESP,
        dpd: { action, interval: INTERVAL, timeout: TIMEOUT },
      });
      await withPair(t, config, swanConnection({ version }), async (pair) => {
        await pair.culvert.until('to-b', up, 30);
        const one: Case = Object.assign(pair, { t, ike: await countIkeOf(pair.site, SITE_A) });
        await untilTraffic(pair.site.lab, SITE_A, SITE_B);
        await cut(pair.site);
        await blackhole(one);
        await pair.swan.kill();
        await one.ike.reset();
        await crash(one);
        if (action === 'none') t.notMatch(pair.culvert.log(), /probe/i, 'never a probe');
      });
    });
  }
}

/** The peer deletes the child SA and keeps the IKE SA: a new child SA is made there, at once. */
export function deletedChildTest(version: IkeVersion): void {
  t.test(`IKEv${version}, the peer deletes the child SA only`, { skip, buffered: true }, async (t) => {
    const config = culvertConfig({ ikeVersion: version, ike: IKE, esp: ESP });
    await withPair(t, config, swanConnection({ version }), async (pair) => {
      const { culvert, swan, site } = pair;
      const before = await culvert.until('to-b', up, 30);
      await untilTraffic(site.lab, SITE_A, SITE_B, 60);
      await agreed(t, pair);
      const steady = steadyPing(site.lab, SITE_A, SITE_B);
      await swan.terminateChild();
      const spi = before.children[0]!.spi_in;
      const after = await culvert.until('to-b', (c) => up(c) && c.children[0]!.spi_in !== spi, 30);
      const { lost, sent, rate } = await steady.stop();
      t.comment(`deleted child SA: ${lost} of ${sent} pings lost at ${Math.round(rate)} a second`);
      t.equal(after.ike!.initiator_spi, before.ike!.initiator_spi, 'in the same IKE SA');
      await agreed(t, pair);
    });
  });
}

/** The peer is found dead, and said to be, and nothing of it is left. */
async function noticed({ t, culvert }: Case): Promise<void> {
  const dead = await culvert.until('to-b', down, 30);
  t.match(dead.status_reasons[0], { code: 'peer_not_responding', details: { cause: 'dpd_timeout' } });
  t.equal(dead.children.length, 0, 'no SA is left');
  t.match(await culvert.client.explain({ name: 'to-b' }), { cause: 'dpd_timeout' });
}

async function trapped(one: Case): Promise<void> {
  const { t, culvert } = one;
  t.equal((await culvert.connection('to-b')).activity, 'trapped');
  await staysQuiet(one, 'without traffic nothing is sent', async () => false);
  t.equal((await culvert.connection('to-b')).activity, 'trapped');
}

/** For a while no IKE message leaves Culvert and no packet comes through. */
async function staysQuiet({ t, ike }: Case, what: string, comesBack: () => Promise<boolean>): Promise<void> {
  const before = await ike.count();
  const until = performance.now() + QUIET;
  while (performance.now() < until) {
    t.notOk(await comesBack(), `${what}: no packet comes back`);
    await sleep(250);
  }
  t.equal(await ike.count(), before, `${what}: no IKE message was sent`);
}

/** A new negotiation is under way although nobody asked for it. The counter is set to zero before the outage. */
async function begins({ t, ike }: Case): Promise<void> {
  const from = performance.now();
  while ((await ike.begun()) === 0 && performance.now() - from < 30_000) await sleep(50);
  t.ok((await ike.begun()) > 0, 'and a new negotiation has begun');
}

/** Traffic flows again, and each end has one IKE SA and one child SA: the same ones. */
async function recovers(one: Case, what: string, since: string): Promise<void> {
  const time = await untilTraffic(one.site.lab, SITE_A, SITE_B, 60);
  one.t.comment(`${what}: traffic ${time} ms after ${since}`);
  await agreed(one.t, one);
}

/** Waits until both ends hold the same pair of SAs and nothing else. */
export async function agreed(
  t: Test,
  { culvert, swan }: { readonly culvert: CulvertDaemon; readonly swan: StrongSwan },
): Promise<void> {
  for (let tries = 0; ; tries++) {
    const { children } = await culvert.connection('to-b');
    const theirs = await swan.sas();
    const others = theirs.flatMap((sa) => sa.children);
    const one = children.length === 1 && theirs.length === 1 && others.length === 1;
    if (one && children[0]!.spi_in === others[0]!.spiOut && children[0]!.spi_out === others[0]!.spiIn) {
      t.pass('both ends hold the same SAs and no others');
      return;
    }
    if (tries === 300) {
      t.fail(`the ends differ: ${JSON.stringify(children)} and ${JSON.stringify(theirs)}`);
      return;
    }
    await sleep(100);
  }
}

type Connection = Awaited<ReturnType<CulvertDaemon['connection']>>;

const spisOf = ({ ike, children }: Connection) => [
  ike?.initiator_spi,
  ike?.responder_spi,
  ...children.flatMap((child) => [child.spi_in, child.spi_out]),
];
