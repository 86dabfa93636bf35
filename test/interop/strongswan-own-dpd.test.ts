import t from 'tap';
import { CulvertDaemon, up } from '../helpers/culvert-daemon.js';
import { agreed } from '../helpers/dead-peer-cases.js';
import { cut, heal } from '../helpers/outage.js';
import { SITE_A, SITE_B, untilTraffic } from '../helpers/site-lab.js';
import { skipWithoutStrongswan } from '../helpers/strongswan.js';
import {
  culvertConfig,
  ESP,
  IKE,
  type SwanPair,
  swanConnection,
  withPair,
} from '../helpers/strongswan-pair.js';

const skip = skipWithoutStrongswan();
const ACTIONS = ['restart', 'trap', 'clear'] as const;
/** Longer than Culvert takes to start on a busy machine, in seconds. */
const SLOW = 90;
/** How long strongSwan repeats a request before it gives its peer up: four times a second apart. */
const SETTINGS = 'retransmit_base = 1.0';

/** Culvert leaves the watching to strongSwan. */
const config = (ikeVersion: 1 | 2, establishMode: 'bidirectional' | 'peer_only') =>
  culvertConfig({
    ikeVersion,
    establishMode,
    ike: IKE,
    esp: ESP,
    dpd: { action: 'none', interval: 1, timeout: 3 },
  });

/**
 * strongSwan watches Culvert and asks after `delay` seconds. Version 1 has a timeout of its own, version 2 that of
 * its retransmissions. Without keyingtries its restart is one attempt only.
 */
const watching = (version: 1 | 2, action: (typeof ACTIONS)[number], delay: number) =>
  swanConnection({
    version,
    extra: `dpd_delay = ${delay}s\n keyingtries = 0\n ${version === 1 ? `dpd_timeout = ${delay + 2}s` : ''}`,
    childExtra: `dpd_action = ${action}`,
  });

/** strongSwan has given the IKE SA up that it had. */
async function swanNotices({ swan }: SwanPair, before: string): Promise<void> {
  const from = performance.now();
  for (;;) {
    const kept = (await swan.sas()).some((sa) => sa.fields['initiator-spi'] === before);
    if (!kept) return;
    if (performance.now() - from > 60_000) throw new Error('strongSwan has noticed nothing');
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function restarted(pair: SwanPair, file: ReturnType<typeof config>): Promise<number> {
  const from = performance.now();
  pair.culvert = await CulvertDaemon.start(pair.site.lab, 'a', pair.site.folder, file);
  return Math.round(performance.now() - from);
}

t.jobs = 2;

for (const version of [1, 2] as const) {
  for (const action of ACTIONS) {
    t.test(`IKEv${version}, dpd_action = ${action}`, { skip, buffered: true }, async (t) => {
      const file = config(version, 'bidirectional');
      await withPair(
        t,
        file,
        watching(version, action, SLOW),
        async (pair) => {
          const first = await pair.culvert.until('to-b', up, 30);
          await untilTraffic(pair.site.lab, SITE_A, SITE_B, 60);

          // strongSwan has not noticed when Culvert is back; for the SAs to come it watches closely.
          await pair.culvert.kill();
          await pair.swan.load(watching(version, action, 1));
          const ready = await restarted(pair, file);
          const quick = ready + (await untilTraffic(pair.site.lab, SITE_A, SITE_B, 60));
          t.comment(
            `kill -9, dpd_action = ${action}: traffic ${quick} ms after our start (ready: ${ready} ms)`,
          );
          await agreed(t, pair);
          const second = await pair.culvert.until('to-b', up, 30);
          t.not(second.ike!.initiator_spi, first.ike!.initiator_spi, 'by a new IKE SA');
          const told = pair.swan.log().match(/parsed .* N\((INITIAL_CONTACT|INIT_CONTACT)\)/g) ?? [];
          t.equal(told.length, 2, 'which strongSwan was told to be the only one, as the first one was');
          t.match(
            pair.swan.log(),
            /destroying duplicate IKE_SA .* received INITIAL_CONTACT|deleting duplicate/i,
          );

          await pair.culvert.kill();
          await swanNotices(pair, second.ike!.initiator_spi);
          if (action !== 'restart') t.same(await pair.swan.sas(), [], 'strongSwan has removed all and waits');
          // With `restart` strongSwan begins by itself, so we need not.
          const late = config(version, action === 'restart' ? 'peer_only' : 'bidirectional');
          const readyAgain = await restarted(pair, late);
          const slow = readyAgain + (await untilTraffic(pair.site.lab, SITE_A, SITE_B, 60));
          t.comment(
            `noticed, dpd_action = ${action}: traffic ${slow} ms after our start (ready: ${readyAgain} ms)`,
          );
          await agreed(t, pair);
          const third = await pair.culvert.until('to-b', up, 30);
          if (action === 'restart') t.equal(third.ike!.role, 'responder', 'strongSwan began');

          await cut(pair.site, 'a');
          await swanNotices(pair, third.ike!.initiator_spi);
          await heal(pair.site, 'a');
          if (action !== 'restart') {
            // Culvert asks for no sign of life, so an operator has to.
            await pair.culvert.down('to-b');
            void pair.culvert.up('to-b').catch(() => undefined);
          }
          const time = await untilTraffic(pair.site.lab, SITE_A, SITE_B, 60);
          t.comment(`blackhole, dpd_action = ${action}: traffic ${time} ms after the path was good again`);
          await agreed(t, pair);
        },
        { swan: { settings: SETTINGS } },
      );
    });
  }
}
