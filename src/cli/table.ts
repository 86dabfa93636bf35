/** Tables for terminals: columns as wide as their content, squeezed to the screen by wrapping the wide ones. */

export interface Column {
  readonly title: string;
  /** Figures are aligned to the right, everything else to the left, which is the default. */
  readonly align?: 'left' | 'right';
  /** Never broken over lines, as figures are not: names and addresses that people copy. */
  readonly whole?: boolean;
  /** Left out on a screen that is too narrow for all columns, the highest first. 0 for never, which is the default. */
  readonly spare?: number;
}

/** How wide a table may get, and how its cells are decorated. */
export interface TableOptions {
  /** Columns of the screen. Leave out for no limit: a pipe has no width. */
  readonly width?: number;
  /** Applied to each finished title cell, for example to make it bold. Must not change the visible width. */
  readonly title?: (text: string) => string;
  /** Applied to each finished cell, trailing spaces included. Must not change the visible width. */
  readonly cell?: (text: string, row: number, column: number) => string;
}

const GAP = '  ';
/** No column is squeezed below this many characters; a narrower screen gets longer lines instead. */
const NARROWEST = 8;

/**
 * The lines of a table: titles, a rule of dashes, one or more lines per row. Cells may contain line breaks.
 * Plain ASCII but for what the cells contain; no line ends in a space.
 */
export function renderTable(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  options: TableOptions = {},
): string[] {
  const kept = keptColumns(columns, rows, options.width);
  if (kept.length < columns.length) {
    const { cell, ...rest } = options;
    return renderTable(
      kept.map((c) => ({ ...columns[c]!, spare: 0 })),
      rows.map((row) => kept.map((c) => row[c] ?? '')),
      { ...rest, ...(cell === undefined ? {} : { cell: (text, r, c) => cell(text, r, kept[c]!) }) },
    );
  }
  const { cells, widths } = measure(columns, rows, options.width);
  const head = columns.map((column, c) => wrap([column.title], widths[c]!));
  const style = options.title ?? ((text: string) => text);
  const lines = joinCells(head, widths, columns, (text) => style(text));
  lines.push(widths.map((width) => '-'.repeat(width)).join(GAP));
  for (const [r, row] of cells.entries()) {
    const wrapped = row.map((cell, c) => wrap(cell, widths[c]!));
    const paint = options.cell;
    lines.push(...joinCells(wrapped, widths, columns, (text, c) => (paint ? paint(text, r, c) : text)));
  }
  return lines;
}

/** The columns, by their index, that a screen of this width has room for: the spare ones go, the highest first. */
export function keptColumns(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): number[] {
  let kept = columns.map((_, c) => c);
  while (width !== undefined) {
    const { widths } = measure(
      kept.map((c) => columns[c]!),
      rows.map((row) => kept.map((c) => row[c] ?? '')),
      width,
    );
    const whole = widths.reduce((sum, one) => sum + one, GAP.length * (widths.length - 1));
    const most = Math.max(...kept.map((c) => columns[c]!.spare ?? 0));
    if (whole <= width || most === 0) break;
    const out = kept.findLast((c) => columns[c]!.spare === most);
    kept = kept.filter((c) => c !== out);
  }
  return kept;
}

/** The lines of each cell, and how wide the columns are on a screen of this width. */
function measure(
  columns: readonly Column[],
  rows: readonly (readonly string[])[],
  width: number | undefined,
): { readonly cells: string[][][]; readonly widths: number[] } {
  const cells = rows.map((row) => columns.map((_, c) => (row[c] ?? '').split('\n')));
  const natural = columns.map((column, c) =>
    Math.max(textWidth(column.title), ...cells.map((row) => Math.max(...row[c]!.map(textWidth)))),
  );
  const floors = columns.map((column, c) =>
    Math.max(NARROWEST, longestPiece(column.title), ...cells.flatMap((row) => row[c]!.map(longestPiece))),
  );
  const networks = columns.map((_, c) =>
    Math.max(NARROWEST, ...cells.flatMap((row) => row[c]!.map(longestNetwork))),
  );
  return { cells, widths: squeeze({ natural, floors, networks }, columns, width) };
}

/** `name  value` lines under each other, the values in one column; what does not fit is wrapped there. */
export function renderPairs(
  pairs: readonly (readonly [name: string, value: string])[],
  options: {
    readonly width?: number;
    readonly indent?: string;
    readonly name?: (text: string) => string;
  } = {},
): string[] {
  const indent = options.indent ?? '';
  const left = Math.max(0, ...pairs.map(([name]) => textWidth(name)));
  const room =
    options.width === undefined
      ? Number.POSITIVE_INFINITY
      : Math.max(NARROWEST, options.width - indent.length - left - GAP.length);
  const paint = options.name ?? ((text: string) => text);
  return pairs.flatMap(([name, value]) =>
    wrap(value.split('\n'), room).map((line, i) => {
      const label = i === 0 ? paint(pad(name, left, 'left')) : ' '.repeat(left);
      return `${indent}${label}${GAP}${line}`.trimEnd();
    }),
  );
}

