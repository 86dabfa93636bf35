/** Series of a moment, in the notation of `promtool test rules`: one value per minute. */
export interface AlertExample {
  readonly series: Readonly<Record<string, string>>;
  /** When it is looked at. */
  readonly at: string;
  /** Of the alert that then fires; empty when none may. */
  readonly labels: Readonly<Record<string, string>>;
}

const TARGET = 'job="culvert",instance="host:9464"';
const K = `${TARGET},gateway="west",connection="to-east"`;
const MEMBER_1 = `${K},member="1"`;
const MEMBER_2 = `${K},member="2"`;
const G = `${TARGET},gateway="west",member="1"`;
const CONNECTION = { gateway: 'west', connection: 'to-east' };
const GATEWAY = { gateway: 'west', member: '1' };

/** Of each alert a moment in which it fires, and some in which it must not. */
export const ALERT_EXAMPLES: Readonly<
  Record<string, { readonly fires: AlertExample; readonly quiet: readonly AlertExample[] }>
> = {
  CulvertConnectionDown: {
    fires: {
      series: {
        [`culvert_connection_up{${MEMBER_1}}`]: '1 0x9',
        [`culvert_connection_admin_up{${MEMBER_1}}`]: '1x10',
        // Why it is down may change all the time.
        [`culvert_connection_cause_info{${MEMBER_1},cause="peer_silent",code="peer_not_responding"}`]:
          '1 _ 1 _ 1 _ 1',
        [`culvert_connection_cause_info{${MEMBER_1},cause="psk_mismatch",code="ike_policy_mismatch"}`]:
          '_ 1 _ 1 _ 1 _',
      },
      at: '4m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: {
          [`culvert_connection_up{${MEMBER_1}}`]: '0x10',
          [`culvert_connection_admin_up{${MEMBER_1}}`]: '0x10',
        },
        at: '9m',
        labels: {},
      },
      {
        series: {
          [`culvert_connection_up{${MEMBER_1}}`]: '0x10',
          [`culvert_connection_up{${MEMBER_2}}`]: '1x10',
          [`culvert_connection_admin_up{${MEMBER_1}}`]: '1x10',
          [`culvert_connection_admin_up{${MEMBER_2}}`]: '1x10',
        },
        at: '9m',
        labels: {},
      },
    ],
  },
  CulvertConnectionDegraded: {
    fires: {
      series: { [`culvert_connection_state{${MEMBER_1},state="degraded"}`]: '1x15' },
      at: '12m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: { [`culvert_connection_state{${MEMBER_1},state="degraded"}`]: '1x5 0x10' },
        at: '12m',
        labels: {},
      },
    ],
  },
  CulvertTunnelRedundancyLost: {
    fires: {
      series: {
        [`culvert_connection_up{${MEMBER_1}}`]: '0x10',
        [`culvert_connection_up{${MEMBER_2}}`]: '1x10',
        [`culvert_connection_admin_up{${MEMBER_1}}`]: '1x10',
        [`culvert_connection_admin_up{${MEMBER_2}}`]: '1x10',
      },
      at: '7m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: {
          [`culvert_connection_up{${MEMBER_1}}`]: '1x10',
          [`culvert_connection_admin_up{${MEMBER_1}}`]: '1x10',
        },
        at: '9m',
        labels: {},
      },
    ],
  },
  CulvertConnectionFlapping: {
    fires: {
      series: {
        [`culvert_connection_losses_total{${MEMBER_1},cause="dpd_timeout"}`]: '0+0.4x10',
        [`culvert_connection_losses_total{${MEMBER_1},cause="peer_deleted"}`]: '0+0.4x10',
      },
      at: '10m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: { [`culvert_connection_losses_total{${MEMBER_1},cause="dpd_timeout"}`]: '7 8x10' },
        at: '10m',
        labels: {},
      },
    ],
  },
  CulvertOneWayTraffic: {
    fires: {
      series: { [`culvert_connection_advisory{${MEMBER_1},code="one_way_traffic"}`]: '1x10' },
      at: '7m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: { [`culvert_connection_advisory{${MEMBER_1},code="weak_psk"}`]: '1x10' },
        at: '7m',
        labels: {},
      },
    ],
  },
  CulvertRekeyFailing: {
    fires: {
      series: { [`culvert_connection_rekeys_total{${MEMBER_1},sa="child",result="failed"}`]: '0 0 1x10' },
      at: '5m',
      labels: { ...CONNECTION, sa: 'child' },
    },
    quiet: [
      {
        series: {
          [`culvert_connection_rekeys_total{${MEMBER_1},sa="child",result="done"}`]: '0+1x10',
          [`culvert_connection_rekeys_total{${MEMBER_1},sa="child",result="failed"}`]: '3x10',
        },
        at: '5m',
        labels: {},
      },
    ],
  },
  CulvertAuthFailures: {
    fires: {
      series: { [`culvert_connection_failures_total{${MEMBER_1},cause="psk_mismatch"}`]: '0+1x10' },
      at: '10m',
      labels: CONNECTION,
    },
    quiet: [
      {
        series: {
          [`culvert_connection_failures_total{${MEMBER_1},cause="peer_silent"}`]: '0+10x10',
          [`culvert_connection_dropped_packets_total{${MEMBER_1},reason="auth_failed"}`]: '0+1x10',
          [`culvert_connection_dropped_packets_total{${MEMBER_1},reason="replay"}`]: '0+1000x10',
        },
        at: '10m',
        labels: {},
      },
    ],
  },
  CulvertGatewayDown: {
    fires: { series: { [`culvert_gateway_up{${G}}`]: '1 0x5' }, at: '3m', labels: GATEWAY },
    quiet: [{ series: { [`culvert_gateway_up{${G}}`]: '1 0 1x5' }, at: '2m', labels: {} }],
  },
  CulvertGatewayRestarting: {
    fires: { series: { [`culvert_gateway_restarts_total{${G}}`]: '0+0.5x10' }, at: '10m', labels: GATEWAY },
    quiet: [{ series: { [`culvert_gateway_restarts_total{${G}}`]: '5 6x10' }, at: '10m', labels: {} }],
  },
  CulvertStandbyNotReady: {
    fires: {
      series: { [`culvert_ha_standby_ready{${TARGET},gateway="west"}`]: '1 0x9' },
      at: '8m',
      labels: { gateway: 'west' },
    },
    quiet: [
      {
        // A takeover.
        series: { [`culvert_ha_standby_ready{${TARGET},gateway="west"}`]: '1 0 0 1x9' },
        at: '8m',
        labels: {},
      },
    ],
  },
  CulvertDataPathOverload: {
    fires: {
      series: { [`culvert_worker_cpu_seconds_total{${G},worker="1"}`]: '0+57x20' },
      at: '12m',
      labels: { ...GATEWAY, worker: '1' },
    },
    quiet: [
      {
        series: {
          [`culvert_worker_cpu_seconds_total{${G},worker="0"}`]: '0+30x20',
          [`culvert_worker_cpu_seconds_total{${G},worker="1"}`]: '0+30x20',
        },
        at: '12m',
        labels: {},
      },
    ],
  },
  CulvertTargetMissing: {
    fires: {
      series: { [`culvert_build_info{${TARGET},version="1"}`]: '1 1 1 stale' },
      at: '8m',
      labels: { instance: 'host:9464' },
    },
    quiet: [
      {
        // An upgrade.
        series: {
          [`culvert_build_info{${TARGET},version="1"}`]: '1 1 1 stale',
          [`culvert_build_info{${TARGET},version="2"}`]: '_ _ _ _ 1x10',
        },
        at: '8m',
        labels: {},
      },
    ],
  },
  CulvertApiFailing: {
    fires: {
      series: { [`culvert_api_requests_total{${TARGET},method="GET",route="/v1/x",code="503"}`]: '0+1x10' },
      at: '8m',
      labels: { instance: 'host:9464' },
    },
    quiet: [
      {
        series: { [`culvert_api_requests_total{${TARGET},method="GET",route="/v1/x",code="404"}`]: '0+1x10' },
        at: '8m',
        labels: {},
      },
    ],
  },
  CulvertStoreFailing: {
    fires: {
      series: { [`culvert_store_writes_total{${TARGET},result="failed"}`]: '0 0 1x5' },
      at: '4m',
      labels: { instance: 'host:9464' },
    },
    quiet: [
      {
        series: {
          [`culvert_store_writes_total{${TARGET},result="conflict"}`]: '0+1x10',
          [`culvert_store_writes_total{${TARGET},result="failed"}`]: '4x10',
        },
        at: '4m',
        labels: {},
      },
    ],
  },
  CulvertStoreLost: {
    fires: {
      series: { [`culvert_store_up{${TARGET}}`]: '1 0x10' },
      at: '4m',
      labels: { instance: 'host:9464' },
    },
    quiet: [{ series: { [`culvert_store_up{${TARGET}}`]: '1 1 0 1x10' }, at: '4m', labels: {} }],
  },
};
