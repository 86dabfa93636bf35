import fc from 'fast-check';
import t from 'tap';
import { CookieJar } from '../../src/ike/admission/cookies.js';
import { HalfOpenLedger } from '../../src/ike/admission/half-open.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import { detectNat, natDetectionNotifies } from '../../src/ike/path/nat-detection.js';
import { Retransmission } from '../../src/ike/sa/retransmission.js';
import { RequestWindow } from '../../src/ike/v2/window.js';
import { TokenBucket } from '../../src/util/token-bucket.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';

const crypto = createToyBackend();

t.test('cookies: bound to nonce, address and SPI, and to a secret that changes', async (t) => {
  const jar = new CookieJar(crypto, new SeededRandom(1), 60_000);
  const subject = {
    nonce: new Uint8Array(32).fill(1),
    sourceAddress: '192.0.2.1',
    initiatorSpi: new Uint8Array(8).fill(2),
  };
  const cookie = jar.issue(subject, 0);
  t.ok(cookie.length <= 64, 'RFC 7296 §2.6: at most 64 octets');
  t.ok(jar.verify(cookie, subject, 0));
  t.ok(jar.verify(cookie, subject, 59_999));
  t.ok(jar.verify(cookie, subject, 61_000), 'the secret before the current one holds');
  t.notOk(jar.verify(cookie, subject, 122_000), 'but not the one before that');
  t.notOk(jar.verify(jar.issue(subject, 122_000), { ...subject, sourceAddress: '192.0.2.2' }, 122_000));
  t.notOk(jar.verify(jar.issue(subject, 122_000), { ...subject, nonce: new Uint8Array(32) }, 122_000));
  t.notOk(jar.verify(jar.issue(subject, 122_000), { ...subject, initiatorSpi: new Uint8Array(8) }, 122_000));
  t.notOk(jar.verify(new Uint8Array(0), subject, 122_000));
  const old = jar.issue(subject, 123_000);
  t.notOk(jar.verify(old, subject, 600_000), 'after a long rest both secrets are old');
  t.notOk(new CookieJar(crypto, new SeededRandom(2), 60_000).verify(old, subject, 0));
});

t.test('half-open ledger: counts what is there, in any order', async (t) => {
  const sources = ['a', 'b', 'c'];
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), fc.nat(2)), { maxLength: 60 }), (steps) => {
      const ledger = new HalfOpenLedger(DEFAULT_LIMITS);
      const open: string[] = [];
      for (const [opens, which] of steps) {
        const source = sources[which]!;
        const at = open.indexOf(source);
        if (opens) {
          ledger.opened(source, true);
          open.push(source);
        } else if (at >= 0) {
          ledger.closed(source, true);
          open.splice(at, 1);
        }
      }
      return ledger.total === open.length && ledger.sources === new Set(open).size;
    }),
  );
  const ledger = new HalfOpenLedger({
    ...DEFAULT_LIMITS,
    halfOpenTotal: 3,
    halfOpenPerSource: 2,
    cookieThreshold: 1,
  });
  const known = (): boolean => true;
  t.equal(ledger.admission('a', false, known), 'admit');
  ledger.opened('a', true);
  t.equal(ledger.admission('a', false, known), 'demand-cookie');
  t.equal(ledger.admission('a', true, known), 'admit');
  ledger.opened('a', true);
  t.equal(ledger.admission('a', true, known), 'refuse', 'its share');
  t.equal(ledger.admission('b', true, known), 'admit');
  ledger.opened('b', true);
  t.equal(ledger.admission('c', true, known), 'refuse', 'all of it');
  t.throws(() => ledger.closed('nobody', true));
});

t.test('half-open ledger: the last places are for configured peers', async (t) => {
  const ledger = new HalfOpenLedger({ ...DEFAULT_LIMITS, halfOpenTotal: 20 });
  for (let n = 0; n < 18; n++) ledger.opened(`host ${n}`, true);
  t.equal(
    ledger.admission('x', true, () => false),
    'refuse',
  );
  t.equal(
    ledger.admission('x', true, () => true),
    'admit',
  );
});

t.test('half-open ledger: an address that shows to be real later has its share too', async (t) => {
  const ledger = new HalfOpenLedger({ ...DEFAULT_LIMITS, halfOpenPerSource: 2 });
  for (let n = 0; n < 3; n++) ledger.opened('a', false);
  t.strictSame([ledger.prove('a'), ledger.prove('a'), ledger.prove('a')], [true, true, false]);
  ledger.closed('a', true);
  t.ok(ledger.prove('a'));
});

t.test('retransmission: growing waits, a ceiling, an end', async (t) => {
  const waits: number[] = [];
  let now = 100;
  const retransmission = new Retransmission(DEFAULT_LIMITS.retransmit, now);
  for (;;) {
    waits.push(Math.round(retransmission.nextAt - now));
    now = retransmission.nextAt;
    if (retransmission.expire(now) === 'exhausted') break;
  }
  t.strictSame(waits, [500, 900, 1620, 2916, 5249, 9448, 10_000, 10_000]);
  t.equal(retransmission.sent, 8);
});

t.test('rate limit: a burst, then the rate', async (t) => {
  const limit = new TokenBucket({ burst: 3, perSecond: 2 });
  t.strictSame(
    [0, 0, 0, 0].map((now) => limit.take(now)),
    [true, true, true, false],
  );
  t.equal(limit.take(400), false);
  t.equal(limit.take(500), true);
  t.equal(limit.take(500), false);
  t.equal(limit.take(100), false, 'time that goes back gives nothing');
});

t.test('request window: each id once, and the last answer again for the same octets', async (t) => {
  const window = new RequestWindow();
  const request = Uint8Array.of(1, 2, 3);
  t.equal(window.place(0), 'new');
  t.equal(window.place(1), 'outside');
  const answer = Uint8Array.of(9);
  window.answered(request, [answer]);
  request[0] = 7;
  t.equal(window.place(0), 'last');
  t.same(window.answerTo(Uint8Array.of(1, 2, 3)), [answer], 'the window has its own copy');
  t.equal(window.answerTo(request), undefined);
  t.equal(window.place(1), 'new');
  window.answered(request, [answer]);
  t.equal(window.place(0), 'outside');
});

t.test('NAT detection: which end, several sources, none at all', async (t) => {
  const spis = { initiatorSpi: new Uint8Array(8).fill(1), responderSpi: new Uint8Array(8) };
  const a = { address: '192.0.2.1', port: 500 };
  const b = { address: '2001:db8::2', port: 500 };
  const nat = { address: '198.51.100.1', port: 61_000 };
  const notifies = (force = false) =>
    natDetectionNotifies(crypto, new SeededRandom(1), spis, { local: a, remote: b, force });
  const detect = (payloads: Parameters<typeof detectNat>[2], remote = a, local = b) =>
    detectNat(crypto, spis, payloads, { local, remote });
  t.strictSame(detect(notifies()), { supported: true, local: false, peer: false });
  t.strictSame(detect(notifies(), nat), { supported: true, local: false, peer: true });
  t.strictSame(detect(notifies(), a, nat), { supported: true, local: true, peer: false });
  t.strictSame(detect(notifies(true)), { supported: true, local: false, peer: true });
  t.strictSame(detect([]), { supported: false, local: false, peer: false });
  const several = [...notifies(true), ...notifies()];
  t.strictSame(detect(several), { supported: true, local: false, peer: false });
});
