import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';
import { parse, stringify } from 'yaml';
import { METRIC_NAMES, type MetricName, metricOf } from '../../src/telemetry/metrics/catalogue.js';
import type { MetricDefinition } from '../../src/telemetry/metrics/definition.js';
import { alerts } from '../../src/telemetry/monitoring/alerts.js';
import { dashboardJson } from '../../src/telemetry/monitoring/dashboard.js';
import { alertRuleFile } from '../../src/telemetry/monitoring/rule-file.js';
import { ALERT_EXAMPLES } from '../helpers/alert-examples.js';
import { commandLine } from '../helpers/command-line.js';
import { skipWithoutProgram } from '../helpers/prerequisites.js';
import { programOutcome } from '../helpers/program.js';

const fixture = (name: string): URL => new URL(`../../fixtures/monitoring/${name}`, import.meta.url);

const FILES = [
  ['culvert-alerts.yaml', 'alerts', () => alertRuleFile()],
  ['culvert-dashboard.json', 'dashboard', dashboardJson],
] as const;

t.test('the files in fixtures, and what the command prints, are what is made of the catalogue', async (t) => {
  for (const [name, what, make] of FILES) {
    const made = make();
    if (process.env.CULVERT_WRITE === '1') writeFileSync(fixture(name), made);
    t.equal(readFileSync(fixture(name), 'utf8'), made, `${name}: npm run docs writes it`);
    t.same(await commandLine('monitoring', what), { code: 0, out: made, err: '' });
  }
  const json = await commandLine('monitoring', 'alerts', '--output', 'json');
  t.same(JSON.parse(json.out), parse(alertRuleFile()));
  t.match(await commandLine('monitoring', 'alarms'), { code: 2, err: /did you mean "alerts"/ });
});

t.test('the documents have every alert, and no other', async (t) => {
  const operation = readFileSync(new URL('../../docs/operation.md', import.meta.url), 'utf8');
  const rows = operation
    .split('\n')
    .flatMap((line) => /^\| `(Culvert[A-Za-z]+)` \| ([a-z]+) \|/.exec(line) ?? []);
  const documented = rows.filter((_, index) => index % 3 !== 0);
  t.same(
    documented,
    alerts().flatMap(({ name, severity }) => [name, severity]),
  );
});

interface GrafanaPanel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly targets?: readonly { readonly refId: string; readonly expr: string }[];
}
const dashboard = JSON.parse(dashboardJson()) as {
  readonly panels: readonly GrafanaPanel[];
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: string }[] };
};
const panelExpressions = dashboard.panels.flatMap(({ title, targets = [] }) =>
  targets.map(({ expr }) => ({ where: title, expr })),
);
const expressions = [
  ...alerts().map(({ name, expression }) => ({ where: name, expr: expression })),
  ...panelExpressions,
  ...dashboard.templating.list.map(({ name, query }) => ({ where: `variable ${name}`, expr: query })),
];

/** The metric of a series: those of a histogram have suffixes. */
function findMetric(name: string): MetricDefinition | undefined {
  const known = [name, name.replace(/_(bucket|sum|count)$/, '')].find((one) =>
    METRIC_NAMES.includes(one as MetricName),
  );
  return known === undefined ? undefined : metricOf(known as MetricName);
}

/** What Prometheus adds to what it scrapes. */
const OF_TARGETS = ['job', 'instance'];

t.test('every metric, label and value that rules and panels name is in the catalogue', async (t) => {
  t.ok(expressions.length > 40, `${expressions.length} expressions`);
  for (const { where, expr } of expressions) {
    const named = [...expr.matchAll(/\b((?:culvert|ibm_is)_[a-z_]+)(?:\{([^}]*)\})?/g)];
    const known = new Set<string>(OF_TARGETS);
    for (const [, name, conditions = ''] of named) {
      const metric = findMetric(name!);
      if (metric === undefined) {
        t.fail(`${where}: there is no metric ${name}`);
        continue;
      }
      const isHistogram = metric.type === 'histogram';
      t.equal(/_bucket$/.test(name!), isHistogram, `${where}: ${name} is used as what it is`);
      const labels = [...metric.labels, ...(isHistogram ? ['le'] : [])];
      for (const label of labels) known.add(label);
      for (const [, label, operator, wanted] of conditions.matchAll(/([a-z_]+)(=~|=)"([^"]*)"/g)) {
        if (OF_TARGETS.includes(label!)) continue;
        t.ok(labels.includes(label!), `${where}: ${name} has a label ${label}`);
        const values = metric.values?.[label!];
        if (values === undefined || wanted!.startsWith('$')) continue;
        for (const one of operator === '=~' ? wanted!.split('|') : [wanted!]) {
          t.ok(values.includes(one), `${where}: ${name} has ${label}="${one}"`);
        }
      }
    }
    for (const [, list] of expr.matchAll(/\b(?:by|on|ignoring|group_left) \(([^)]*)\)/g)) {
      for (const label of list!.split(',').map((one) => one.trim())) {
        t.ok(label === '' || known.has(label), `${where}: a metric of it has the label ${label}`);
      }
    }
  }
});

