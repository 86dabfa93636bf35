import type { StatusDocument } from '../../connection/status.js';
import type { KeyLine } from '../../telemetry/capture/wireshark-keys.js';
import type { EventDocument } from '../../telemetry/events/event-document.js';
import { OperatorError } from '../../util/operator-error.js';

/**
 * The control protocol: one JSON object per line over a Unix stream socket, in both directions.
 *
 *     → {"id":1,"method":"up","params":{"name":"to-site-b","wait":true}}
 *     ← {"event":"progress","id":1,"message":"…"}         any number of times, before the answer
 *     ← {"id":1,"result":{…}}   or   {"id":1,"error":{"code":"…","message":"…"}}
 *     ← {"event":"capture","id":1,"file":"…"}           further octets of the file in base64; lines of key tables as "keys"
 *     ← {"event":"status","status":{…}}                   after `watch`, whenever something changed
 *     ← {"event":"event","id":1,"document":{…}}           for `events`, see docs/events.md
 *
 * Answers may come in another order than their requests; `id` is whatever the client chose. The methods are in
 * methods.ts.
 */
export interface ControlMessage {
  readonly id?: number | string | null;
  readonly result?: unknown;
  readonly error?: { readonly code: ControlErrorCode; readonly message: string };
  readonly event?: string;
  readonly status?: StatusDocument;
  readonly document?: EventDocument;
  readonly message?: string;
  readonly file?: string;
  readonly keys?: readonly KeyLine[];
}

/** Why a request failed, as `error.code` carries it on the control socket. */
export type ControlErrorCode =
  | 'bad_request'
  | 'unknown_method'
  /** No connection of this name is configured. */
  | 'not_found'
  /** The configuration forbids it: administratively down. */
  | 'refused'
  /** It was tried and did not work. */
  | 'failed'
  /** The address of the gateway could not be given to the machine. */
  | 'no_address'
  | 'too_large'
  /** The daemon is not ready yet. */
  | 'starting'
  | 'internal_error';

/** An answer in the negative, on both ends of the socket. */
export class ControlError extends OperatorError {
  override readonly name = 'ControlError';
  readonly code: ControlErrorCode;

  constructor(code: ControlErrorCode, message: string) {
    super({ what: message });
    this.code = code;
  }
}

/** Octets of the longest request; a status document in an answer may be longer. */
export const MAX_REQUEST = 64 * 1024;
export const MAX_ANSWER = 16 * 1024 * 1024;

/** Cuts a stream into lines, and refuses lines that are too long before they fill the memory. */
export class LineSplitter {
  readonly #max: number;
  readonly #decoder = new TextDecoder();
  #rest = '';

  constructor(max: number) {
    this.#max = max;
  }

  /** The whole lines so far, without line feed and without blank ones. @throws ControlError too_large */
  push(chunk: Uint8Array): string[] {
    const lines = (this.#rest + this.#decoder.decode(chunk, { stream: true })).split('\n');
    this.#rest = lines.pop() ?? '';
    if (this.#rest.length > this.#max || lines.some((line) => line.length > this.#max)) {
      this.#rest = '';
      throw new ControlError('too_large', `a line is longer than ${this.#max} characters`);
    }
    return lines.filter((line) => line.trim() !== '');
  }
}
