import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import type { NetworkLab } from '#culvert/linux/namespaces.js';

const PORT = 5201;

/**
 * Octets asked for the UDP sockets of both ends, as far as the system allows: with the default of 212,992 the
 * receiving iperf3 loses what arrives while it waits for its turn on the processor, and the figure would be
 * its own instead of the gateways'.
 */
const UDP_WINDOW = 4 * 1024 * 1024;

export interface TcpTransfer {
  /** As the receiver counted them. */
  readonly mbitPerSecond: number;
  readonly retransmits: number;
  /** Gigabits carried in all, warm-up included. */
  readonly gbit: number;
}

/** TCP streams from one namespace to another. The first second does not count. */
export async function iperfTcp(
  lab: NetworkLab,
  from: string,
  to: string,
  address: string,
  seconds: number,
  streams = 1,
): Promise<TcpTransfer> {
  const options = ['--time', String(seconds), '--omit', '1', '--parallel', String(streams)];
  const { end, intervals } = await iperf(lab, from, to, address, options);
  return {
    mbitPerSecond: end.sum_received!.bits_per_second / 1e6,
    retransmits: end.sum_sent?.retransmits ?? 0,
    gbit: intervals.reduce((sum, { sum: one }) => sum + one.bytes * 8, 0) / 1e9,
  };
}

export interface UdpTransfer {
  /** Datagrams per second, sent and received. */
  readonly sent: number;
  readonly received: number;
  readonly lossPercent: number;
}

/** UDP datagrams of one size. `rate` in datagrams per second, 0 for as fast as the sender can. */
export async function iperfUdp(
  lab: NetworkLab,
  from: string,
  to: string,
  address: string,
  { octets, rate, seconds }: { readonly octets: number; readonly rate: number; readonly seconds: number },
): Promise<UdpTransfer> {
  const bits = rate === 0 ? '0' : String(Math.round(rate * octets * 8));
  const options = ['--udp', '--length', String(octets), '--bitrate', bits, '--time', String(seconds)];
  options.push('--window', String(Math.min(UDP_WINDOW, limit('rmem_max'), limit('wmem_max'))));
  const { end } = await iperf(lab, from, to, address, options);
  const { packets, lost_packets: lost, seconds: took } = end.sum!;
  return { sent: packets / took, received: (packets - lost) / took, lossPercent: (100 * lost) / packets };
}

function limit(name: string): number {
  return Number(readFileSync(`/proc/sys/net/core/${name}`, 'latin1'));
}

async function iperf(
  lab: NetworkLab,
  from: string,
  to: string,
  address: string,
  options: readonly string[],
): Promise<IperfReport> {
  // One client, then it ends; line by line, so that it is known when it listens.
  const server = lab.spawn(to, ['iperf3', '--server', '--one-off', '--port', String(PORT), '--forceflush'], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  const ended = once(server, 'close');
  try {
    for await (const line of createInterface({ input: server.stdout! })) {
      if (line.includes('listening')) break;
    }
    server.stdout!.resume();
    const argv = [
      'iperf3',
      '--client',
      address,
      '--connect-timeout',
      '5000',
      '--port',
      String(PORT),
      '--json',
    ];
    const result = await lab.run(from, [...argv, ...options]);
    const report = JSON.parse(result.stdout) as IperfReport;
    if (report.error !== undefined) throw new Error(`iperf3 from ${from} to ${address}: ${report.error}`);
    return report;
  } finally {
    if (server.exitCode === null && server.signalCode === null) server.kill('SIGTERM');
    await ended;
  }
}

interface IperfReport {
  readonly error?: string;
  readonly intervals: readonly { readonly sum: { readonly bytes: number } }[];
  readonly end: {
    readonly sum_sent?: { readonly retransmits?: number };
    readonly sum_received?: { readonly bits_per_second: number };
    /** UDP. */
    readonly sum?: { readonly packets: number; readonly lost_packets: number; readonly seconds: number };
  };
}
