import type { BenchRow } from '#culvert/cli/bench-row.js';
import { messageOf } from '#culvert/cli/errors.js';
import { checkPairPossible, findProgram } from '#culvert/cli/pair/preflight.js';

/** What is missing for a measurement, and why that is so. */
export interface Missing {
  readonly what: string;
  readonly why: string;
}

/** What keeps two gateways from running in namespaces here; undefined when nothing does. */
export function pairMissing(): Missing | undefined {
  try {
    checkPairPossible();
    return undefined;
  } catch (error) {
    return { what: 'culvert', why: messageOf(error) };
  }
}

/** What keeps traffic between hosts behind two gateways from being measured here; undefined when nothing does. */
export function trafficMissing(): Missing | undefined {
  const missing = pairMissing();
  if (missing !== undefined || findProgram('iperf3') !== undefined) return missing;
  return { what: 'iperf3', why: 'iperf3 is not installed' };
}

/** The row in the place of what was not measured. */
export function skippedRow(part: string, name: string, why: string): BenchRow {
  return { part, name, value: 0, unit: '', note: `skipped: ${why}` };
}
