import { weakPskMessage } from '../crypto/psk-strength.js';
import { type ConnectionConfig, connectionName } from '../ike/config.js';
import { isEverything } from '../ike/policy/everything.js';
import type { Millis } from '../util/units.js';
import type { ConnectionSas } from './ledger.js';
import { lifetimeAdvisories } from './projections/lifetimes.js';
import type { Projections } from './projections/projections.js';
import { rekeyAdvisories } from './projections/refusals.js';
import type { Advisory, ConnectionStatus, CoverageStatus } from './status.js';

/** A connection as advisors see it. */
export interface Advised {
  readonly config: ConnectionConfig;
  readonly sas: ConnectionSas;
  readonly projections: Projections;
  /** What `peerAddressBesideTunnel` says of it. */
  readonly besideTunnel: string | undefined;
  /** How much of it child SAs carry. */
  readonly carried: ConnectionStatus;
  readonly coverage: Pick<CoverageStatus, 'covered' | 'pairs'>;
  /** An operator took it down although it is configured up. */
  readonly stopped: boolean;
  /** A new negotiation that is to replace the SAs has not succeeded yet. */
  readonly renewing: boolean;
  readonly now: Millis;
}

type Advisor = (one: Advised) => readonly Advisory[];

/** A dead peer detection timeout from which a path, not the timeout, is the likelier reason for flapping. */
const PATIENT_TIMEOUT = 30;

/** Who advises, in the order in which the status shows it. */
const ADVISORS: readonly Advisor[] = [
  ofEngine,
  adminDown,
  oneWayTraffic,
  flapping,
  besideTunnel,
  renewalPending,
  ({ projections, config, sas, now }) =>
    lifetimeAdvisories(
      projections.lifetimes,
      config,
      [...sas.ikes.values()],
      [...sas.children.values()],
      now,
    ),
  ({ projections: { rekeyRefusals, advisories } }) =>
    rekeyAdvisories(rekeyRefusals.failures, new Set(advisories.all.map(({ code }) => code))),
  oneFamily,
  stoppedByOperator,
];

/** What there is to say of a connection, whether it is up or not. */
export function advisoriesOf(one: Advised): Advisory[] {
  return ADVISORS.flatMap((advisor) => advisor(one));
}

/** What the settings of a connection show by themselves. */
export function configuredAdvisories({ psk }: ConnectionConfig): Advisory[] {
  const message = weakPskMessage(psk.expose());
  return message === undefined ? [] : [{ code: 'weak_psk', message }];
}

function ofEngine({ projections, carried }: Advised): readonly Advisory[] {
  // Of networks that further child SAs carry meanwhile there is nothing to be said any more.
  return projections.advisories.all.filter(({ code }) => code !== 'ts_narrowed' || carried !== 'up');
}

function adminDown({ config }: Advised): readonly Advisory[] {
  const message = 'The connection is administratively down (admin_state_up: false).';
  return config.adminUp ? [] : [{ code: 'admin_down', message }];
}

function oneWayTraffic({ projections, now }: Advised): readonly Advisory[] {
  const silence = projections.traffic.oneWay(now);
  if (silence === undefined) return [];
  const message =
    `We send, but nothing has come back for ${Math.round((now - silence.since) / 1000)} s (${silence.packets} packets): ` +
    "look at the peer's firewall, its routes back to our networks, and its counters for these SAs.";
  return [{ code: 'one_way_traffic', message }];
}

function flapping({ projections: { flaps }, config: { dpd }, now }: Advised): readonly Advisory[] {
  if (!flaps.flaps(now)) return [];
  const remedy =
    dpd.timeout < PATIENT_TIMEOUT
      ? `raise dead_peer_detection.timeout from ${dpd.timeout} to ${PATIENT_TIMEOUT} s or more`
      : 'look at the path to the peer';
  const message = `The connection was lost ${flaps.recent(now)} times in ten minutes: ${remedy}.`;
  return [{ code: 'flapping', message }];
}

function besideTunnel({ besideTunnel: message }: Advised): readonly Advisory[] {
  return message === undefined ? [] : [{ code: 'peer_address_beside_tunnel', message }];
}

function renewalPending({ renewing }: Advised): readonly Advisory[] {
  const message =
    'The configuration changed: a negotiation with the new one has not succeeded yet, and the SAs that are established stay in use.';
  return renewing ? [{ code: 'renewal_pending', message }] : [];
}

/** A connection for all traffic of both families is up, and carries one of them: which. */
function oneFamily({ config, sas, coverage: { covered, pairs } }: Advised): readonly Advisory[] {
  if (covered === 0 || covered === pairs || !isEverything(config)) return [];
  const v4 = [...sas.children.values()].some(({ peerTs }) =>
    peerTs.some(({ startAddress }) => startAddress.length === 4),
  );
  const [carried, other] = v4 ? ['IPv4', 'IPv6'] : ['IPv6', 'IPv4'];
  return [{ code: 'one_family', message: `The peer carries ${carried} only: ${other} finds no child SA.` }];
}

function stoppedByOperator({ stopped, config }: Advised): readonly Advisory[] {
  const message = `An operator took the connection down; bring it up with \`culvert up ${connectionName(config)}\`.`;
  return stopped ? [{ code: 'stopped_by_operator', message }] : [];
}
