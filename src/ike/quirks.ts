import type { ConnectionId } from '../util/ids.js';
/**
 * What a peer does otherwise than the RFCs have it, and is forgiven since nothing is lost by it. The text is for the
 * operator, who sees it in the status of the connection.
 */
export const QUIRKS = {
  trailing_zeros: 'the peer pads its IKE messages with zero octets that their length field does not count',
  esp_without_esn:
    'the peer leaves out the ESN transform of an ESP proposal: taken as no extended sequence numbers',
  chacha20_key_length: 'the peer gives ChaCha20-Poly1305 a key length, which the cipher does not have',
  spi_in_first_proposal: 'the peer puts an SPI into a proposal of its first IKE message',
  reencrypted_request: 'the peer encrypts a repeated request again instead of sending the same octets again',
  aes_without_key_length: 'the peer names AES without a key length: taken as 128 bits',
  delete_of_other_spi: 'the peer names the SPI of the other direction when it deletes a child SA',
  encrypted_fragments: 'the peer sets the encryption flag on fragments, which are not encrypted themselves',
} as const satisfies Readonly<Record<string, string>>;

/** A deviation of a peer that is tolerated, as the status shows it. */
export type QuirkCode = keyof typeof QUIRKS;

/** What an IKE SA remembers of its peer's quirks; the value says whether the code was reported. */
export type QuirkLedger = Map<QuirkCode, boolean>;

/** An IKE SA of either version. */
export interface QuirkOwner {
  readonly connection: { readonly id: ConnectionId } | undefined;
  readonly quirks: QuirkLedger;
}

interface QuirkSink {
  event(event: { readonly kind: 'quirk'; readonly connection: ConnectionId; readonly code: QuirkCode }): void;
}

/** Reports a quirk once an IKE SA. Before the connection is known it waits for `reportQuirks`. */
export function noteQuirk(sink: QuirkSink, sa: QuirkOwner, code: QuirkCode): void {
  if (sa.quirks.has(code)) return;
  sa.quirks.set(code, false);
  reportQuirks(sink, sa);
}

/** Reports what was noted before the connection of the SA was known. */
export function reportQuirks(sink: QuirkSink, { connection, quirks }: QuirkOwner): void {
  if (connection === undefined) return;
  for (const [code, reported] of quirks) {
    if (reported) continue;
    quirks.set(code, true);
    sink.event({ kind: 'quirk', connection: connection.id, code });
  }
}
