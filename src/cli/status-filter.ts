import type { ConnectionStatusDocument, StatusDocument } from '../connection/status.js';
import { connectionNamed } from './control.js';
import { CliError } from './errors.js';
import { isMeant, isPattern } from './wildcards.js';

/**
 * The connections that names or patterns mean, in the order of the status; all of them without one. With `onlyDown`
 * those that are not up and are to be.
 * @throws CliError for a name or pattern that means none
 */
export function chosenConnections(
  document: StatusDocument,
  wanted: readonly string[],
  onlyDown: boolean,
): readonly ConnectionStatusDocument[] {
  for (const pattern of wanted) {
    if (!isPattern(pattern)) connectionNamed(document, pattern);
    else if (!document.connections.some(({ name }) => isMeant(pattern, name))) {
      throw new CliError(`no connection of gateway "${document.gateway.name}" matches "${pattern}"`);
    }
  }
  return document.connections.filter(
    (one) =>
      (wanted.length === 0 || wanted.some((pattern) => pattern === one.id || isMeant(pattern, one.name))) &&
      (!onlyDown || (one.status !== 'up' && one.admin_state_up)),
  );
}

/** How many connections are how, and why those that are not up are not. */
export interface StatusSummary {
  readonly total: number;
  readonly up: number;
  readonly degraded: number;
  readonly down: number;
  /** Most frequent first. `examples`: the first names. */
  readonly causes: readonly {
    readonly cause: string;
    readonly count: number;
    readonly examples: readonly string[];
  }[];
}

const MAX_EXAMPLES = 3;

/** Counts connections by status, and those that are not up by their cause, the most frequent first. */
export function summaryOf(connections: readonly ConnectionStatusDocument[]): StatusSummary {
  const count = (status: string): number => connections.filter((one) => one.status === status).length;
  const causes = new Map<string, string[]>();
  for (const one of connections) {
    if (one.status === 'up') continue;
    const cause = causeOf(one);
    causes.set(cause, [...(causes.get(cause) ?? []), one.name]);
  }
  return {
    total: connections.length,
    up: count('up'),
    degraded: count('degraded'),
    down: count('down'),
    causes: [...causes]
      .map(([cause, names]) => ({ cause, count: names.length, examples: names.slice(0, MAX_EXAMPLES) }))
      .sort((a, b) => b.count - a.count),
  };
}

/** The finest name there is for why it is not up. */
export function causeOf({
  admin_state_up: wanted,
  status_reasons: reasons,
}: ConnectionStatusDocument): string {
  if (!wanted) return 'admin_state_up: false';
  const [reason] = reasons;
  return String(reason?.details?.cause ?? reason?.code ?? 'no reason is known yet');
}
