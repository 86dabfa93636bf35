/**
 * The worst that a stranger may send in each exchange, octet by octet. Nothing is imported: the benchmark and the
 * permanent test of the engine build the same datagrams.
 */

/** Numbers of transforms that no gateway has. */
const STRANGE = 0x7f00;

function u16(value: number): number[] {
  return [(value >>> 8) & 0xff, value & 0xff];
}

function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value)];
}

function ascending(length: number): number[] {
  return Array.from({ length }, (_, n) => (n * 37 + 11) & 0xff);
}

interface Head {
  /** Initiator's SPI or cookie, as a number that makes it another one. */
  readonly number: number;
  readonly responder?: Uint8Array;
  readonly version: 1 | 2;
  readonly exchange: number;
  readonly flags: number;
  readonly first: number;
}

function message({ number, responder, version, exchange, flags, first }: Head, body: number[]): Uint8Array {
  const spi = [...u32(0xdead0000), ...u32(number)];
  const other = responder === undefined ? new Array<number>(8).fill(0) : [...responder];
  const fixed = [first, version << 4, exchange, flags, 0, 0, 0, 0, ...u32(28 + body.length)];
  return Uint8Array.from([...spi, ...other, ...fixed, ...body]);
}

function payload(next: number, body: number[]): number[] {
  return [next, 0, ...u16(4 + body.length), ...body];
}

/** 32 proposals of eight transforms each that are unknown: all that a decoder takes. */
function strangeProposals(): number[] {
  const proposals: number[] = [];
  for (let p = 1; p <= 32; p++) {
    const transforms: number[] = [];
    for (let t = 0; t < 8; t++) {
      transforms.push(t === 7 ? 0 : 3, 0, ...u16(8), 1 + (t % 4), 0, ...u16(STRANGE + 8 * p + t));
    }
    proposals.push(p === 32 ? 0 : 2, 0, ...u16(8 + transforms.length), p, 1, 0, 8, ...transforms);
  }
  return proposals;
}

/** IKE_SA_INIT request (RFC 7296 §1.2) of about 8 KiB. */
export function strangeInit(number: number): Uint8Array {
  const body = [
    ...payload(34, strangeProposals()),
    ...payload(40, [...u16(14), 0, 0, ...ascending(256)]),
    ...payload(43, ascending(32)),
    ...payload(0, ascending(5000)),
  ];
  return message({ number, version: 2, exchange: 34, flags: 0x08, first: 33 }, body);
}

/** Message 1 of main mode (RFC 2409 §5) with 256 transforms of unknown ciphers. */
export function strangeMain(number: number): Uint8Array {
  const proposals: number[] = [];
  for (let p = 1; p <= 2; p++) {
    const transforms: number[] = [];
    for (let t = 1; t <= 128; t++) {
      const attributes = [1, 30_000 + t, 2, 30_000 + t, 3, 1, 4, 30_000 + t];
      const pairs: number[] = [];
      for (let a = 0; a < attributes.length; a += 2)
        pairs.push(0x80, attributes[a]!, ...u16(attributes[a + 1]!));
      transforms.push(t === 128 ? 0 : 3, 0, ...u16(8 + pairs.length), t, 1, 0, 0, ...pairs);
    }
    proposals.push(p === 2 ? 0 : 2, 0, ...u16(8 + transforms.length), p, 1, 0, 128, ...transforms);
  }
  const body = payload(0, [...u32(1), ...u32(1), ...proposals]);
  return message({ number, version: 1, exchange: 2, flags: 0, first: 1 }, body);
}

/** Aggressive mode, which is refused. */
export function aggressive(number: number): Uint8Array {
  const main = strangeMain(number);
  main[18] = 4;
  return main;
}

/** A protected message of an IKE SA that does not exist, as long as UDP carries. */
export function unknownSpi(number: number): Uint8Array {
  const body = payload(33, ascending(65_000));
  const responder = Uint8Array.from(ascending(8));
  return message({ number, responder, version: 2, exchange: 35, flags: 0x08, first: 46 }, body);
}

/** An answer to an IKE_SA_INIT request that was never sent. */
export function unaskedAnswer(number: number): Uint8Array {
  const answer = strangeInit(number);
  answer.set(ascending(8), 8);
  answer[19] = 0x20;
  return answer;
}

/** The header of a message that is protected, with rubbish behind it. */
export function rubbishBehind(header: Uint8Array, octets: number): Uint8Array {
  const out = Uint8Array.from([...header.subarray(0, 28), ...ascending(octets)]);
  out.set(u32(out.length), 24);
  return out;
}
