import fc from 'fast-check';
import t from 'tap';
import { SpiTable } from '../../../src/dataplane/ffi/loop/spi-table.js';

t.test('behaves as a map, through growth, removal and clustered SPIs', async () => {
  const spi = fc.oneof(
    fc.integer({ min: 1, max: 0xffffffff }),
    // Neighbours, and numbers that differ in the upper bits only.
    fc.integer({ min: 256, max: 300 }),
    fc.nat(40).map((i) => ((i << 24) | 7) >>> 0),
  );
  const step = fc.record({ spi, remove: fc.boolean() });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400 }), (steps) => {
      const table = new SpiTable<number>();
      const map = new Map<number, number>();
      steps.forEach(({ spi, remove }, i) => {
        if (remove) {
          table.delete(spi);
          map.delete(spi);
        } else {
          table.set(spi, i);
          map.set(spi, i);
        }
      });
      return (
        table.size === map.size &&
        steps.every(({ spi }) => table.get(spi) === map.get(spi) && table.get(spi | 0) === map.get(spi))
      );
    }),
    { numRuns: 500 },
  );
});

t.test('edges', async (t) => {
  const table = new SpiTable<string>();
  t.throws(() => table.set(0, 'x'), RangeError);
  t.equal(table.get(0), undefined);
  table.set(0xffffffff, 'a');
  t.equal(table.get(-1), 'a');
  table.clear();
  t.equal(table.get(-1), undefined);
  t.equal(table.size, 0);
});
