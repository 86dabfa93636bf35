import t from 'tap';
import { HEARTBEAT_PACE, Heartbeat } from '../../../src/daemon/warden/heartbeat.js';

const { beat, silent, stopped, busy } = HEARTBEAT_PACE;
const idle = { isBusy: false, isStopped: false, ran: 5 };

/** Beats until it counts as hung. @returns how many that took */
function beatsUntilHung(
  work: (n: number) => typeof idle | undefined,
  before: (heart: Heartbeat) => void = () => undefined,
) {
  const heart = new Heartbeat(0);
  before(heart);
  for (let n = 1; n <= 1000; n++) if (heart.beat(n * beat, work(n))) return n;
  return undefined;
}

t.test('one that neither answers nor works counts as hung well within a second', async (t) => {
  t.equal(
    beatsUntilHung(() => undefined),
    Math.ceil(silent / beat),
  );
  t.equal(
    beatsUntilHung(() => ({ ...idle, isStopped: true })),
    1 + Math.ceil(stopped / beat),
    'one that is stopped sooner: at the first beat it is seen to have run since before',
  );
  const heart = new Heartbeat(0);
  let hung = 0;
  for (let n = 1; n <= 100; n++) {
    heart.answered();
    if (heart.beat(n * beat, idle)) hung++;
  }
  t.equal(hung, 0);
});

t.test('one that works is given longer', async (t) => {
  t.equal(
    beatsUntilHung((n) => ({ isBusy: false, isStopped: false, ran: n })),
    Math.floor(busy / beat) + 1,
    'its time goes on',
  );
  t.equal(
    beatsUntilHung(() => ({ isBusy: true, isStopped: false, ran: 5 })),
    Math.floor(busy / beat) + 1,
    'it waits for a processor',
  );
  t.equal(
    beatsUntilHung((n) => ({ isBusy: n < 10, isStopped: false, ran: 5 })),
    9 + Math.ceil(silent / beat),
    'and no longer once it stands still',
  );
});

t.test('time in which this process stood still is no silence', async (t) => {
  const heart = new Heartbeat(0);
  t.notOk(heart.beat(3_600_000, idle));
  t.notOk(heart.beat(3_600_000 + beat, idle));
});
