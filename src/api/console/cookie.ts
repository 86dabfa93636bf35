import type { FastifyRequest } from 'fastify';
import { SESSION_SECONDS } from '../auth/sessions.js';

/** The header without which a cookie is not looked at: no page of another origin can send it. */
export const CONSOLE_HEADER = 'x-culvert-console';

/** Browsers keep a cookie with the prefix to this host, and to HTTPS (RFC 6265bis §4.1.3). */
const SECURE_NAME = '__Host-culvert-session';
const PLAIN_NAME = 'culvert-session';
/** Longer cookies are not looked at. */
const MAX_COOKIES = 16_384;

/**
 * The session of a request, as its cookie has it. Undefined also when the request may come from a page of another
 * origin: such a page cannot set the header without asking first, which is refused here, and browsers say by
 * Sec-Fetch-Site and Origin where a request comes from.
 */
export function sessionCookieOf({ headers, host }: FastifyRequest): string | undefined {
  if (headers[CONSOLE_HEADER] === undefined) return undefined;
  const site = headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin') return undefined;
  const { origin } = headers;
  if (origin !== undefined && hostOf(origin) !== host) return undefined;
  const cookies = headers.cookie;
  if (cookies === undefined || cookies.length > MAX_COOKIES) return undefined;
  return cookieOf(cookies, SECURE_NAME) ?? cookieOf(cookies, PLAIN_NAME);
}

/** `Set-Cookie` of a session. `secure`: the browser sees the server by HTTPS. */
export function sessionCookie(token: string, secure: boolean): string {
  return cookie(token, SESSION_SECONDS, secure);
}

/** `Set-Cookie` that takes the session away. */
export function noSessionCookie(secure: boolean): string {
  return cookie('', 0, secure);
}

function cookie(value: string, seconds: number, secure: boolean): string {
  const name = secure ? SECURE_NAME : PLAIN_NAME;
  return `${name}=${value}; Path=/; Max-Age=${seconds}; HttpOnly; SameSite=Strict${secure ? '; Secure' : ''}`;
}

function cookieOf(cookies: string, name: string): string | undefined {
  for (const part of cookies.split(';')) {
    const at = part.indexOf('=');
    if (at > 0 && part.slice(0, at).trim() === name) return part.slice(at + 1).trim();
  }
  return undefined;
}

function hostOf(origin: string): string | undefined {
  return URL.canParse(origin) ? new URL(origin).host : undefined;
}
