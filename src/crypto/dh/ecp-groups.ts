import { fromHex } from '../../util/bytes.js';
import { Dh } from '../../wire/ike/registry.js';

/** A group of points on a NIST curve over a prime field (RFC 5903 §3), cofactor 1. */
export interface EcpGroup {
  readonly id: number;
  readonly curve: 'P-256' | 'P-384' | 'P-521';
  /** Octets of one coordinate. A public value is x | y, the shared secret is x (RFC 5903 §7). */
  readonly fieldLength: number;
  /** The prime of the field, big-endian. */
  readonly fieldPrime: Uint8Array;
  /** The order n of the generator, big-endian: private values are 1 to n - 1. */
  readonly order: Uint8Array;
}

/** RFC 5903 §3.1 to §3.3. */
export const ECP_GROUPS: readonly EcpGroup[] = [
  {
    id: Dh.ECP_256,
    curve: 'P-256',
    fieldLength: 32,
    fieldPrime: fromHex('ffffffff00000001000000000000000000000000ffffffffffffffffffffffff'),
    order: fromHex('ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551'),
  },
  {
    id: Dh.ECP_384,
    curve: 'P-384',
    fieldLength: 48,
    fieldPrime: fromHex(
      'ffffffffffffffffffffffffffffffffffffffffffffffff fffffffffffffffeffffffff0000000000000000ffffffff',
    ),
    order: fromHex(
      'ffffffffffffffffffffffffffffffffffffffffffffffff c7634d81f4372ddf581a0db248b0a77aecec196accc52973',
    ),
  },
  {
    id: Dh.ECP_521,
    curve: 'P-521',
    fieldLength: 66,
    fieldPrime: fromHex(`01ff${'ff'.repeat(64)}`),
    order: fromHex(
      `01ff${'ff'.repeat(31)} fa51868783bf2f966b7fcc0148f709a5d03bb5c9b8899c47aebb6fb71e91386409`,
    ),
  },
];
