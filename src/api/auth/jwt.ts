import { createHmac, timingSafeEqual } from 'node:crypto';
import type { SecretKey } from '../../util/secret.js';

/** Claims of a JSON Web Token (RFC 7519); times are in seconds. */
export interface Claims {
  readonly iat: number;
  readonly exp: number;
  readonly [claim: string]: unknown;
}

const HEADER = { typ: 'JWT', alg: 'HS256' } as const;
/** Longer texts are not looked at. */
const MAX_CHARACTERS = 4096;

/** A token in compact form, signed with HMAC-SHA-256 (RFC 7515, RFC 7518 §3.2). */
export function signToken(claims: Claims, key: SecretKey): string {
  const signed = `${encode(HEADER)}.${encode(claims)}`;
  return `${signed}.${mac(signed, key).toString('base64url')}`;
}

/** The claims of a token with a good signature that has not expired; else why not. */
export function verifyToken(
  token: string,
  key: SecretKey,
  nowSeconds: number,
): Claims | 'malformed' | 'forged' | 'expired' {
  if (token.length > MAX_CHARACTERS) return 'malformed';
  const parts = token.split('.');
  if (parts.length !== 3) return 'malformed';
  const [header, payload, signature] = parts as [string, string, string];
  const expected = mac(`${header}.${payload}`, key);
  const given = Buffer.from(signature, 'base64url');
  if (given.length !== expected.length || !timingSafeEqual(given, expected)) return 'forged';
  // Signed by us, so the header is ours too: a token that names another algorithm never gets here.
  const claims = JSON.parse(Buffer.from(payload, 'base64url').toString('utf8')) as Claims;
  return claims.exp > nowSeconds ? claims : 'expired';
}

function mac(text: string, key: SecretKey): Buffer {
  return createHmac('sha256', key.expose()).update(text, 'latin1').digest();
}

function encode(value: object): string {
  return Buffer.from(JSON.stringify(value), 'utf8').toString('base64url');
}
