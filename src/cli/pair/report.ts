import type { ConnectionStatusDocument, StatusDocument } from '../../connection/status.js';
import { formatFigure } from '../amounts.js';
import { espSuiteText, ikeSuiteText, renderStatus, type ViewOptions } from '../status-view.js';
import { renderTable } from '../table.js';
import type { PingFigures, TransferFigures } from './traffic-protocol.js';

/** Figures of pings from one host of the pair to the other. */
export interface PairPing extends PingFigures {
  readonly from: string;
  readonly to: string;
  readonly address: string;
}

/** Figures of a transfer from one host of the pair to the other. */
export interface PairTransfer extends TransferFigures {
  readonly from: string;
  readonly to: string;
}

/** What `culvert pair --output json` prints. Steps that were not reached are empty or null. */
export interface PairReport {
  readonly ok: boolean;
  /** Why it is not ok. */
  readonly errors: readonly string[];
  readonly ike_version: 1 | 2;
  /** As given with --suite; null for auto-negotiation. */
  readonly suite_requested: string | null;
  /** What both agreed on, in short. */
  readonly suite: { readonly ike: string; readonly esp: string } | null;
  readonly privileges: 'root' | 'user namespace';
  /** From both daemons answering to both tunnels up. */
  readonly setup_ms: number | null;
  readonly sites: readonly {
    readonly name: string;
    readonly control: string;
    readonly status: StatusDocument | null;
  }[];
  readonly ping: readonly PairPing[];
  readonly transfer: readonly PairTransfer[];
}

/** The suite as the connection's status names it, or null when there is no tunnel. */
export function agreedSuite(connection: ConnectionStatusDocument | undefined): PairReport['suite'] {
  const child = connection?.children[0];
  if (connection?.ike == null || child === undefined) return null;
  return { ike: ikeSuiteText(connection.ike), esp: espSuiteText(child) };
}

/** The report for people: both ends' tables, what crossed the tunnel, and what did not work. */
export function renderPairReport(report: PairReport, options: ViewOptions): string[] {
  const { style } = options;
  const lines: string[] = [];
  for (const site of report.sites) {
    if (site.status !== null) lines.push(...renderStatus(site.status, options), '');
  }
  if (report.setup_ms !== null) {
    lines.push(`Tunnel up after ${Math.round(report.setup_ms)} ms (as ${report.privileges}).`, '');
  }
  const rows = [...report.ping.map(pingRow), ...report.transfer.map(transferRow)];
  if (rows.length > 0) {
    const columns = [{ title: 'TRAFFIC' }, { title: 'FROM' }, { title: 'TO' }, { title: 'RESULT' }];
    lines.push(...renderTable(columns, rows, { title: style.bold }), '');
  }
  for (const error of report.errors) lines.push(`${style.bad('failed')}: ${error}`);
  if (report.ok) lines.push(style.good('ok: ping and TCP crossed the tunnel in both directions'));
  return lines;
}

function pingRow({ method, from, to, sent, received, rtt_ms }: PairPing): string[] {
  const figure = (value: number): string => value.toFixed(2);
  const times =
    rtt_ms === null
      ? ''
      : `, ${figure(rtt_ms.min)}/${figure(rtt_ms.avg)}/${figure(rtt_ms.max)} ms min/avg/max`;
  return [
    method === 'icmp' ? 'ping (ICMP)' : 'ping (UDP)',
    from,
    to,
    `${received} of ${sent} answered${times}`,
  ];
}

function transferRow({ from, to, bytes, seconds, mbit_per_s }: PairTransfer): string[] {
  const amount = `${formatFigure(bytes / 1e6)} MB in ${seconds.toFixed(1)} s`;
  return ['TCP, one stream', from, to, `${formatFigure(mbit_per_s)} Mbit/s (${amount})`];
}
