import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { formatFigure } from '../amounts.js';
import { defineCommand } from '../command.js';
import { CliError, ExitCode, UsageError } from '../errors.js';
import { suggestion } from '../nearest.js';
import { renderTable } from '../table.js';

/** One measured figure, as bench/row.ts states it: the benchmarks are no part of this program's build. */
interface BenchRow {
  readonly part: string;
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  readonly ratio?: number;
  readonly ratioOf?: string;
  readonly note?: string;
}

interface BenchModule {
  readonly benchParts: readonly string[];
  runBench(
    parts: readonly string[],
    options: { seconds?: number; wireguardGo?: string; progress?(text: string): void },
  ): Promise<BenchRow[]>;
}

export const benchCommand = defineCommand({
  name: 'bench',
  operands: '[parts..]',
  description: 'Measure this machine: crypto, codec, esp, offload, handshake, tunnel; all without a name',
  positionals: { parts: { type: 'string', array: true, describe: 'What to measure' } },
  options: {
    seconds: {
      type: 'number',
      requiresArg: true,
      describe: 'Length of each tunnel measurement (default 10)',
    },
    'wireguard-go': {
      type: 'string',
      requiresArg: true,
      describe: 'The wireguard-go to compare with, when not the one that is installed',
    },
  },
  examples: [
    ['bench crypto', 'DH, PRFs and ciphers of both crypto backends'],
    [
      'bench tunnel --seconds 5',
      'TCP through a pair of gateways, and through strongSwan when it is installed',
    ],
    ['bench --output json', 'Everything, for programs'],
  ],
  async run({ parts, seconds, 'wireguard-go': wireguardGo, output }, terminal) {
    if (seconds !== undefined && !(seconds > 0)) {
      throw new UsageError('--seconds takes a number above 0');
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
      ...(wireguardGo === undefined ? {} : { wireguardGo }),
      ...progress,
    });
    if (output === 'json') terminal.json({ rows });
    else terminal.lines(renderRows(rows, terminal.width(), terminal.style.bold));
    return ExitCode.done;
  },
});

function renderRows(
  rows: readonly BenchRow[],
  width: number | undefined,
  title: (text: string) => string,
): string[] {
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
