import { buckets, by, type Matchers, series } from './promql.js';

/** How a panel shows what it has. */
export type PanelKind = 'number' | 'graph' | 'table' | 'timeline' | 'heatmap';

/** One query of a panel. */
export interface PanelQuery {
  /** PromQL; `$` begins a variable of the dashboard. */
  readonly expression: string;
  /** Name of each series, with `{{label}}`. */
  readonly legend?: string;
}

/** One panel of the dashboard. */
export interface Panel {
  readonly title: string;
  readonly kind: PanelKind;
  /** A unit in Grafana's words; counts when left out. */
  readonly unit?: string;
  readonly queries: readonly PanelQuery[];
  /** What to read out of it. */
  readonly description?: string;
}

/** Panels under one question. */
export interface PanelRow {
  readonly question: string;
  readonly panels: readonly Panel[];
}

/** What the variables of the dashboard choose. */
const GATEWAY: Matchers = { job: '~$job', gateway: '~$gateway' };
const CONNECTION: Matchers = { ...GATEWAY, connection: '~$connection' };
const SERVER: Matchers = { job: '~$job' };
const NAMES = ['gateway', 'connection'] as const;
const NAME = '{{gateway}}/{{connection}}';
const MEMBER = '{{gateway}} {{member}}';
const THREAD = `${MEMBER} thread {{worker}}`;
/** A range that Grafana chooses by the width of a pixel. */
const RATE = '$__rate_interval';

const rate = (selector: string): string => `rate(${selector}[${RATE}])`;
const sumBy = (labels: readonly string[], expression: string): string =>
  `sum by (${labels.join(', ')}) (${expression})`;
const graph = (title: string, queries: readonly PanelQuery[], more: Partial<Panel> = {}): Panel => ({
  title,
  kind: 'graph',
  queries,
  ...more,
});

/** Only connections that are meant to be up and are not. */
const NOT_UP = `(${series('culvert_connection_state', { ...CONNECTION, state: '~degraded|down' })} == 1)`;
const ON_MEMBER = 'on (job, instance, gateway, member, connection)';

