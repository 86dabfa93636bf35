/** What the demonstration asks its traffic processes, and what they answer, as messages of Node's IPC. */

export type TrafficRequest =
  /** Accept TCP connections, and answer UDP datagrams with the same octets, on one port number. */
  | { readonly kind: 'serve' }
  | { readonly kind: 'ping'; readonly address: string; readonly port: number; readonly count: number }
  /** One TCP stream of zeros to a process that serves. */
  | { readonly kind: 'send'; readonly address: string; readonly port: number; readonly seconds: number };

/** How many pings came back, and how fast. */
export interface PingFigures {
  /** `icmp`: echo requests answered by the other host's kernel. `udp`: datagrams echoed by our process there. */
  readonly method: 'icmp' | 'udp';
  readonly sent: number;
  readonly received: number;
  /** Milliseconds; null when nothing came back. */
  readonly rtt_ms: { readonly min: number; readonly avg: number; readonly max: number } | null;
}

/** Counted where the stream ends: octets that were sent but never arrived do not count. */
export interface TransferFigures {
  readonly bytes: number;
  readonly seconds: number;
  readonly mbit_per_s: number;
}

/** What a traffic process in a host's namespace answers its parent with. */
export type TrafficAnswer =
  | { readonly kind: 'serving'; readonly port: number }
  | ({ readonly kind: 'pinged' } & PingFigures)
  | ({ readonly kind: 'sent' } & TransferFigures)
  | { readonly kind: 'failed'; readonly message: string };
