import type { Diagnosis, TimelineEntry } from '../connection/explain.js';
import { renderCoverage, renderEvidence } from './status-view.js';
import { wrapText } from './table.js';
import type { Terminal } from './terminal.js';

/** Lines of the timeline that a person is shown; JSON has all. */
const MAX_SHOWN = 40;

/** Prints why a connection is as it is, for a person. */
export function showDiagnosis(diagnosis: Diagnosis, terminal: Terminal): void {
  const { style } = terminal;
  const width = terminal.width();
  const view = { style, width, now: Date.now() };
  const wrap = (text: string, indent: string): string[] =>
    width === undefined
      ? [`${indent}${text}`]
      : wrapText(text, Math.max(40, width - indent.length - 2)).map(
          (line, i) => `${indent}${i === 0 ? '' : '  '}${line}`,
        );
  const section = (title: string, lines: readonly string[]): void => {
    if (lines.length > 0) terminal.lines(['', style.bold(title), ...lines]);
  };
  const { connection, verdict, cause, advice, next, timeline } = diagnosis;
  terminal.lines(wrap(verdict, ''));
  if (cause !== null) terminal.line(`cause: ${cause}`);
  section(
    'What to do',
    advice.flatMap((text) => wrap(`- ${text}`, '  ')),
  );
  section(
    'What happens next',
    next.flatMap((text) => wrap(text, '  ')),
  );
  section(
    'Evidence',
    (connection?.status_reasons ?? []).flatMap((reason) => renderEvidence(reason, view)),
  );
  if (connection?.coverage !== undefined && connection.coverage.covered > 0) {
    section(
      'Coverage',
      renderCoverage(connection.coverage, view).map((line) => `  ${line}`),
    );
  }
  const drops = Object.entries(connection?.drops ?? {}).map(([reason, count]) => `  ${reason}: ${count}`);
  section('Packets dropped', drops);
  section(
    'What happened lately (UTC)',
    timeline.slice(-MAX_SHOWN).flatMap((entry) => wrap(lineOf(entry), '  ')),
  );
}

function lineOf({ last_at: at, what, text, count }: TimelineEntry): string {
  const times = count === 1 ? '' : ` (${count} times)`;
  return `${at.slice(11, 23)}  ${what.padEnd(11)}  ${text}${times}`;
}
