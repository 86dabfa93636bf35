import { testConvergence } from '../../helpers/convergence.js';
import { v1Faults, v1Pair } from '../../helpers/v1-pair.js';

const CIDRS = {
  east: { local: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] }, peer: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] } },
  west: { local: { cidrs: ['10.2.0.0/24', '10.2.1.0/24'] }, peer: { cidrs: ['10.1.0.0/24', '10.1.1.0/24'] } },
};
const LIVES = { ikeLifetime: 1200, childLifetime: 600 };

testConvergence({
  seeds: 600,
  // DELETE is not answered in version 1, so what is left must expire.
  patience: 6_000_000,
  make: (seed, conditions) =>
    v1Pair({ seed, conditions, east: { ...CIDRS.east, ...LIVES }, west: { ...CIDRS.west, ...LIVES } }),
  faults: (made) => v1Faults(made, 4),
});
