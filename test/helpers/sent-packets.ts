import { readFileSync } from 'node:fs';

/** Octets of Ethernet, IPv4 and UDP headers before what is sent. */
const HEADERS = 42;
const IKE_PORT = 500;
/** Payloads that a message begins with which only the holder of its IKE SA can send (RFC 7296 §3.2, RFC 7383 §2.5). */
const ENCRYPTED = [46, 53];
/** The first exchange is in clear, and its initiator SPI is the process's own. */
const IKE_SA_INIT = 34;

/** A packet that a gateway has sent, by the SA that only one process can have. */
export interface SentPacket {
  /** Microseconds since 1970. */
  readonly at: number;
  /** `esp SPI` or `ike INITIATOR_SPI`, in hexadecimal. */
  readonly sa: string;
}

/**
 * The packets in a capture file (classic pcap, Ethernet, IPv4) that belong to an SA: ESP in UDP, IKE_SA_INIT, and what is
 * protected by an IKE SA. What anybody could send, such as a notification about an SA that is not known, is left out.
 */
export function sentPackets(path: string): SentPacket[] {
  const file = readFileSync(path);
  const out: SentPacket[] = [];
  for (let at = 24; at + 16 <= file.length; ) {
    const time = file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4);
    const length = file.readUInt32LE(at + 8);
    const packet = file.subarray(at + 16, at + 16 + length);
    at += 16 + length;
    const sa = saOf(packet);
    if (sa !== undefined) out.push({ at: time, sa });
  }
  return out;
}

function saOf(packet: Buffer): string | undefined {
  if (packet.length < HEADERS + 4) return undefined;
  const isFirstPort = packet.readUInt16BE(34) === IKE_PORT;
  const spi = packet.readUInt32BE(HEADERS);
  // On port 4500 an SPI of 0 is the marker of IKE (RFC 3948 §2.2).
  if (!isFirstPort && spi !== 0) return `esp ${spi.toString(16).padStart(8, '0')}`;
  const ike = packet.subarray(HEADERS + (isFirstPort ? 0 : 4));
  if (ike.length < 28) return undefined;
  const [next, exchange] = [ike[16]!, ike[18]!];
  if (exchange !== IKE_SA_INIT && !ENCRYPTED.includes(next)) return undefined;
  return `ike ${ike.toString('hex', 0, 8)}`;
}

/** What one process has sent. */
export interface Speech {
  readonly packets: number;
  /** Microseconds since 1970. */
  readonly first: number;
  readonly last: number;
}

/**
 * Who said what: `owners` has for each SA the number of the process that had it. A packet of an SA that no process had
 * is in `strange`.
 */
export function speechesOf(
  packets: readonly SentPacket[],
  owners: ReadonlyMap<string, number>,
): { readonly speeches: ReadonlyMap<number, Speech>; readonly strange: readonly SentPacket[] } {
  const speeches = new Map<number, Speech>();
  const strange: SentPacket[] = [];
  for (const packet of packets) {
    const owner = owners.get(packet.sa);
    if (owner === undefined) {
      strange.push(packet);
      continue;
    }
    const { first = packet.at, packets: before = 0 } = speeches.get(owner) ?? {};
    speeches.set(owner, { packets: before + 1, first, last: packet.at });
  }
  return { speeches, strange };
}
