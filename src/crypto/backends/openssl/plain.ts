/**
 * The same octets as a bare Uint8Array: a Buffer would behave otherwise in `slice`, `toString` and deep
 * comparison. Nothing is copied.
 */
export function plain(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength);
}
