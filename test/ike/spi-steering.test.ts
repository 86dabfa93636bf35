import fc from 'fast-check';
import t from 'tap';
import { releaseSpi, reserveSpi } from '../../src/ike/sa/esp-spi.js';
import { establishedPair, faults } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { establishedV1, v1Faults } from '../helpers/v1-pair.js';

/** Every child SA of the connection is to have these low bits. */
const STEERING = { mask: 7, bitsOf: (connection: string) => (connection === 'site' ? 5 : 0) };
const REKEYS = {
  childLifetime: 12,
  ikeLifetime: 40,
  dpd: { action: 'restart', interval: 5, timeout: 30 },
} as const;

const emit = (): void => undefined;
const sets = () => ({ espSpis: new Set<number>(), expectedSpis: new Set<number>() });

t.test('an SPI has the bits of its connection, is fresh and is not reserved', async (t) => {
  fc.assert(
    fc.property(fc.integer(), fc.constantFrom(0, 1, 3, 7, 15, 255), fc.nat(255), (seed, mask, bits) => {
      const spiSteering = { mask, bitsOf: () => bits };
      const pool = { ctx: { random: new SeededRandom(seed), spiSteering, emit }, ...sets() };
      const spis = Array.from({ length: 50 }, () => reserveSpi(pool, 'any'));
      for (const spi of spis) {
        if (!Number.isInteger(spi) || spi < 256 || spi > 0xffffffff) return false;
        if ((spi & mask) !== (bits & mask)) return false;
      }
      const fresh = new Set(spis).size === spis.length && spis.every((spi) => pool.espSpis.has(spi));
      for (const spi of spis) releaseSpi(pool, spi);
      return fresh && pool.espSpis.size === 0;
    }),
  );
  // Random octets that would give a reserved SPI, or one in use, are passed over.
  const octets = [
    [0, 0, 0, 0xf0],
    [1, 0, 0, 0xf0],
    [1, 0, 0, 0xf2],
    [2, 0, 0, 0],
  ];
  const random = { bytes: () => Uint8Array.from(octets.shift()!) };
  const pool = { ctx: { random, spiSteering: { mask: 3, bitsOf: () => 1 }, emit }, ...sets() };
  t.equal(reserveSpi(pool, 'site'), 0x010000f1);
  t.equal(reserveSpi(pool, 'site'), 0x02000001);
});

t.test('the same seed without steering gives the SPIs it always gave', async (t) => {
  const [plain, none] = [
    establishedPair(),
    establishedPair({ spiSteering: { mask: 0, bitsOf: () => 9 } }),
  ].map(({ east }) => [...east.children.values()].map(({ spiIn }) => spiIn));
  t.same(plain, none);
});

for (const version of [1, 2] as const) {
  t.test(`IKEv${version}: all child SAs of a connection keep its bits through rekeys`, async (t) => {
    const options = { spiSteering: STEERING, east: REKEYS, west: REKEYS } as const;
    const made = version === 1 ? establishedV1(options) : establishedPair(options);
    made.sim.run(made.sim.now + 90_000);
    t.ok(
      made.sim.run(
        made.sim.now + 20_000,
        () => (version === 1 ? v1Faults(made) : faults(made)) === undefined,
      ),
    );
    for (const node of [made.east, made.west]) {
      const spis = node.outputs.flatMap((one) => (one.kind === 'install-child' ? [one.child.spiIn] : []));
      t.ok(spis.length > 5, `${spis.length} child SAs`);
      t.same(new Set(spis.map((spi) => spi & STEERING.mask)), new Set([5]));
      t.equal(new Set(spis.map((spi) => spi >>> 3)).size, spis.length, 'the other bits are random');
    }
  });
}
