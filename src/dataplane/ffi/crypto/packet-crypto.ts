import type { EspKeys, EspSuite } from '../../../crypto/types.js';
import type { EspLayout } from '../../../esp/layout.js';
import type { Spi } from '../../../util/ids.js';
import type { Term } from '../../../util/term.js';

/** Turns inner packets into ESP packets within an arena. One per child SA; offsets are those of the arena. */
export interface PacketSealer {
  readonly layout: EspLayout;
  /**
   * Seals `innerLength` octets at `innerAt` into an ESP packet at `outAt` and answers with its length. The
   * trailer is written after the inner packet, where there must be room for 257 octets; 16 octets in front
   * of it, and 64 after the ESP packet, may be written over, but only until `seal` has returned.
   * The packet may be unfinished until `complete`, or until more packets are sealed.
   * @throws Error when the library fails, which no packet can cause
   */
  seal(innerAt: number, innerLength: number, nextHeader: number, sequence: number, outAt: number): number;
  /** Seals in this term from now on: the upper half of the IVs that a counter makes. 0 until then. */
  enterTerm(term: Term): void;
  /** Finishes all packets that were sealed. @throws Error as `seal` */
  complete(): void;
  /** Forgets the keys. Safe to call twice. */
  free(): void;
}

/** Opens ESP packets within an arena. */
export interface PacketOpener {
  readonly layout: EspLayout;
  /**
   * Checks the ICV of the ESP packet of `length` octets at `packetAt`, which is at least `minimumLength` and
   * aligned, and decrypts it to `outAt`. Returns the octets of plaintext, trailer included, or -1 when
   * the ICV does not verify; nothing at `outAt` may be read then.
   */
  open(packetAt: number, length: number, outAt: number): number;
  /** Forgets the keys. Safe to call twice. */
  free(): void;
}

/** An implementation of all this. Both calls take the keys over and wipe them. */
export interface PacketCrypto {
  /** `evp` or the name of the fallback, for the log. */
  readonly name: string;
  supports(suite: EspSuite): boolean;
  /** @throws RangeError for a suite it lacks or keys that do not fit */
  sealer(suite: EspSuite, spi: Spi, keys: EspKeys): PacketSealer;
  /** @throws RangeError for a suite it lacks or keys that do not fit */
  opener(suite: EspSuite, keys: EspKeys): PacketOpener;
}
