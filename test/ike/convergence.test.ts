import { testConvergence } from '../helpers/convergence.js';
import { faults, pair } from '../helpers/engine-pair.js';

testConvergence({
  seeds: 2000,
  patience: 600_000,
  make: (seed, conditions) => pair({ seed, conditions }),
  faults,
});
