/**
 * The octets with zeros in front up to `length`; what is longer is a bug. OpenSSL and bignum libraries drop
 * leading zeros, but IKE wants public values and secrets at full length (RFC 7296 §2.14, §3.4).
 */
export function leftPad(value: Uint8Array, length: number): Uint8Array {
  if (value.length === length) return value;
  if (value.length > length) throw new RangeError(`a value of ${value.length} octets exceeds ${length}`);
  const out = new Uint8Array(length);
  out.set(value, length - value.length);
  return out;
}
