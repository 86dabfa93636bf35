import { defineCommand } from '../command.js';
import { ExitCode } from '../errors.js';

export const monitoringCommand = defineCommand({
  name: 'monitoring',
  operands: '<what>',
  description: 'Print alert rules for Prometheus, or a dashboard for Grafana',
  positionals: {
    what: {
      choices: ['alerts', 'dashboard'] as const,
      demandOption: true,
      describe: 'alerts: a rule file (YAML); dashboard: for the import of Grafana (JSON)',
    },
  },
  options: {},
  examples: [
    ['monitoring alerts > /etc/prometheus/culvert-alerts.yaml', 'To be named under rule_files'],
    [
      'monitoring dashboard > culvert.json',
      'To be imported, or put where Grafana provisions dashboards from',
    ],
  ],
  epilogue:
    'Both are made of the catalogue of metrics, so that they fit what this version reports.\n' +
    'With --output json the rules, too, are JSON, which Prometheus reads as well.\n' +
    'Exit codes: 0 done, 2 wrong usage.',
  async run({ what, output }, terminal) {
    if (what === 'dashboard') {
      const { dashboardJson } = await import('../../telemetry/monitoring/dashboard.js');
      terminal.line(dashboardJson().trimEnd());
      return ExitCode.done;
    }
    const { alertRuleFile } = await import('../../telemetry/monitoring/rule-file.js');
    const { parse } = await import('yaml');
    const rules = alertRuleFile();
    if (output === 'json') terminal.json(parse(rules));
    else terminal.line(rules.trimEnd());
    return ExitCode.done;
  },
});
