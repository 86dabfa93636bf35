import type {
  ChildStatus,
  ConnectionStatusDocument,
  CoverageCell,
  IkeStatus,
  StatusDocument,
  StatusReason,
} from '../connection/status.js';
import { countOf, formatBytes, formatDuration } from './amounts.js';
import { routeFacts } from './route-facts.js';
import { summaryOf } from './status-filter.js';
import type { Style } from './style.js';
import { type Column, renderPairs, renderTable, wrapText } from './table.js';

/** How a status is printed on this terminal. */
export interface ViewOptions {
  readonly style: Style;
  /** Columns of the screen; undefined for a pipe. */
  readonly width?: number | undefined;
  /** The moment ages are counted to, milliseconds since 1970. */
  readonly now: number;
}

const OVERVIEW: readonly Column[] = [
  { title: 'NAME', whole: true },
  { title: 'STATUS', whole: true },
  { title: 'PEER', whole: true },
  { title: 'IKE' },
  { title: 'CHILD' },
  { title: 'ESP', spare: 1 },
  { title: 'IN', align: 'right' },
  { title: 'OUT', align: 'right' },
  { title: 'SINCE', align: 'right', spare: 2 },
];

const COVERAGE: readonly Column[] = [
  { title: 'LOCAL', whole: true },
  { title: 'PEER', whole: true },
  { title: 'STATE', whole: true },
  { title: 'SPI IN / OUT', whole: true },
  { title: 'WHY' },
];

/** The whole gateway: one line about it, a table of its connections, then what is wrong with which. */
export function renderStatus(
  document: StatusDocument,
  options: ViewOptions,
  shown: readonly ConnectionStatusDocument[] = document.connections,
): string[] {
  const { connections } = document;
  const lines = [...heading(document, options), ''];
  if (connections.length === 0) return [...lines, 'No connections are configured.'];
  if (shown.length === 0) return [...lines, 'Every connection that is to be up is.'];
  lines.push(...overview(shown, options));
  if (shown.length < connections.length)
    lines.push('', `${shown.length} of ${connections.length} connections are shown.`);
  for (const connection of shown) {
    const explained = explain(connection, options);
    if (explained.length > 0) lines.push('', `${options.style.bold(connection.name)}:`, ...explained);
  }
  return lines;
}

const SUMMARY: readonly Column[] = [
  { title: 'CAUSE' },
  { title: 'CONNECTIONS', align: 'right' },
  { title: 'FOR EXAMPLE' },
];

/** One line about the gateway, how many connections are how, and a table of why. */
export function renderSummary(
  document: StatusDocument,
  options: ViewOptions,
  shown: readonly ConnectionStatusDocument[],
): string[] {
  const { total, up, degraded, down, causes } = summaryOf(shown);
  const { style, width } = options;
  const lines = [
    ...heading(document, options),
    '',
    `${countOf(total, 'connection')}: ${up} up, ${degraded} degraded, ${down} down`,
  ];
  if (causes.length === 0) return lines;
  const rows = causes.map(({ cause, count, examples }) => [cause, String(count), examples.join(', ')]);
  const table = renderTable(SUMMARY, rows, { ...(width === undefined ? {} : { width }), title: style.bold });
  return [...lines, '', ...table];
}

function heading({ gateway, connections }: StatusDocument, options: ViewOptions): string[] {
  const up = connections.filter(({ status }) => status === 'up').length;
  const plane = `${gateway.data_plane} data plane${workersText(gateway.workers)}`;
  const udp = gateway.raw_esp ? '' : ', ESP in UDP only';
  return [
    `${options.style.bold(gateway.name)}: ${gateway.mode} mode, ${gateway.address}, ${gateway.interface}, ` +
      `${plane}${udp}, running for ${age(gateway.started_at, options.now)}, ` +
      `${up} of ${countOf(connections.length, 'connection')} up`,
    ...clearPackets(gateway.clear_packets),
  ];
}

function clearPackets(clear: StatusDocument['gateway']['clear_packets']): string[] {
  if (clear === undefined) return [];
  const { outbound, inbound, table, discarded = 0, reason } = clear;
  const out =
    outbound === 'unreachable'
      ? "the peers' networks are unreachable without this process"
      : 'without this process packets for the peers leave in the clear';
  const incoming =
    inbound === 'discarded'
      ? `those from outside are discarded, ${discarded} so far (nftables table ${table})`
      : `those from outside are NOT discarded${reason === undefined ? '' : `: ${reason}`}`;
  return [`clear packets: ${out}; ${incoming}`];
}