/** The dashboard, in the order in which an operator asks. */
export const PANEL_ROWS: readonly PanelRow[] = [
  {
    question: 'What is down or degraded, since when and why?',
    panels: [
      ...(['up', 'degraded', 'down'] as const).map((state) => ({
        title: `Connections ${state}`,
        kind: 'number' as const,
        queries: [{ expression: `sum(${series('culvert_gateway_connections', { ...GATEWAY, state })})` }],
      })),
      {
        title: 'Gateways that do not answer',
        kind: 'number',
        queries: [{ expression: `count(${series('culvert_gateway_up', GATEWAY)} == 0) or vector(0)` }],
      },
      {
        title: 'Connections that are not up',
        kind: 'table',
        unit: 'dateTimeFromNow',
        description: 'The value is since when. "culvert explain NAME" has the evidence and what to do.',
        queries: [
          {
            expression:
              `1000 * (${series('culvert_connection_state_changed_timestamp_seconds', CONNECTION)} ` +
              `and ${ON_MEMBER} ${NOT_UP}) * ${ON_MEMBER} group_left (code, cause) ` +
              series('culvert_connection_cause_info', CONNECTION),
          },
        ],
      },
      {
        title: 'Advisories',
        kind: 'table',
        description: 'What works all the same and should be known, weak algorithms among it.',
        queries: [{ expression: `${series('culvert_connection_advisory', CONNECTION)} == 1` }],
      },
    ],
  },
  {
    question: 'Did it work before?',
    panels: [
      {
        title: 'State: 2 up, 1 degraded, 0 down',
        kind: 'timeline',
        queries: [
          {
            expression:
              `min by (gateway, connection, member) (2 * ${series('culvert_connection_state', { ...CONNECTION, state: 'up' })} ` +
              `+ ignoring (state) ${series('culvert_connection_state', { ...CONNECTION, state: 'degraded' })})`,
            legend: `${NAME} {{member}}`,
          },
        ],
      },
      graph('Losses by cause', [
        {
          expression: `${sumBy([...NAMES, 'cause'], `increase(${series('culvert_connection_losses_total', CONNECTION)}[${RATE}])`)} > 0`,
          legend: `${NAME} {{cause}}`,
        },
      ]),
      graph('Failed negotiations by cause', [
        {
          expression: `${sumBy([...NAMES, 'cause'], `increase(${series('culvert_connection_failures_total', CONNECTION)}[${RATE}])`)} > 0`,
          legend: `${NAME} {{cause}}`,
        },
      ]),
    ],
  },
  {
    question: 'Does traffic flow both ways, and by which member?',
    panels: [
      graph(
        'Throughput: in above, out below',
        (['in', 'out'] as const).map((direction) => ({
          expression: `${direction === 'in' ? '' : '-'}8 * ${sumBy(NAMES, rate(series('culvert_connection_bytes_total', { ...CONNECTION, direction })))}`,
          legend: `${NAME} ${direction}`,
        })),
        { unit: 'bps' },
      ),
      graph(
        'Packets: in above, out below',
        (['in', 'out'] as const).map((direction) => ({
          expression: `${direction === 'in' ? '' : '-'}${sumBy(NAMES, rate(series('culvert_connection_packets_total', { ...CONNECTION, direction })))}`,
          legend: `${NAME} ${direction}`,
        })),
        { unit: 'pps' },
      ),
      graph(
        'Since the last packet of the peer',
        [
          {
            expression: `time() - (${series('culvert_connection_last_inbound_timestamp_seconds', CONNECTION)} > 0)`,
            legend: `${NAME} {{member}}`,
          },
        ],
        { unit: 's' },
      ),
      graph(
        'Throughput by member',
        [
          {
            expression: `8 * ${sumBy(['gateway', 'member'], rate(series('culvert_gateway_bytes_total', GATEWAY)))}`,
            legend: MEMBER,
          },
        ],
        { unit: 'bps', description: 'Which member carries.' },
      ),
    ],
  },
  {
    question: 'How near is a limit?',
    panels: [
      graph(
        'Processor time of packet threads',
        [{ expression: rate(series('culvert_worker_cpu_seconds_total', GATEWAY)), legend: THREAD }],
        { unit: 'percentunit', description: 'Near 100 % the thread is the limit of its connections.' },
      ),
      graph(
        'Packets given up between threads',
        [{ expression: rate(series('culvert_worker_queue_full_total', GATEWAY)), legend: THREAD }],
        { unit: 'pps' },
      ),
      graph(
        'Delay of the main thread, longest',
        [
          {
            expression: series('culvert_gateway_event_loop_delay_seconds', { ...GATEWAY, quantile: '1' }),
            legend: MEMBER,
          },
        ],
        { unit: 's' },
      ),
      graph(
        'Memory',
        [{ expression: series('culvert_gateway_resident_memory_bytes', GATEWAY), legend: MEMBER }],
        { unit: 'bytes' },
      ),
    ],
  },
  {
    question: 'Are keys renewed in time, and how long do negotiations take?',
    panels: [
      graph(
        'Until the next rekeying',
        [
          {
            expression: `(${series('culvert_connection_next_rekey_timestamp_seconds', CONNECTION)} > 0) - time()`,
            legend: `${NAME} {{sa}}`,
          },
        ],
        { unit: 's', description: 'What falls below zero is late.' },
      ),
      graph('Rekeyings', [
        {
          expression: sumBy(
            ['sa', 'result'],
            `increase(${series('culvert_connection_rekeys_total', CONNECTION)}[${RATE}])`,
          ),
          legend: '{{sa}} {{result}}',
        },
      ]),
      {
        title: 'Handshakes',
        kind: 'heatmap',
        unit: 's',
        queries: [
          {
            expression: sumBy(
              ['le'],
              `increase(${buckets('culvert_connection_handshake_duration_seconds', CONNECTION)}[${RATE}])`,
            ),
            legend: '{{le}}',
          },
        ],
      },
      graph('Requests sent again, and dead peers', [
        {
          expression: sumBy(NAMES, rate(series('culvert_connection_ike_retransmissions_total', CONNECTION))),
          legend: `${NAME} sent again`,
        },
        {
          expression: sumBy(NAMES, rate(series('culvert_connection_dpd_timeouts_total', CONNECTION))),
          legend: `${NAME} peer dead`,
        },
      ]),
    ],
  },
  {
    question: 'Who drops what?',
    panels: [
      graph(
        'Packets dropped by connections',
        [
          {
            expression: `${sumBy([...NAMES, 'reason'], rate(series('culvert_connection_dropped_packets_total', CONNECTION)))} > 0`,
            legend: `${NAME} {{reason}}`,
          },
        ],
        { unit: 'pps' },
      ),
      graph(
        'Packets dropped by gateways, those of no SA included',
        [
          {
            expression: `${sumBy(['gateway', 'reason'], rate(series('culvert_gateway_dropped_packets_total', GATEWAY)))} > 0`,
            legend: '{{gateway}} {{reason}}',
          },
        ],
        { unit: 'pps' },
      ),
      graph(
        'Clear packets discarded',
        [
          {
            expression: rate(series('culvert_gateway_clear_packets_discarded_total', GATEWAY)),
            legend: MEMBER,
          },
        ],
        { unit: 'pps' },
      ),
    ],
  },
  {
    question: 'What was negotiated?',
    panels: [
      {
        title: 'Algorithms',
        kind: 'table',
        queries: [{ expression: series('culvert_connection_crypto_info', CONNECTION) }],
      },
      {
        title: 'Connections',
        kind: 'table',
        queries: [{ expression: series('culvert_connection_info', CONNECTION) }],
      },
    ],
  },
  {
    question: 'Did a change come before the loss?',
    panels: [
      graph('Reloads', [
        {
          expression: sumBy(
            ['gateway', 'result'],
            `increase(${series('culvert_gateway_reloads_total', GATEWAY)}[${RATE}])`,
          ),
          legend: '{{gateway}} {{result}}',
        },
      ]),
      graph('Restarts of gateway processes', [
        {
          expression: `increase(${series('culvert_gateway_restarts_total', GATEWAY)}[${RATE}])`,
          legend: MEMBER,
        },
      ]),
      graph('Changes by the API', [
        {
          expression: `${sumBy(
            ['method', 'route', 'code'],
            `increase(${series('culvert_api_requests_total', { ...SERVER, method: '~POST|PUT|PATCH|DELETE' })}[${RATE}])`,
          )} > 0`,
          legend: '{{method}} {{route}} {{code}}',
        },
      ]),
      graph('Writes of the store', [
        {
          expression: sumBy(['result'], `increase(${series('culvert_store_writes_total', SERVER)}[${RATE}])`),
          legend: '{{result}}',
        },
      ]),
    ],
  },
  {
    question: 'Do strangers load the gateway?',
    panels: [
      graph('Half-open IKE SAs', [
        { expression: series('culvert_gateway_half_open_ike_sas', GATEWAY), legend: MEMBER },
      ]),
      graph('Cookies demanded, and peers that match no connection', [
        {
          expression: rate(series('culvert_gateway_cookies_demanded_total', GATEWAY)),
          legend: `${MEMBER} cookies`,
        },
        {
          expression: rate(series('culvert_gateway_unmatched_failures_total', GATEWAY)),
          legend: `${MEMBER} unmatched`,
        },
      ]),
      graph('IKE datagrams dropped', [
        {
          expression: `${sumBy(['gateway', 'reason'], rate(series('culvert_gateway_ike_dropped_datagrams_total', GATEWAY)))} > 0`,
          legend: '{{gateway}} {{reason}}',
        },
      ]),
      graph('Failed logins at the API', [
        {
          expression: by('sum', ['reason'], rate(series('culvert_api_auth_failures_total', SERVER))),
          legend: '{{reason}}',
        },
      ]),
    ],
  },
];