/** Breaks a text after spaces, commas and slashes into lines of at most `width` characters; longer words are cut. */
export function wrapText(text: string, width: number): string[] {
  return wrap(text.split('\n'), width);
}

/**
 * Takes what is too much from the widest text columns, first down to their longest piece that should not be
 * cut, then, when that is not enough, down to the narrowest. Figures and networks are never broken over lines.
 */
function squeeze(
  { natural, floors, networks }: Readonly<Record<'natural' | 'floors' | 'networks', readonly number[]>>,
  columns: readonly Column[],
  limit: number | undefined,
): number[] {
  const widths = [...natural];
  if (limit === undefined) return widths;
  const room = limit - GAP.length * (columns.length - 1);
  let excess = widths.reduce((sum, width) => sum + width, 0) - room;
  for (const lowest of [floors, networks]) {
    while (excess > 0) {
      let widest = -1;
      for (let c = 0; c < widths.length; c++) {
        const { align, whole } = columns[c]!;
        if (align === 'right' || whole === true || widths[c]! <= lowest[c]!) continue;
        if (widest < 0 || widths[c]! > widths[widest]!) widest = c;
      }
      if (widest < 0) break;
      widths[widest] = widths[widest]! - 1;
      excess--;
    }
  }
  return widths;
}

function joinCells(
  cells: readonly (readonly string[])[],
  widths: readonly number[],
  columns: readonly Column[],
  paint: (text: string, column: number) => string,
): string[] {
  const height = Math.max(1, ...cells.map((cell) => cell.length));
  const lines: string[] = [];
  for (let i = 0; i < height; i++) {
    const present = cells.map((cell, c) => pad(cell[i] ?? '', widths[c]!, columns[c]!.align ?? 'left'));
    // Spaces after the last text are dropped before painting, so that an escape cannot hide them.
    let last = present.length - 1;
    while (last > 0 && present[last]!.trim() === '') last--;
    lines.push(
      present
        .slice(0, last + 1)
        .map((text, c) => paint(c === last ? text.trimEnd() : text, c))
        .join(GAP),
    );
  }
  return lines;
}

function wrap(lines: readonly string[], width: number): string[] {
  return lines.flatMap((line) => (textWidth(line) <= width ? [line] : wrapLine(line, width)));
}

function wrapLine(line: string, width: number): string[] {
  const out: string[] = [];
  let current = '';
  for (const piece of pieces(line)) {
    if (textWidth(current + piece.trimEnd()) <= width) {
      current += piece;
      continue;
    }
    if (current !== '') out.push(current.trimEnd());
    let rest = piece;
    while (textWidth(rest.trimEnd()) > width) {
      const characters = [...rest];
      out.push(characters.slice(0, width).join(''));
      rest = characters.slice(width).join('');
    }
    current = rest;
  }
  if (current.trimEnd() !== '') out.push(current.trimEnd());
  return out.length === 0 ? [''] : out;
}

/** What a line may be broken into: after a space, a comma or a slash, but for that of a network such as 10.0.0.0/8. */
function pieces(line: string): string[] {
  return line.match(/(?:[^ ,/]|\/(?=[0-9]))*(?:[ ,]+|\/+(?![0-9]))|(?:[^ ,/]|\/(?=[0-9]))+$/g) ?? [];
}

function longestPiece(text: string): number {
  return Math.max(0, ...pieces(text).map((piece) => textWidth(piece.trimEnd())));
}

/** Width of the longest network or address in a text: cut in two it would be read as another one. */
function longestNetwork(text: string): number {
  return Math.max(0, ...(text.match(/[0-9a-f.:]+\/[0-9]+,?|[0-9]+(?:\.[0-9]+){3},?/g) ?? []).map(textWidth));
}

function pad(text: string, width: number, align: 'left' | 'right'): string {
  const fill = ' '.repeat(Math.max(0, width - textWidth(text)));
  return align === 'right' ? fill + text : text + fill;
}

/** Characters, not UTF-16 units. Names in Culvert are ASCII; wide East Asian glyphs are not accounted for. */
function textWidth(text: string): number {
  let width = 0;
  for (const _ of text) width++;
  return width;
}