function workersText(workers: StatusDocument['gateway']['workers'] = []): string {
  if (workers.length < 2) return '';
  return ` with ${workers.length} workers (${workers.map((one) => one.child_sas).join('/')} child SAs)`;
}

/** One connection with everything known about it. */
export function renderConnection(connection: ConnectionStatusDocument, options: ViewOptions): string[] {
  const { style } = options;
  const lines = [`${style.bold(connection.name)}: ${paintStatus(connection.status, style)}`];
  const facts: [string, string][] = [
    ['wanted', connection.admin_state_up ? 'up' : 'down (admin_state_up: false)'],
    ['establish mode', connection.establish_mode],
    ['peer', connection.peer],
    ...(connection.interface === undefined ? [] : [['interface', connection.interface] as [string, string]]),
    ...routeFacts(connection.routes ?? [], options.now),
  ];
  if (connection.next_attempt_at !== undefined) {
    facts.push(['next attempt', `in ${remaining(connection.next_attempt_at, options.now)}`]);
  }
  if ((connection.flaps?.total ?? 0) > 0) {
    const { total, last_10_minutes: recent } = connection.flaps!;
    facts.push(['lost', `${total} times, ${recent} of them in the last ten minutes`]);
  }
  if (connection.ike !== null) facts.push(...ikeFacts(connection.ike, options.now));
  lines.push(...renderPairs(facts, layout(options)));
  for (const child of connection.children) {
    lines.push(
      '',
      `  child SA, ${child.state}`,
      ...renderPairs(childFacts(child, options.now), layout(options)),
    );
  }
  const { coverage } = connection;
  if (coverage !== undefined && coverage.pairs > 1) {
    lines.push('', ...renderCoverage(coverage, options).map((line) => `  ${line}`));
  }
  const explained = explain(connection, options);
  if (explained.length > 0) lines.push('', ...explained);
  return lines;
}

/** `IKEv2 aes256/sha256/modp_2048`: cipher, integrity (the PRF with an AEAD cipher) and group. */
export function ikeSuiteText(ike: IkeStatus): string {
  const { encryption, integrity, prf, dh_group, additional_key_exchanges } = ike;
  const names = [encryption, integrity ?? prf, dh_group, ...additional_key_exchanges];
  return `IKEv${ike.version} ${names.join('/')}`;
}

/** Cipher, integrity unless AEAD, and the group with PFS. */
export function espSuiteText(child: ChildStatus): string {
  const { encryption, integrity, dh_group, additional_key_exchanges } = child;
  return [encryption, integrity, dh_group, ...additional_key_exchanges]
    .filter((part) => part !== null)
    .join('/');
}

function overview(connections: readonly ConnectionStatusDocument[], options: ViewOptions): string[] {
  const rows: string[][] = [];
  for (const connection of connections) {
    const { ike } = connection;
    const common = [connection.name, connection.status, connection.peer];
    const suite = ike === null ? '-' : ike.state === 'established' ? ikeSuiteText(ike) : ike.state;
    const since = ike?.state === 'established' ? age(ike.established_at, options.now) : '-';
    if (connection.children.length === 0) rows.push([...common, suite, '-', '-', '-', '-', since]);
    for (const [i, child] of connection.children.entries()) {
      rows.push([
        ...(i === 0 ? [...common, suite] : ['', '', '', '']),
        selectors(child),
        espSuiteText(child) + (child.state === 'rekeyed' ? ' (rekeyed)' : ''),
        formatBytes(child.bytes_in),
        formatBytes(child.bytes_out),
        age(child.established_at, options.now),
      ]);
    }
  }
  return renderTable(OVERVIEW, rows, {
    ...(options.width === undefined ? {} : { width: options.width }),
    title: options.style.bold,
    cell: (text, _row, column) =>
      column === 1 && /^(up|down|degraded)/.test(text) ? paintStatus(text, options.style) : text,
  });
}

