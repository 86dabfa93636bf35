import type { Seconds } from '../../util/units.js';
import { by, series } from './promql.js';

/** critical: act now. warning: it can wait for the morning. */
export type Severity = 'critical' | 'warning';

/** One alert, before it has the form of a rule file. */
export interface Alert {
  /** CamelCase, as alerts are named. */
  readonly name: string;
  readonly severity: Severity;
  /** PromQL: it has a series for each thing that is wrong. */
  readonly expression: string;
  /** How long it must be so before it fires. */
  readonly for: Seconds;
  /** One line; `{{ }}` as in templates of Prometheus. */
  readonly summary: string;
  /** What to do. */
  readonly description: string;
}

/** How fast the alerts are. */
export interface AlertPace {
  /** Factor for every time; 1 when left out. Tests are in a hurry. */
  readonly scale?: number;
}

/** What all members of a gateway say of one of its connections. */
const CONNECTION = ['gateway', 'connection'] as const;
const WHICH = '{{ $labels.gateway }}/{{ $labels.connection }}';
const AUTHENTICATION = '~psk_mismatch|psk_mismatch_likely|identity_mismatch|authentication_refused';

/** A window below this holds fewer than two samples, whatever the pace. */
const MIN_WINDOW: Seconds = 5;

/** The alerts, over the metrics of the catalogue. Causes change while a thing stays wrong, so no alert has one as label. */
export function alerts({ scale = 1 }: AlertPace = {}): readonly Alert[] {
  const pace: Pace = {
    wait: (seconds) => seconds * scale,
    window: (seconds) => `${Math.max(MIN_WINDOW, Math.round(seconds * scale))}s`,
  };
  return [...stateAlerts(pace), ...troubleAlerts(pace), ...gatewayAlerts(pace), ...serverAlerts(pace)];
}

interface Pace {
  wait(seconds: Seconds): Seconds;
  /** A range in PromQL. */
  window(seconds: Seconds): string;
}

const adminUp = `${by('max', CONNECTION, series('culvert_connection_admin_up'))} == 1`;

/** The cause that the first series of this connection has, in a template. */
const CAUSE =
  "{{ with printf \"culvert_connection_cause_info{instance='%s',gateway='%s',connection='%s'}\" " +
  '$labels.instance $labels.gateway $labels.connection | query }}' +
  ' ({{ . | first | label "cause" }}){{ end }}';

/** Connections that do not carry what they should. */
function stateAlerts({ wait, window }: Pace): readonly Alert[] {
  return [
    {
      name: 'CulvertConnectionDown',
      severity: 'critical',
      expression: `${by('max', CONNECTION, series('culvert_connection_up'))} == 0 and ${adminUp}`,
      for: wait(120),
      summary: `VPN connection ${WHICH} is down${CAUSE}`,
      description: 'No packets pass. "culvert explain NAME" says why, with evidence and what to do.',
    },
    {
      name: 'CulvertConnectionDegraded',
      severity: 'warning',
      expression: by('max', CONNECTION, `${series('culvert_connection_state', { state: 'degraded' })} == 1`),
      for: wait(600),
      summary: `VPN connection ${WHICH} carries only some of its networks${CAUSE}`,
      description: 'The coverage table of "culvert status NAME" shows which; compare the CIDRs of both ends.',
    },
    {
      name: 'CulvertTunnelRedundancyLost',
      severity: 'warning',
      expression: `${by('avg', CONNECTION, series('culvert_connection_up'))} > 0 < 1 and ${adminUp}`,
      for: wait(300),
      summary: `VPN connection ${WHICH} is up on some members of its gateway only`,
      description: 'The next failure takes it down. "culvert status" shows which member has lost its tunnel.',
    },
    {
      name: 'CulvertConnectionFlapping',
      severity: 'warning',
      expression: `${by('sum', CONNECTION, `increase(${series('culvert_connection_losses_total')}[${window(600)}])`)} > 3`,
      for: 0,
      summary: `VPN connection ${WHICH} comes and goes`,
      description:
        'See the timeline of "culvert explain NAME"; often the timeout of dead peer detection is short.',
    },
  ];
}

