import { PANEL_ROWS, type Panel, type PanelKind } from './panels.js';
import { series } from './promql.js';

/** The form of dashboards of Grafana 9 and later, which later ones migrate by themselves. */
const SCHEMA_VERSION = 37;
/** Grafana divides a dashboard into so many columns. */
const COLUMNS = 24;
const DATA_SOURCE = { type: 'prometheus', uid: '$' + '{datasource}' } as const;

const KINDS = {
  number: { type: 'stat', width: 4, height: 4 },
  graph: { type: 'timeseries', width: 12, height: 8 },
  table: { type: 'table', width: 24, height: 8 },
  timeline: { type: 'state-timeline', width: 24, height: 8 },
  heatmap: { type: 'heatmap', width: 12, height: 8 },
} as const satisfies Record<PanelKind, { type: string; width: number; height: number }>;

/** Labels that say nothing in a table. */
const DULL = ['Time', '__name__', 'job', 'connection_id', 'gateway_id'];

/** The dashboard as Grafana imports it (JSON). */
export function dashboardJson(): string {
  const dashboard = {
    uid: 'culvert',
    title: 'Culvert',
    description: 'VPN gateways and their connections. Made by "culvert monitoring dashboard".',
    tags: ['vpn', 'ipsec', 'culvert'],
    schemaVersion: SCHEMA_VERSION,
    editable: true,
    refresh: '30s',
    time: { from: 'now-6h', to: 'now' },
    templating: { list: variables() },
    panels: laidOut(),
  };
  return `${JSON.stringify(dashboard, null, 2)}\n`;
}

function variables(): readonly object[] {
  const choice = (name: string, query: string): object => ({
    ...{ name, label: name, type: 'query', datasource: DATA_SOURCE, query, definition: query },
    ...{ refresh: 2, sort: 1, multi: true, includeAll: true, allValue: '.*' },
    current: { text: 'All', value: '$__all' },
  });
  const up = (matchers = {}): string => series('culvert_connection_up', matchers);
  return [
    { name: 'datasource', label: 'Data source', type: 'datasource', query: 'prometheus' },
    choice('job', `label_values(${series('culvert_build_info')}, job)`),
    choice('gateway', `label_values(${series('culvert_gateway_up', { job: '~$job' })}, gateway)`),
    choice('connection', `label_values(${up({ job: '~$job', gateway: '~$gateway' })}, connection)`),
  ];
}

/** Rows one below the other; their panels from left to right, as many as fit. */
function laidOut(): readonly object[] {
  const panels: object[] = [];
  let y = 0;
  for (const { question, panels: own } of PANEL_ROWS) {
    panels.push({
      ...{ id: panels.length + 1, type: 'row', title: question, collapsed: false, panels: [] },
      gridPos: { x: 0, y: y++, w: COLUMNS, h: 1 },
    });
    let x = 0;
    let tallest = 0;
    for (const panel of own) {
      const { width, height } = KINDS[panel.kind];
      if (x + width > COLUMNS) {
        y += tallest;
        x = tallest = 0;
      }
      panels.push(panelJson(panel, panels.length + 1, { x, y, w: width, h: height }));
      x += width;
      tallest = Math.max(tallest, height);
    }
    y += tallest;
  }
  return panels;
}

function panelJson(panel: Panel, id: number, gridPos: object): object {
  const { title, kind, unit = 'short', queries, description } = panel;
  return {
    ...{ id, type: KINDS[kind].type, title, ...(description === undefined ? {} : { description }) },
    ...{ gridPos, datasource: DATA_SOURCE },
    fieldConfig: { defaults: { unit, ...defaultsOf(kind) }, overrides: [] },
    ...(kind === 'table' ? { transformations: [tidied()] } : {}),
    ...(kind === 'heatmap' ? { options: { calculate: false, yAxis: { unit } } } : {}),
    targets: queries.map(({ expression, legend }, index) => ({
      ...{ refId: String.fromCharCode(65 + index), datasource: DATA_SOURCE, expr: expression },
      ...(legend === undefined ? {} : { legendFormat: legend }),
      ...(kind === 'table' || kind === 'number' ? { instant: true, range: false } : { range: true }),
      format: kind === 'table' ? 'table' : kind === 'heatmap' ? 'heatmap' : 'time_series',
    })),
  };
}

function defaultsOf(kind: PanelKind): object {
  if (kind !== 'timeline') return {};
  const options = Object.fromEntries(
    (['down', 'degraded', 'up'] as const).map((text, value) => [
      String(value),
      { text, color: ['red', 'orange', 'green'][value], index: value },
    ]),
  );
  return { mappings: [{ type: 'value', options }] };
}

function tidied(): object {
  return {
    id: 'organize',
    options: { excludeByName: Object.fromEntries(DULL.map((name) => [name, true])) },
  };
}
