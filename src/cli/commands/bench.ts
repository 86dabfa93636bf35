import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatFigure } from '../amounts.js';
import type { BenchRow } from '../bench-row.js';
import { defineCommand } from '../command.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { suggestion } from '../nearest.js';
import { renderTable } from '../table.js';

/** What bench/main.ts exports: the benchmarks are no part of this program's build. */
interface BenchModule {
  readonly benchParts: readonly string[];
  describeMachine(): string;
  runBench(
    parts: readonly string[],
    options: {
      seconds?: number;
      rounds?: number;
      wireguardGo?: string;
      sas?: number;
      progress?(text: string): void;
    },
  ): Promise<BenchRow[]>;
}

export const benchCommand = defineCommand({
  name: 'bench',
  operands: '[parts..]',
  description:
    'Measure this machine: crypto, codec, esp, offload, hostile, handshake, scale, daemon, rekey, tunnel; all without a name',
  positionals: { parts: { type: 'string', array: true, describe: 'What to measure' } },
  options: {
    seconds: {
      type: 'number',
      requiresArg: true,
      describe: 'Length of each tunnel measurement (default 10)',
    },
    rounds: {
      type: 'number',
      requiresArg: true,
      describe: 'How often tunnel and scale are measured; the figures are the medians (default 1)',
    },
    'wireguard-go': {
      type: 'string',
      requiresArg: true,
      describe: 'The wireguard-go to compare with, when not the one that is installed',
    },
    sas: {
      type: 'number',
      requiresArg: true,
      describe: 'How many child SAs two whole gateways bring up, in the part daemon (default 2000)',
    },
  },
  examples: [
    ['bench crypto', 'DH, PRFs and ciphers of both crypto backends'],
    [
      'bench tunnel --seconds 5',
      'TCP through a pair of gateways, and through strongSwan when it is installed',
    ],
    ['bench daemon --sas 10000', 'Time and memory for ten thousand child SAs between two whole gateways'],
    ['bench --output json', 'Everything, for programs'],
  ],
  async run({ parts, seconds, rounds, 'wireguard-go': wireguardGo, sas, output }, terminal) {
    if (seconds !== undefined && !(seconds > 0)) {
      throw new UsageError('--seconds takes a number above 0');
    }
    if (rounds !== undefined && !(Number.isInteger(rounds) && rounds > 0)) {
      throw new UsageError('--rounds takes a whole number above 0');
    }
    if (sas !== undefined && !(Number.isInteger(sas) && sas > 0)) {
      throw new UsageError('--sas takes a whole number above 0');
    }
    const bench = await loadBench();
    const wanted = parts ?? [];
    const unknown = wanted.find((part) => !bench.benchParts.includes(part));
    if (unknown !== undefined) {
      const known = bench.benchParts.join(', ');
      const hint = suggestion(unknown, bench.benchParts);
      throw new UsageError(`there is no benchmark "${unknown}"${hint || `; there are: ${known}`}`);
    }
    const progress = output === 'json' ? {} : { progress: (text: string) => terminal.note(text) };
    const rows = await bench.runBench(wanted.length > 0 ? wanted : bench.benchParts, {
      ...(seconds === undefined ? {} : { seconds }),
      ...(rounds === undefined ? {} : { rounds }),
      ...(wireguardGo === undefined ? {} : { wireguardGo }),
      ...(sas === undefined ? {} : { sas }),
      ...progress,
    });
    const machine = bench.describeMachine();
    if (output === 'json') {
      terminal.json({ machine, rows });
    } else {
      const style = { width: terminal.width(), title: terminal.style.bold };
      terminal.lines([machine, '', ...renderBench(rows, style)]);
    }
    return ExitCode.done;
  },
});

interface Style {
  readonly width: number | undefined;
  readonly title: (text: string) => string;
}

/** Figures that several things have in common as a table with a line for each; then all the others. */
function renderBench(rows: readonly BenchRow[], style: Style): string[] {
  const shared = rows.filter((row) => row.figure !== undefined);
  const figures = shared.filter((row) => row.ratio === undefined);
  const ratios = shared.filter((row) => row.ratio !== undefined);
  const others = rows.filter((row) => row.figure === undefined);
  const tables = [
    renderMatrix(
      figures,
      'WHAT',
      (row) => row.subject ?? '',
      (row) => formatFigure(row.value),
      style,
    ),
    renderMatrix(
      ratios,
      'RATIO',
      (row) => `${row.subject} / ${row.ratioTo}`,
      (row) => (row.ratio ?? 0).toFixed(2),
      style,
    ),
    others.length === 0 ? [] : renderRows(others, style),
  ];
  const notes = figures.filter((row) => row.note !== undefined).map((row) => `${row.name}: ${row.note}`);
  const filled = [...tables, notes].filter((lines) => lines.length > 0);
  return filled.flatMap((lines, i) => (i === 0 ? lines : ['', ...lines]));
}

/** A line for each value of `line`, a column for each figure, in the order they come. */
function renderMatrix(
  rows: readonly BenchRow[],
  corner: string,
  line: (row: BenchRow) => string,
  cell: (row: BenchRow) => string,
  { width, title }: Style,
): string[] {
  if (rows.length === 0) return [];
  const columns = [...new Map(rows.map((row) => [row.figure, row])).values()];
  const lines = [...new Set(rows.map(line))];
  return renderTable(
    [
      { title: corner },
      ...columns.map(({ figure, unit, ratio }) => ({
        title: ratio === undefined ? `${figure} (${unit})` : (figure ?? ''),
        align: 'right' as const,
      })),
    ],
    lines.map((name) => [
      name,
      ...columns.map(({ figure }) => {
        const found = rows.find((row) => line(row) === name && row.figure === figure);
        return found === undefined ? '-' : cell(found);
      }),
    ]),
    { ...(width === undefined ? {} : { width }), title },
  );
}

function renderRows(rows: readonly BenchRow[], { width, title }: Style): string[] {
  return renderTable(
    [
      { title: 'PART' },
      { title: 'WHAT' },
      { title: 'FIGURE', align: 'right' },
      { title: 'UNIT' },
      { title: 'RATIO', align: 'right' },
      { title: 'NOTE' },
    ],
    rows.map((row) => [
      row.part,
      row.name,
      // A row that was skipped has a note and no figure.
      Number.isFinite(row.value) && row.unit !== '' ? formatFigure(row.value) : '-',
      row.unit,
      row.ratio === undefined ? '' : row.ratio.toFixed(2),
      [row.ratioOf === undefined ? '' : `of ${row.ratioOf}`, row.note ?? '']
        .filter((s) => s !== '')
        .join('; '),
    ]),
    { ...(width === undefined ? {} : { width }), title },
  );
}

/** The benchmarks are built beside the program; a trimmed installation may lack them. */
async function loadBench(): Promise<BenchModule> {
  const url = new URL('../../bench/main.js', import.meta.url);
  if (!existsSync(fileURLToPath(url))) {
    throw new CliError('the benchmarks are not built; run npm run build in the repository');
  }
  return (await import(url.href)) as BenchModule;
}