/** Which pair of networks is carried by which SA: a row for each pair. Nothing to see for a single pair. */
export function renderCoverage(
  coverage: NonNullable<ConnectionStatusDocument['coverage']>,
  options: ViewOptions,
): string[] {
  const { style } = options;
  const rows = coverage.matrix.map((cell) => [
    cell.local,
    cell.peer,
    cell.state,
    cell.spi_in === undefined ? '-' : `${cell.spi_in} / ${cell.spi_out}`,
    whyOpen(cell, options.now),
  ]);
  const more = coverage.pairs - coverage.matrix.length;
  const open = (['pending', 'refused'] as const).filter((state) => coverage[state] > 0);
  const counts = open.map((state) => `, ${coverage[state]} ${state}`).join('');
  return [
    `${coverage.covered} of ${coverage.pairs} pairs of networks covered${counts}`,
    ...renderTable(COVERAGE, rows, {
      ...(options.width === undefined ? {} : { width: options.width }),
      title: style.bold,
      cell: (text, _row, column) => (column === 2 ? paintState(text, style) : text),
    }),
    ...(more === 0 ? [] : [`and ${more} more pairs`]),
  ];
}

/** Why no child SA carries a pair, and when it is asked for again. */
function whyOpen(cell: CoverageCell, now: number): string {
  const { state, cause, next_attempt_at: next } = cell;
  if (state === 'covered') return '';
  const again = next === undefined ? '' : `, asked for again in ${remaining(next, now)}`;
  if (state === 'refused') return `${cause ?? 'refused'}${again}`;
  return state === 'pending' ? 'the peer has not been asked for it alone, or has not answered' : '';
}

function paintState(text: string, style: Style): string {
  const paint = text.startsWith('covered') ? style.good : text.startsWith('pending') ? style.warn : style.bad;
  return paint(text);
}

/** A reason's evidence: offers side by side, nearest miss, identities, selectors. */
export function renderEvidence(reason: StatusReason, options: ViewOptions): string[] {
  return evidence(reason, options);
}

/** Reasons with their evidence, then advisories, indented under the name of the connection. */
function explain(connection: ConnectionStatusDocument, options: ViewOptions): string[] {
  const { style } = options;
  const lines = connection.status_reasons.flatMap((reason) => [
    ...paragraph(`${style.bad(reason.code)}: ${reason.message}`, options),
    ...evidence(reason, options),
  ]);
  for (const advisory of connection.advisories) {
    lines.push(...paragraph(`${style.warn(`advisory ${advisory.code}`)}: ${advisory.message}`, options));
  }
  for (const quirk of connection.quirks ?? [])
    lines.push(...paragraph(`quirk ${quirk.code}: ${quirk.message}`, options));
  return lines;
}

/** What `details` has: both offers side by side, the nearest miss, identities, selectors, the rest. */
function evidence(reason: StatusReason, options: ViewOptions): string[] {
  const details: Readonly<Record<string, unknown>> = reason.details ?? {};
  const { cause, ours, theirs, nearest, advice, ...rest } = details;
  const lines: string[] = [];
  const facts: [string, string][] = [];
  if (cause !== undefined) facts.push(['cause', String(cause)]);
  lines.push(...renderPairs(facts, layout(options, '    ')));
  if (isTexts(ours) || isTexts(theirs)) {
    lines.push('', ...sideBySide(isTexts(ours) ? ours : [], isTexts(theirs) ? theirs : [], options), '');
  }
  const more: [string, string][] = [];
  if (typeof nearest === 'object' && nearest !== null) more.push(['nearest miss', nearestText(nearest)]);
  // The message usually ends with the advice already.
  if (typeof advice === 'string' && !reason.message.includes(advice)) more.push(['advice', advice]);
  for (const [name, value] of Object.entries(rest)) more.push([fieldName(name), plainText(value)]);
  lines.push(...renderPairs(more, layout(options, '    ')));
  while (lines.at(-1) === '') lines.pop();
  return lines;
}

function sideBySide(ours: readonly string[], theirs: readonly string[], options: ViewOptions): string[] {
  const rows = Array.from({ length: Math.max(ours.length, theirs.length) }, (_, i) => [
    String(i + 1),
    ours[i] ?? '',
    theirs[i] ?? '',
  ]);
  const columns: Column[] = [
    { title: '#', align: 'right' },
    { title: 'we accept' },
    { title: 'peer offers' },
  ];
  if (theirs.length === 0) columns[2] = { title: 'peer offers (not told)' };
  const width = options.width === undefined ? {} : { width: Math.max(40, options.width - 4) };
  return renderTable(columns, rows, { ...width, title: options.style.bold }).map((line) => `    ${line}`);
}

