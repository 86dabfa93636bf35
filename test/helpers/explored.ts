import type { Test } from 'tap';
import type { Input, RenewScope } from '../../src/ike/inputs.js';
import { explore, type Scenario, type Side, type Stimulus } from './explorer.js';

const on = (side: Side, input: Input): Stimulus => ({ side, input });

export const renew = (side: Side, scope: RenewScope): Stimulus =>
  on(side, { kind: 'renew', connection: 'site', scope });
export const end = (side: Side): Stimulus => on(side, { kind: 'terminate', connection: 'site' });
export const initiate = (side: Side): Stimulus => on(side, { kind: 'initiate', connection: 'site' });
export const traffic = (side: Side): Stimulus => ({ side, input: 'traffic' });
export const deleteChild = (side: Side): Stimulus => ({ side, input: 'delete-child' });

export const ESTABLISHED = { accidents: 1, established: true } as const;

/** Accidents in one way beyond those of the scenario: CULVERT_EXPLORE=1 takes minutes, 2 hours. */
const DEEPER = Number(process.env.CULVERT_EXPLORE ?? 0);

/** Walks all orders and reports what is wrong with the way to it. */
export function holds(t: Test, scenario: Scenario): void {
  const accidents = scenario.accidents + DEEPER;
  const report = explore({ ...scenario, accidents });
  t.comment(`${accidents} accidents: ${report.states} states, ${report.ends} ends`);
  t.strictSame(report.faults, []);
  t.ok(report.ends > 0, 'at least one way ends');
}
