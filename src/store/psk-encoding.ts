import { fromHex, utf8 } from '../util/bytes.js';
import { err, ok, type Result } from '../util/result.js';
import { PSK_LENGTH, pskProblem } from './psk-rule.js';

/** How a gateway's file and its key files write a key down. The API knows texts only. */
export const PSK_ENCODINGS = ['text', 'hex', 'base64'] as const;
/** How the text of a pre-shared key becomes octets. */
export type PskEncoding = (typeof PSK_ENCODINGS)[number];

/**
 * The octets of a key as it is written in a gateway's file. `text` is the API's rule. `hex` and `base64` encode any
 * octets; the prefixes that strongSwan's files have, `0x` and `0s`, may precede them, and white space within
 * them. An error is the rest of a sentence, and contains no character of the key.
 */
export function decodePsk(text: string, encoding: PskEncoding): Result<Uint8Array, string> {
  if (encoding === 'text') {
    const problem = textProblem(text);
    return problem === undefined ? ok(utf8(text)) : err(problem);
  }
  const bare = text.replace(/\s+/g, '');
  const octets = encoding === 'hex' ? hexOctets(bare) : base64Octets(bare);
  if (!octets.ok) return octets;
  const { length } = octets.value;
  if (length >= PSK_LENGTH.min && length <= PSK_LENGTH.max) return octets;
  octets.value.fill(0);
  return err(`stands for ${length} octets: ${PSK_LENGTH.min} to ${PSK_LENGTH.max} are needed`);
}

function textProblem(text: string): string | undefined {
  const prefix = /^0[xs]/.exec(text)?.[0];
  if (prefix !== undefined) {
    const encoding = prefix === '0x' ? 'hex' : 'base64';
    const digits = prefix === '0x' ? 'hexadecimal digits' : 'base64';
    return `begins with ${prefix}, behind which strongSwan has a key in ${digits}: add psk_encoding: ${encoding} when this is one, else choose another beginning`;
  }
  const problem = pskProblem(text);
  if (problem === undefined || !problem.startsWith('holds')) return problem;
  return `${problem}; any other key can be written in hexadecimal or base64, with psk_encoding: hex or base64`;
}

function hexOctets(text: string): Result<Uint8Array, string> {
  const digits = text.replace(/^0x/i, '');
  const bad = digits.search(/[^0-9a-f]/i);
  if (bad >= 0) return err(`holds a character that is no hexadecimal digit, number ${bad + 1} of them`);
  if (digits.length % 2 === 1) return err(`has ${digits.length} hexadecimal digits: two stand for an octet`);
  return ok(fromHex(digits));
}

/** Padded (RFC 4648 §4), so that a key that itself begins with `0s` is distinguished from one after that prefix. */
function base64Octets(text: string): Result<Uint8Array, string> {
  const code = text.length % 4 === 2 ? text.replace(/^0s/, '') : text;
  const bad = code.replace(/={1,2}$/, '').search(/[^A-Za-z0-9+/]/);
  if (bad >= 0)
    return err(`holds a character that is not in base64 (A-Z a-z 0-9 + /), number ${bad + 1} of them`);
  if (code.length % 4 !== 0)
    return err(`has ${code.length} characters of base64: they come in fours, filled up with =`);
  return ok(Uint8Array.from(Buffer.from(code, 'base64')));
}
