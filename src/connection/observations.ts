import { weakPskMessage } from '../crypto/psk-strength.js';
import type { ConnectionConfig } from '../ike/config.js';
import type { ChildSaInfo } from '../ike/events.js';
import { isEverything } from '../ike/policy/everything.js';
import type { Networks } from '../ike/policy/selectors.js';
import type { Millis } from '../util/units.js';
import { coverageMatrix, type SelectorPair } from './coverage.js';
import type { FlapCounter } from './flaps.js';
import { hex32 } from './names.js';
import { peerAddressBesideTunnel } from './own-address.js';
import { statusReason } from './reasons.js';
import type { PairRefusals } from './refusals.js';
import type { Advisory, CoverageCell, CoverageStatus, StatusReason } from './status.js';
import type { TrafficWatch } from './traffic-watch.js';

/** Cells of a coverage matrix in a status document. */
const MAX_CELLS = 256;
/** A dead peer detection timeout from which a path, not the timeout, is the likelier reason for flapping. */
const PATIENT_TIMEOUT = 30;

/** What the settings of a connection show by themselves. */
export function configuredAdvisories({ psk }: ConnectionConfig): Advisory[] {
  const message = weakPskMessage(psk.expose());
  return message === undefined ? [] : [{ code: 'weak_psk', message }];
}

/** What a running connection shows by itself, beside what the engine advises. */
export function observedAdvisories(
  config: ConnectionConfig,
  { traffic, flaps }: { readonly traffic: TrafficWatch; readonly flaps: FlapCounter },
  renewing: boolean,
  now: Millis,
): Advisory[] {
  const { adminUp, dpd } = config;
  const out: Advisory[] = [];
  if (!adminUp) {
    out.push({
      code: 'admin_down',
      message: 'The connection is administratively down (admin_state_up: false).',
    });
  }
  const silence = traffic.oneWay(now);
  if (silence !== undefined) {
    const message =
      `We send, nothing comes back since ${Math.round((now - silence.since) / 1000)} s (${silence.packets} packets): ` +
      "look at the peer's firewall, its routes back to our networks, and its counters for these SAs.";
    out.push({ code: 'one_way_traffic', message });
  }
  if (flaps.flaps(now)) {
    const remedy =
      dpd.timeout < PATIENT_TIMEOUT
        ? `raise dead_peer_detection.timeout from ${dpd.timeout} to ${PATIENT_TIMEOUT} s or more`
        : 'look at the path to the peer';
    const message = `The connection was lost ${flaps.recent(now)} times in ten minutes: ${remedy}.`;
    out.push({ code: 'flapping', message });
  }
  const beside = peerAddressBesideTunnel(config);
  if (beside !== undefined) out.push({ code: 'peer_address_beside_tunnel', message: beside });
  if (renewing) {
    const message =
      'The configuration changed: a negotiation with the new one has not succeeded yet, and what stands goes on as before.';
    out.push({ code: 'renewal_pending', message });
  }
  return out;
}

/**
 * @param refusals what the peer refused; undefined when nothing is tried, since the connection is meant to be down
 */
export function coverageStatus(
  networks: Networks,
  children: readonly ChildSaInfo[],
  refusals: PairRefusals | undefined,
  toUtc: (at: Millis) => string,
): CoverageStatus {
  const cells = coverageMatrix(networks, children).map(
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

/** A connection for all traffic of both families is up, and carries one of them: which. */
export function familyAdvisories(
  config: ConnectionConfig,
  children: readonly ChildSaInfo[],
  { covered, pairs }: CoverageStatus,
): Advisory[] {
  if (covered === 0 || covered === pairs || !isEverything(config)) return [];
  const v4 = children.some(({ peerTs }) => peerTs.some(({ startAddress }) => startAddress.length === 4));
  const [carried, other] = v4 ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
  return [{ code: 'one_family', message: `The peer carries ${carried} only: ${other} finds no child SA.` }];
}