function nearestText(nearest: object): string {
  const { proposal, differs } = nearest as { proposal?: unknown; differs?: unknown };
  return `proposal ${plainText(proposal)}: differs in ${plainText(differs)}`;
}

function ikeFacts(ike: IkeStatus, now: number): [string, string][] {
  const { local, peer, peer_may_force: maybe } = ike.nat;
  const behind = [
    ...(local ? ['this side'] : []),
    ...(peer ? [maybe ? 'the peer, unless it only asks for ESP in UDP' : 'the peer'] : []),
  ];
  return [
    ['IKE', `${ikeSuiteText(ike)}, PRF ${ike.prf}, ${ike.state} as ${ike.role}`],
    ['IKE SPIs', `${ike.initiator_spi} (initiator), ${ike.responder_spi} (responder)`],
    ['endpoints', `${ike.local_endpoint} - ${ike.peer_endpoint}`],
    ['peer identity', ike.peer_identity],
    ['behind a NAT', behind.length === 0 ? 'no' : behind.join(' and ')],
    ['established', `${ike.established_at}, ${age(ike.established_at, now)} ago`],
    ['rekey', `${ike.rekey_at}, in ${remaining(ike.rekey_at, now)}`],
  ];
}

function childFacts(child: ChildStatus, now: number): [string, string][] {
  const drops = Object.entries(child.drops).filter(([, count]) => count > 0);
  return [
    ['selectors', selectors(child)],
    ['ESP', `${espSuiteText(child)}, ${child.encapsulation === 'udp' ? 'in UDP' : 'IP protocol 50'}`],
    ...(child.inner_mtu === undefined
      ? []
      : [['MTU', `${child.inner_mtu} inside, ${child.path_mtu} outside`] as [string, string]]),
    ...(child.worker === undefined ? [] : [['worker', `${child.worker}`] as [string, string]]),
    ['SPIs', `${child.spi_in} (in), ${child.spi_out} (out)`],
    ['in', `${formatBytes(child.bytes_in)}, ${child.packets_in} packets`],
    ['out', `${formatBytes(child.bytes_out)}, ${child.packets_out} packets`],
    ['dropped', drops.length === 0 ? 'none' : drops.map(([name, count]) => `${name} ${count}`).join(', ')],
    ['established', `${child.established_at}, ${age(child.established_at, now)} ago`],
    ['rekey', `${child.rekey_at}, in ${remaining(child.rekey_at, now)}`],
  ];
}

function selectors(child: ChildStatus): string {
  return `${child.local_ts.join(',')} <> ${child.peer_ts.join(',')}`;
}

function paintStatus(text: string, style: Style): string {
  const paint = text.startsWith('up') ? style.good : text.startsWith('down') ? style.bad : style.warn;
  return paint(text);
}

function paragraph(text: string, options: ViewOptions): string[] {
  if (options.width === undefined) return [`  ${text}`];
  return wrapText(text, Math.max(40, options.width - 4)).map((line, i) =>
    i === 0 ? `  ${line}` : `    ${line}`,
  );
}

function layout(options: ViewOptions, indent = '  ') {
  return {
    indent,
    name: options.style.dim,
    ...(options.width === undefined ? {} : { width: options.width }),
  };
}

function age(at: string, now: number): string {
  return formatDuration(now - Date.parse(at));
}

function remaining(at: string, now: number): string {
  return formatDuration(Date.parse(at) - now);
}

/** `receivedIdentity` and `received_identity` read as `received identity`. */
function fieldName(name: string): string {
  return name
    .replace(/([a-z])([A-Z])/g, '$1 $2')
    .replaceAll('_', ' ')
    .toLowerCase();
}

function isTexts(value: unknown): value is readonly string[] {
  return Array.isArray(value) && value.every((item) => typeof item === 'string');
}

function plainText(value: unknown): string {
  if (isTexts(value)) return value.join(', ');
  if (Array.isArray(value)) return value.map(plainText).join('; ');
  if (typeof value !== 'object' || value === null) return String(value);
  const fields = Object.entries(value);
  // A pair of networks reads as it does everywhere else.
  if (fields.length === 2 && 'local' in value && 'peer' in value) {
    return `${plainText(value.local)} <> ${plainText(value.peer)}`;
  }
  return fields.map(([name, one]) => `${fieldName(name)} ${plainText(one)}`).join(', ');
}
