import fc from 'fast-check';
import t from 'tap';
import { DEFAULT_REPLAY_WINDOW } from '../../src/esp/params.js';
import { ReplayWindow } from '../../src/esp/replay-window.js';

/** What RFC 4303 §3.4.3 asks for, in the plainest form: every number ever accepted is remembered. */
class Oracle {
  readonly #seen = new Set<number>();
  readonly #size: number;
  #highest = 0;

  constructor(size: number) {
    this.#size = size;
  }

  accept(sequence: number): boolean {
    if (sequence === 0 || sequence <= this.#highest - this.#size || this.#seen.has(sequence)) return false;
    this.#seen.add(sequence);
    this.#highest = Math.max(this.#highest, sequence);
    return true;
  }
}

/** Numbers in runs, near the window's edges, at the ends of the range, and anywhere. */
function sequences(size: number): fc.Arbitrary<number[]> {
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.integer({ min: -3, max: 3 }) },
    { weight: 4, arbitrary: fc.integer({ min: -size - 34, max: size + 34 }) },
    { weight: 2, arbitrary: fc.constantFrom(-size - 1, -size, 1 - size, size - 1, size, size + 1, 32, -32) },
    { weight: 1, arbitrary: fc.integer({ min: -0xffffffff, max: 0xffffffff }) },
  );
  const start = fc.oneof(
    fc.constantFrom(0, 1, 2 ** 31 - 2, 2 ** 31, 0xffffffff - size, 0xffffffff),
    fc.integer({ min: 0, max: 0xffffffff }),
  );
  return fc.tuple(start, fc.array(step, { maxLength: 200 })).map(([from, steps]) => {
    let at = from;
    const out = [at];
    for (const each of steps) {
      at = Math.min(0xffffffff, Math.max(0, at + each));
      out.push(at);
    }
    return out;
  });
}

t.test('agrees with an oracle that remembers everything', async (t) => {
  for (const size of [32, 33, 64, 100, DEFAULT_REPLAY_WINDOW, 4096]) {
    fc.assert(
      fc.property(sequences(size), (numbers) => {
        const window = new ReplayWindow(size);
        const oracle = new Oracle(size);
        for (const number of numbers) {
          const possible = window.check(number);
          const accepted = window.advance(number);
          if (accepted !== possible || accepted !== oracle.accept(number)) return false;
        }
        return true;
      }),
      { numRuns: 400 },
    );
    t.pass(`a window of ${size}`);
  }
});

t.test('check alone changes nothing', async (t) => {
  const window = new ReplayWindow(64);
  t.ok(window.advance(100));
  t.ok(window.check(5000));
  t.equal(window.highest, 100);
  t.ok(window.check(99));
  t.ok(window.advance(99), 'the number is still free after a check');
});

t.test('every number of the window once, in any order', async (t) => {
  const window = new ReplayWindow(1024);
  t.ok(window.advance(2000));
  for (let number = 977; number < 2000; number++) {
    if (!window.advance(number)) t.fail(`${number} lies in the window and is new`);
    if (window.advance(number)) t.fail(`${number} was there before`);
  }
  t.notOk(window.advance(976), 'left of the window');
  t.equal(window.highest, 2000);
});

t.test('the ends of the range', async (t) => {
  const window = new ReplayWindow(1024);
  t.notOk(window.check(0), 'sequence number 0 is never sent');
  t.notOk(window.advance(0));
  t.ok(window.advance(1));
  t.ok(window.advance(0xffffffff), 'a jump over the whole range');
  t.equal(window.highest, 0xffffffff);
  t.notOk(window.advance(0xffffffff));
  t.notOk(window.advance(1), 'nothing wraps');
  t.ok(window.advance(0xffffffff - 1023));
  t.notOk(window.advance(0xffffffff - 1024));
});

t.test('a window that begins at a number has seen all before, and none after', async (t) => {
  for (const size of [32, 64, 100, 1024]) {
    for (const edge of [1, 31, 32, 63, 64, 1000, 4095, 2 ** 31, 0xfffffffe]) {
      const begun = new ReplayWindow(size);
      begun.startAt(edge);
      t.equal(begun.highest, edge);
      const oracle = new Oracle(size);
      for (let number = Math.max(1, edge - size); number <= edge; number++) oracle.accept(number);
      const last = Math.min(0xffffffff, edge + size);
      // The farthest first, then all of them from both ends: each is new once, when it lies beyond the edge.
      const numbers = Array.from({ length: last - Math.max(1, edge - size) + 1 }, (_, i) => last - i);
      const wrong = [...numbers, ...numbers.reverse()].filter(
        (number) => begun.advance(number) !== oracle.accept(number),
      );
      t.same(wrong, [], `window of ${size} from ${edge}`);
    }
  }
  const window = new ReplayWindow(64);
  window.advance(100);
  window.startAt(90);
  t.ok(window.advance(95), 'an edge that lies behind changes nothing');
});

t.test('a size that makes no sense is refused', async (t) => {
  for (const size of [0, 31, 32.5, 65537, Number.NaN]) {
    t.throws(() => new ReplayWindow(size), { name: 'RangeError', message: /from 32 to 65536/ });
  }
});
