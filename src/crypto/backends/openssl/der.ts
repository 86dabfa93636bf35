import { concat } from '../../../util/bytes.js';

/** Tags of DER (X.690 §8) that a Diffie-Hellman key needs. */
export const DerTag = { INTEGER: 0x02, BIT_STRING: 0x03, OCTET_STRING: 0x04, SEQUENCE: 0x30 } as const;

/** Tag, length in the shortest form (X.690 §10.1) and the parts as contents. Up to 65,535 octets. */
export function derValue(tag: number, ...parts: readonly Uint8Array[]): Uint8Array {
  const length = parts.reduce((sum, part) => sum + part.length, 0);
  if (length > 0xffff) throw new RangeError(`DER contents of ${length} octets exceed 65535`);
  const head =
    length < 0x80
      ? [tag, length]
      : length < 0x100
        ? [tag, 0x81, length]
        : [tag, 0x82, length >> 8, length & 0xff];
  return concat(Uint8Array.from(head), ...parts);
}

/** A non-negative INTEGER (X.690 §8.3) from its big-endian octets: none superfluous, the sign bit clear. */
export function derInteger(value: Uint8Array): Uint8Array {
  let start = 0;
  while (start < value.length - 1 && value[start] === 0) start++;
  const octets = value.subarray(start);
  const sign = (octets[0] ?? 0) >= 0x80 || octets.length === 0 ? [Uint8Array.of(0)] : [];
  return derValue(DerTag.INTEGER, ...sign, octets);
}

/** Where the contents of the value at `at` begin and end. For what OpenSSL wrote: nothing is checked. */
export function derContents(der: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  const first = der[at + 1]!;
  const lengthOctets = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthOctets;
  let length = lengthOctets === 0 ? first : 0;
  for (const octet of der.subarray(at + 2, start)) length = length * 256 + octet;
  return { start, end: start + length };
}
