import type { DoctorEntry, DoctorReport, DoctorResult } from '../daemon/doctor/report.js';
import { countOf } from './amounts.js';
import type { Style } from './style.js';
import { wrapText } from './table.js';

/** How a report is shown. */
export interface DoctorView {
  readonly style: Style;
  /** Columns of the screen; undefined for no limit. */
  readonly width: number | undefined;
}

const TITLES = { host: 'This host', path: 'The way to the peers', connection: 'Connections' } as const;
const AREAS = ['host', 'path', 'connection'] as const;
/** In the order in which they are read. */
const RESULTS: readonly DoctorResult[] = ['finding', 'note', 'not_checked'];
/** Names of connections with the same trouble. */
const MAX_NAMES = 3;
const INDENT = '      ';

/** The report for people: what is wrong with evidence and remedy, then what is fine in one line of each area. */
export function renderDoctor(report: DoctorReport, view: DoctorView): string[] {
  const { gateway, running, entries, counts } = report;
  const lines = [
    gateway === null
      ? 'no gateway was named: this host alone was looked at'
      : `gateway ${gateway.name} at ${gateway.address}, which ${running ? 'runs' : 'does not run'}`,
  ];
  for (const area of AREAS) {
    const here = entries.filter((entry) => entry.area === area);
    if (here.length === 0) continue;
    lines.push('', view.style.bold(TITLES[area]));
    for (const result of RESULTS) {
      for (const group of alike(here.filter((entry) => entry.result === result)))
        lines.push(...renderEntry(group, view));
    }
    lines.push(...fine(here, view));
  }
  lines.push('', summary(counts, view.style));
  return lines;
}

interface Group {
  readonly entry: DoctorEntry;
  /** Of the connections that it is about. */
  readonly names: readonly string[];
  readonly checks: readonly string[];
}

/** Entries that differ in the connection alone; of what is not known, in the check, too. */
function alike(entries: readonly DoctorEntry[]): Group[] {
  const groups = new Map<string, { readonly entry: DoctorEntry; names: Set<string>; checks: Set<string> }>();
  for (const entry of entries) {
    const { connection, check, ...rest } = entry;
    const key = JSON.stringify([rest, entry.result === 'not_checked' ? '' : check]);
    const group = groups.get(key) ?? { entry, names: new Set(), checks: new Set() };
    groups.set(key, group);
    group.checks.add(check);
    if (connection !== null) group.names.add(connection);
  }
  return [...groups.values()].map(({ entry, names, checks }) => ({
    entry,
    names: [...names],
    checks: [...checks],
  }));
}

function renderEntry({ entry, names, checks }: Group, view: DoctorView): string[] {
  const { result, code, message, evidence, remedy } = entry;
  const { style } = view;
  const label = {
    finding: style.bad('wrong'),
    note: style.warn('note '),
    not_checked: style.dim('?    '),
    ok: '',
  }[result];
  const more = names.length > MAX_NAMES ? ` and ${names.length - MAX_NAMES} more` : '';
  const whose = names.length === 0 ? '' : `${names.slice(0, MAX_NAMES).join(', ')}${more}: `;
  const what =
    result === 'finding'
      ? `${message} [${code}]`
      : result === 'note'
        ? message
        : `${checks.map(spaced).join(', ')}: ${message}`;
  const [first = '', ...others] = wrapped(`${whose}${what}`, INDENT.length + 2, view.width);
  return [
    `  ${label} ${first}`,
    ...others.map((line) => `  ${INDENT}${line}`),
    ...evidence.flatMap((text) => labelled('seen', text, view)),
    ...(remedy === null ? [] : labelled('do', remedy, view)),
  ];
}

function labelled(label: string, text: string, { style, width }: DoctorView): string[] {
  const head = `${label}:`.padEnd(6);
  return wrapped(text, INDENT.length + 2 + head.length, width).map(
    (line, i) => `  ${INDENT}${i === 0 ? style.dim(head) : ' '.repeat(head.length)}${line}`,
  );
}

function wrapped(text: string, taken: number, width: number | undefined): string[] {
  return width === undefined ? [text] : wrapText(text, Math.max(40, width - taken));
}

function fine(entries: readonly DoctorEntry[], { style, width }: DoctorView): string[] {
  const bad = new Set(entries.filter(({ result }) => result !== 'ok').map(({ check }) => check));
  const good = new Set(entries.filter(({ result }) => result === 'ok').map(({ check }) => check));
  const names = [...good].filter((check) => !bad.has(check)).map(spaced);
  if (names.length === 0) return [];
  const [first = '', ...others] = wrapped(names.join(', '), INDENT.length + 2, width);
  return [`  ${style.good('fine ')} ${first}`, ...others.map((line) => `  ${INDENT}${line}`)];
}

function spaced(check: string): string {
  return check.replaceAll('_', ' ');
}

function summary({ finding, note, not_checked: unknown }: DoctorReport['counts'], style: Style): string {
  const found = finding === 0 ? style.good('nothing is wrong') : style.bad(countOf(finding, 'finding'));
  const rest = [
    ...(note === 0 ? [] : [countOf(note, 'note')]),
    ...(unknown === 0 ? [] : [`${countOf(unknown, 'thing')} not checked`]),
  ];
  return [found, ...rest].join(', ');
}
