import { readFileSync, writeFileSync } from 'node:fs';
import t from 'tap';
import { METRIC_NAMES, type MetricName, metricOf } from '../../src/telemetry/metrics/catalogue.js';
import { CONNECTION_LABELS, GATEWAY_LABELS, WORKER_LABELS } from '../../src/telemetry/metrics/definition.js';

const reference = new URL('../../docs/metrics.md', import.meta.url);

const HEAD = `# Metrics

What \`culvert run --metrics ADDRESS:PORT\` shows of one gateway at \`/metrics\`, and \`culvert serve\`, whose file has
\`metrics\`, of itself and all its gateways: in the text format of Prometheus, or as OpenMetrics for who asks for it by
\`Accept\`. \`src/telemetry/metrics/catalogue.ts\` holds them; \`npm run docs\` writes this page.

- Every configured connection has all its series from the start, up or not, and so has every value of a label whose
  values are listed. A counter goes on when SAs are rekeyed or lost; it begins at 0 when the process of its gateway is
  started again, as \`rate()\` and \`increase()\` expect it.
- \`gateway\` is the name of the gateway, with its VPC in front (\`VPC/NAME\`) where gateways of two VPCs have the same;
  \`member\` its process, \`1\` or in route mode under \`serve\` also \`2\`; of a gateway with a standby, the active one of
  both; \`connection\` the name of the connection.
  Identifiers and addresses are in \`_info\` metrics only: join them by \`* on (gateway, member, connection)
  group_left (…)\`.
- A gateway whose process does not answer keeps its series: it is not up, its connections are down with the cause
  \`gateway_down\`, and its counters are at 0.
- Times are Unix time, and 0 where there is none. What is read at a scrape may be half a second old when somebody else
  has just asked.
`;

const SECTIONS: readonly { readonly title: string; has(name: MetricName): boolean }[] = [
  {
    title: `Connections: labels ${words(CONNECTION_LABELS)}`,
    has: (name) => metricOf(name).labels[2] === CONNECTION_LABELS[2],
  },
  {
    title: `Gateways: labels ${words(GATEWAY_LABELS)}`,
    has: (name) => metricOf(name).labels[1] === GATEWAY_LABELS[1] && isWhole(name),
  },
  {
    title: `Packet threads: labels ${words(WORKER_LABELS)}`,
    has: (name) => metricOf(name).labels[2] === WORKER_LABELS[2],
  },
  { title: 'Server and program', has: (name) => name.startsWith('culvert_') && !isOfGateway(name) },
  { title: "Names of the API's document", has: (name) => name.startsWith('ibm_') },
];

function isOfGateway(name: MetricName): boolean {
  return metricOf(name).labels[1] === GATEWAY_LABELS[1];
}

function isWhole(name: MetricName): boolean {
  const [, , third] = metricOf(name).labels;
  return third !== CONNECTION_LABELS[2] && third !== WORKER_LABELS[2];
}

function words(labels: readonly string[]): string {
  return labels.map((label) => `\`${label}\``).join(', ');
}

function labelsOf(name: MetricName): string {
  const { labels, values = {} } = metricOf(name);
  const own = isOfGateway(name) ? labels.slice(isWhole(name) ? 2 : 3) : labels;
  return own
    .map((label) => (values[label] === undefined ? `\`${label}\`` : `\`${label}\`: ${words(values[label])}`))
    .join('; ');
}

function page(): string {
  const sections = SECTIONS.map(({ title, has }) => {
    const rows = METRIC_NAMES.filter(has).map((name) => {
      const { type, help, buckets } = metricOf(name);
      const bounds = buckets === undefined ? '' : ` Buckets: ${buckets.join(', ')}.`;
      return `| \`${name}\` | ${type} | ${labelsOf(name)} | ${help}${bounds} |`;
    });
    return `\n## ${title}\n\n| metric | type | further labels | meaning |\n|---|---|---|---|\n${rows.join('\n')}\n`;
  });
  return `${HEAD}${sections.join('')}`;
}

t.test('the reference of metrics is made of the catalogue', async (t) => {
  const made = page();
  if (process.env.CULVERT_WRITE === '1') writeFileSync(reference, made);
  t.equal(made, readFileSync(reference, 'utf8'), 'npm run docs writes it');
  for (const name of METRIC_NAMES)
    t.equal(SECTIONS.filter(({ has }) => has(name)).length, 1, `${name} is in one section`);
});

t.test('names and labels follow the conventions of Prometheus', async (t) => {
  for (const name of METRIC_NAMES) {
    const { type, help, labels, values = {}, buckets } = metricOf(name);
    t.match(name, /^(culvert|ibm_is_vpn)_[a-z0-9_]+$/);
    t.equal(name.endsWith('_total'), type === 'counter', `${name} is a counter`);
    t.equal(buckets !== undefined, type === 'histogram', `${name} is a histogram`);
    t.match(help, /^[A-Z0-9].*\.$/, `${name} is explained by a sentence`);
    t.equal(new Set(labels).size, labels.length, `${name} has each label once`);
    t.notOk(labels.includes('le'), 'a label of histograms alone');
    for (const [label, all] of Object.entries(values)) {
      t.ok(labels.includes(label), `${name}: ${label} is a label`);
      t.equal(new Set(all).size, all.length);
    }
    if (name.endsWith('_info')) t.equal(type, 'gauge');
    t.notMatch(name, /milliseconds|_ms_|kilobytes/, 'base units');
  }
});