t.test('templates name labels that the expression keeps', async (t) => {
  for (const { name, expression, summary, description } of alerts()) {
    const kept = [...expression.matchAll(/\bby \(([^)]*)\)/g)].map(([, list]) => list!.split(', '));
    for (const [, label] of `${summary} ${description}`.matchAll(/\$labels\.([a-z]+)/g)) {
      const all = kept.length === 0 || kept.every((labels) => labels.includes(label!));
      t.ok(all, `${name}: $labels.${label}`);
    }
    t.match(name, /^Culvert([A-Z][a-z]+)+$/);
    t.notMatch(description, /\{\{/, 'what to do is the same for all');
  }
});

t.test('panels have places of their own, and variables that exist', async (t) => {
  const names = ['__rate_interval', ...dashboard.templating.list.map(({ name }) => name)];
  t.equal(new Set(dashboard.panels.map(({ id }) => id)).size, dashboard.panels.length);
  const taken = new Set<string>();
  for (const { type, title, gridPos, targets = [] } of dashboard.panels) {
    const { x, y, w, h } = gridPos;
    t.ok(x + w <= 24, `${title} ends within the width`);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const place = `${column} ${line}`;
        if (taken.has(place)) t.fail(`${title} lies on another panel`);
        taken.add(place);
      }
    }
    t.equal(targets.length > 0, type !== 'row', title);
    for (const [, variable] of targets.flatMap(({ expr }) => [...expr.matchAll(/\$([a-z_]+)/g)])) {
      t.ok(names.includes(variable!), `${title}: $${variable}`);
    }
  }
});

const skip = skipWithoutProgram('promtool');

function folderOf(t: Pick<typeof import('tap').t, 'teardown'>): string {
  const folder = mkdtempSync(join(tmpdir(), 'culvert-promtool-'));
  t.teardown(() => rmSync(folder, { recursive: true, force: true }));
  return folder;
}

t.test('promtool accepts the rules, and the expression of every panel', { skip }, async (t) => {
  const folder = folderOf(t);
  const panels = join(folder, 'panels.yaml');
  const rules = panelExpressions.map(({ expr }, index) => ({
    record: `panel:${index}`,
    expr: expr.replaceAll('$__rate_interval', '1m').replaceAll(/\$[a-z]+/g, '.*'),
  }));
  writeFileSync(panels, stringify({ groups: [{ name: 'panels', rules }] }));
  const hurried = join(folder, 'hurried.yaml');
  writeFileSync(hurried, alertRuleFile({ scale: 1 / 120 }));
  for (const file of [fixture('culvert-alerts.yaml').pathname, panels, hurried]) {
    const { code, out, err } = await programOutcome(['promtool', 'check', 'rules', file]);
    t.equal(code, 0, out + err);
  }
});

t.test('each alert fires where it should, and not where it should not', { skip }, async (t) => {
  t.same(
    Object.keys(ALERT_EXAMPLES).sort(),
    alerts()
      .map(({ name }) => name)
      .sort(),
  );
  const folder = folderOf(t);
  const rules = join(folder, 'rules.yaml');
  writeFileSync(rules, alertRuleFile());
  const tests = Object.entries(ALERT_EXAMPLES).flatMap(([alertname, { fires, quiet }]) =>
    [fires, ...quiet].map(({ series, at, labels }) => {
      const names = ['alertname', ...Object.keys(labels)];
      const firing = `ALERTS{alertname="${alertname}",alertstate="firing"}`;
      const due = Object.keys(labels).length > 0;
      return {
        interval: '1m',
        input_series: Object.entries(series).map(([name, values]) => ({ series: name, values })),
        promql_expr_test: [
          {
            expr: `count by (${names.join(', ')}) (${firing})`,
            eval_time: at,
            exp_samples: due ? [{ labels: sample({ alertname, ...labels }), value: 1 }] : [],
          },
        ],
      };
    }),
  );
  const file = join(folder, 'tests.yaml');
  writeFileSync(file, stringify({ rule_files: [rules], evaluation_interval: '1m', tests }));
  const { code, out, err } = await programOutcome(['promtool', 'test', 'rules', file]);
  t.equal(code, 0, out + err);
});

function sample(labels: Readonly<Record<string, string>>): string {
  return `{${Object.entries(labels)
    .map(([name, value]) => `${name}="${value}"`)
    .join(',')}}`;
}
