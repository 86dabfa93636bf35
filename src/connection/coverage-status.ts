import type { Millis } from '../util/units.js';
import type { PairCoverage, SelectorPair } from './coverage.js';
import { hex32 } from './names.js';
import type { PairRefusals } from './projections/refusals.js';
import { statusReason } from './reasons.js';
import type { CoverageCell, CoverageStatus, StatusReason } from './status.js';

/** Cells of a coverage matrix in a status document. */
const MAX_CELLS = 256;

/**
 * @param pairs all configured ones, in the order of the configuration
 * @param refusals what the peer refused; undefined when nothing is tried, since the connection is meant to be down
 */
export function coverageStatus(
  pairs: readonly PairCoverage[],
  refusals: PairRefusals | undefined,
  toUtc: (at: Millis) => string,
): CoverageStatus {
  const cells = pairs.map(
    ({ child, ...pair }): CoverageCell =>
      child === undefined
        ? { ...pair, ...openCell(pair, refusals, toUtc) }
        : { ...pair, state: 'covered', spi_in: hex32(child.spiIn), spi_out: hex32(child.spiOut) },
  );
  const count = (state: CoverageCell['state']): number => cells.filter((cell) => cell.state === state).length;
  const gapsFirst = [...cells].sort((a, b) => Number(a.state === 'covered') - Number(b.state === 'covered'));
  const matrix = cells.length <= MAX_CELLS ? cells : gapsFirst.slice(0, MAX_CELLS);
  return {
    pairs: cells.length,
    covered: count('covered'),
    pending: count('pending'),
    refused: count('refused'),
    matrix,
  };
}

/** Why a pair that no child SA carries has none. */
function openCell(
  pair: SelectorPair,
  refusals: PairRefusals | undefined,
  toUtc: (at: Millis) => string,
): Pick<CoverageCell, 'state' | 'cause' | 'refused_at' | 'next_attempt_at'> {
  if (refusals === undefined) return { state: 'down' };
  const refusal = refusals.of(pair);
  if (refusal === undefined) return { state: 'pending' };
  return {
    state: 'refused',
    cause: refusal.failure.cause,
    refused_at: toUtc(refusal.at),
    ...(refusal.retryAt === undefined ? {} : { next_attempt_at: toUtc(refusal.retryAt) }),
  };
}

/** Drops of several SAs together, by reason; reasons that did not occur are left out. */
export function sumOfDrops(all: readonly Readonly<Record<string, number>>[]): Record<string, number> {
  const out: Record<string, number> = {};
  for (const drops of all) {
    for (const [reason, count] of Object.entries(drops)) {
      if (count > 0) out[reason] = (out[reason] ?? 0) + count;
    }
  }
  return out;
}

/** The peer carries some pairs of networks and others not: which, and why as far as it has said. */
export function narrowedReason(
  { matrix, refused, pending }: CoverageStatus,
  version: 1 | 2,
  peer: string,
): StatusReason {
  const open = matrix.filter(({ state }) => state !== 'covered');
  const gap = open.find(({ state }) => state === 'refused') ?? open[0];
  const words = gap === undefined ? '' : `: no child SA carries ${gap.local} with ${gap.peer}`;
  const counts = ` (${refused} refused, ${pending} pending)`;
  const reason = statusReason(
    {
      cause: 'ts_narrowed',
      message: `The peer accepted only a part of the configured networks${words}${counts}`,
    },
    { version, peer },
  );
  return { ...reason, details: { cause: 'ts_narrowed', ...reason.details, uncovered: open } };
}