/** Connections that are in trouble, whether they are up or not. */
function troubleAlerts({ wait, window }: Pace): readonly Alert[] {
  const grown = (labels: readonly string[], selector: string, seconds: Seconds): string =>
    by('sum', labels, `increase(${selector}[${window(seconds)}])`);
  return [
    {
      name: 'CulvertOneWayTraffic',
      severity: 'warning',
      expression: by(
        'max',
        CONNECTION,
        `${series('culvert_connection_advisory', { code: 'one_way_traffic' })} == 1`,
      ),
      for: wait(300),
      summary: `Packets leave by VPN connection ${WHICH} and none come back`,
      description: "Look at the peer's firewall, and at the routes back of the hosts behind it.",
    },
    {
      name: 'CulvertRekeyFailing',
      severity: 'warning',
      expression: `${grown([...CONNECTION, 'sa'], series('culvert_connection_rekeys_total', { result: 'failed' }), 3600)} > 0`,
      for: 0,
      summary: `The {{ $labels.sa }} SA of VPN connection ${WHICH} cannot be rekeyed`,
      description: 'The tunnel is lost at the end of its lifetime. Compare lifetimes and PFS of both ends.',
    },
    {
      name: 'CulvertAuthFailures',
      severity: 'warning',
      expression:
        `${grown(CONNECTION, series('culvert_connection_failures_total', { cause: AUTHENTICATION }), 600)} > 5 or ` +
        `${grown(CONNECTION, series('culvert_connection_dropped_packets_total', { reason: 'auth_failed' }), 600)} > 100`,
      for: 0,
      summary: `Authentication fails on VPN connection ${WHICH}`,
      description:
        'The keys or identities of both ends differ, or somebody tries; or ESP packets are changed on the way.',
    },
  ];
}

function gatewayAlerts({ wait, window }: Pace): readonly Alert[] {
  const member = ['gateway', 'member'] as const;
  const thread = [...member, 'worker'] as const;
  const which = '{{ $labels.gateway }} (member {{ $labels.member }})';
  return [
    {
      name: 'CulvertGatewayDown',
      severity: 'critical',
      expression: `${series('culvert_gateway_up')} == 0`,
      for: wait(60),
      summary: `The process of VPN gateway ${which} does not answer`,
      description:
        'Its log, and health_reasons of the gateway in the API, say why. It is started again by itself.',
    },
    {
      name: 'CulvertGatewayRestarting',
      severity: 'critical',
      expression: `${by('sum', member, `increase(${series('culvert_gateway_restarts_total')}[${window(900)}])`)} > 2`,
      for: 0,
      summary: `The process of VPN gateway ${which} is started again and again`,
      description: 'See its log for why it ends.',
    },
    {
      name: 'CulvertStandbyNotReady',
      severity: 'warning',
      expression: `${series('culvert_ha_standby_ready')} == 0`,
      for: wait(300),
      summary: 'The standby of VPN gateway {{ $labels.gateway }} is not ready',
      description:
        'If the active member ended now, the tunnels would be away for longer. health_reasons of the members in the API say why.',
    },
    {
      name: 'CulvertDataPathOverload',
      severity: 'warning',
      expression:
        `${by('sum', thread, `rate(${series('culvert_worker_queue_full_total')}[${window(300)}])`)} > 0 or ` +
        `${by('sum', thread, `rate(${series('culvert_worker_cpu_seconds_total')}[${window(300)}])`)} > 0.9`,
      for: wait(300),
      summary: `Packet thread {{ $labels.worker }} of VPN gateway ${which} is at its limit`,
      description:
        'More packet threads ("gateway.workers"), a suite of AES-GCM, or a machine with more processors.',
    },
  ];
}

function serverAlerts({ wait, window }: Pace): readonly Alert[] {
  const known = by('max', [], `max_over_time(${series('culvert_build_info')}[${window(21_600)}])`);
  const errors = `rate(${series('culvert_api_requests_total', { code: '~5..' })}[${window(300)}])`;
  const writes = `increase(${series('culvert_store_writes_total', { result: 'failed' })}[${window(300)}])`;
  return [
    {
      name: 'CulvertTargetMissing',
      severity: 'critical',
      expression: `${known} unless ${by('max', [], series('culvert_build_info'))}`,
      for: wait(180),
      summary: 'Culvert at {{ $labels.instance }} gives no metrics any more',
      description:
        'Neither its tunnels nor their alerts are seen. See whether it runs and its listener is reached.',
    },
    {
      name: 'CulvertApiFailing',
      severity: 'warning',
      expression: `${by('sum', [], errors)} > 0`,
      for: wait(180),
      summary: 'The API at {{ $labels.instance }} fails requests',
      description: 'Its log says why, by the trace of the answer.',
    },
    {
      name: 'CulvertStoreFailing',
      severity: 'critical',
      expression: `${by('sum', [], writes)} > 0`,
      for: 0,
      summary: 'The store at {{ $labels.instance }} cannot be written',
      description: 'Nothing can be changed until it can; gateways go on. Mostly the disk is full.',
    },
    {
      name: 'CulvertStoreLost',
      severity: 'critical',
      expression: `${by('max', [], series('culvert_store_up'))} == 0`,
      for: wait(60),
      summary: 'The server at {{ $labels.instance }} cannot ask etcd',
      description:
        'Nothing can be changed until it can; gateways go on. "etcdctl endpoint status" shows the members.',
    },
  ];
}
