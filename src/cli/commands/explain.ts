import type { Explanation, TimelineEntry } from '../../connection/explain.js';
import { daemonOptions, defineCommand } from '../command.js';
import { eachDaemon, oneConnection } from '../daemons.js';
import { ExitCode } from '../errors.js';
import { renderCoverage, renderEvidence } from '../status-view.js';
import { wrapText } from '../table.js';
import type { Terminal } from '../terminal.js';

/** Lines of the timeline that a person is shown; JSON has all. */
const MAX_SHOWN = 40;

export const explainCommand = defineCommand({
  name: 'explain',
  operands: '<name>',
  description: 'Say why a connection is not up, with evidence and advice',
  positionals: {
    name: {
      type: 'string',
      describe: 'Connection; under culvert serve GATEWAY/CONNECTION',
      demandOption: true,
    },
  },
  options: daemonOptions,
  examples: [
    ['explain to-site-b', 'The cause, both offers side by side, what was sent and what came back'],
    ['explain to-site-b --output json', 'The same for programs'],
  ],
  epilogue: 'Exit codes: 0 the connection is up, 1 it is not, or there is no daemon, 2 wrong usage.',
  async run(args, terminal) {
    return await eachDaemon(args, [args.name], terminal, async (aim, screen) => {
      const name = oneConnection(aim);
      const explanation = await aim.control.explain(name);
      if (args.output === 'json') screen.json(explanation);
      else present(explanation, screen);
      return explanation.status === 'up' ? ExitCode.done : ExitCode.failed;
    });
  },
});

function present(explanation: Explanation, terminal: Terminal): void {
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
  const { connection, cause, advice, next, timeline } = explanation;
  terminal.lines(wrap(explanation.verdict, ''));
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
    connection.status_reasons.flatMap((reason) => renderEvidence(reason, view)),
  );
  if (connection.coverage !== undefined && connection.coverage.covered > 0) {
    section(
      'Coverage',
      renderCoverage(connection.coverage, view).map((line) => `  ${line}`),
    );
  }
  const drops = Object.entries(connection.drops ?? {}).map(([reason, count]) => `  ${reason}: ${count}`);
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
