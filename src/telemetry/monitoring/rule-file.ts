import { stringify } from 'yaml';
import type { Seconds } from '../../util/units.js';
import { type AlertPace, alerts } from './alerts.js';

/** The alerts as a rule file of Prometheus (YAML), to be named under `rule_files`. */
export function alertRuleFile(pace: AlertPace = {}): string {
  const rules = alerts(pace).map(({ name, severity, expression, for: wait, summary, description }) => ({
    alert: name,
    expr: expression,
    ...(wait === 0 ? {} : { for: duration(wait) }),
    labels: { severity },
    annotations: { summary, description },
  }));
  const head = '# Made by "culvert monitoring alerts" of its catalogue of metrics.\n';
  return head + stringify({ groups: [{ name: 'culvert', rules }] }, { lineWidth: 0 });
}

/** Prometheus takes whole numbers only. */
function duration(seconds: Seconds): string {
  if (seconds % 60 === 0) return `${seconds / 60}m`;
  return Number.isInteger(seconds) ? `${seconds}s` : `${Math.round(seconds * 1000)}ms`;
}
