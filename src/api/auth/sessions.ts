import { randomUUID } from 'node:crypto';
import { ApiError } from '../errors.js';
import type { Authenticator, Holder } from './authenticator.js';
import { hashSecret, newSecret } from './credentials.js';
import type { Principal, Role } from './principal.js';

/** Seconds of a session, from login on; being used does not lengthen it. */
export const SESSION_SECONDS = 12 * 3600;
/** Seconds in which a login link opens a session. */
const LINK_SECONDS = 120;
/** Links that are open at once; the oldest is removed for one more. */
const MAX_LINKS = 100;
/** Sessions that were ended before their time and are remembered; the oldest go first. */
const MAX_ENDED = 10_000;

/** `typ` in the claims of a session. */
const SESSION = 'session';

/** A session as a request brings it. */
export interface Session {
  readonly principal: Principal;
  readonly expiresAt: Date;
}

/** A session that was opened: `token` is what the cookie contains. */
export interface OpenedSession extends Session {
  readonly token: string;
}

/** What opens one session within a short time. */
export interface LoginCode {
  readonly code: string;
  readonly expiresAt: Date;
}

/**
 * Logins of the console. A session is a signed token, so that it outlives a restart of the server; what it may do
 * follows the credential it was opened with as that is today, and it ends with that credential.
 */
export class Sessions {
  readonly #auth: Authenticator;
  /** Ids of sessions that were ended, with the second in which they would have expired. */
  readonly #ended = new Map<string, number>();
  /** Open login codes by their hash. */
  readonly #links = new Map<string, { readonly holder: Holder; readonly expires: number }>();

  constructor(auth: Authenticator) {
    this.#auth = auth;
  }

  /** Opens one for a token or API key. @throws ApiError 401 for a wrong one; 429 after too many of this address */
  login(secret: string, address: string, now: Date): OpenedSession {
    return this.#open(this.#auth.identify(secret, address, now), address, now);
  }

  /** Opens one for the code of a login link, once. @throws ApiError 401 for a wrong one; 429 as `login` */
  redeem(code: string, address: string, now: Date): OpenedSession {
    const key = hashSecret(code);
    const link = this.#links.get(key);
    this.#links.delete(key);
    const holder = link !== undefined && link.expires > seconds(now) ? this.#current(link.holder) : undefined;
    if (holder !== undefined) return this.#open(holder, address, now);
    this.#auth.refuse(address, now, 'its login link is not valid, or was used');
    throw new ApiError(
      401,
      'token_invalid',
      'the login link was used already, or is too old: get a new one with culvert console',
    );
  }

  /** A code for a login link. It opens a session of the one who asks, with the lesser of both roles. */
  link(holder: Holder, role: Role, now: Date): LoginCode {
    const expires = seconds(now) + LINK_SECONDS;
    for (const [key, link] of this.#links) {
      if (link.expires <= seconds(now) || this.#links.size >= MAX_LINKS) this.#links.delete(key);
    }
    const code = newSecret();
    this.#links.set(hashSecret(code), { holder: { ...holder, role: lesser(holder.role, role) }, expires });
    return { code, expiresAt: new Date(expires * 1000) };
  }

  /**
   * The session of a cookie.
   * @throws ApiError 401 for one that has expired, was ended, or whose credential is gone; for a forged one as for a
   * wrong token, with 429 after too many
   */
  read(token: string, address: string, now: Date): Session {
    const claims = this.#auth.verify(token, now);
    if (claims === 'malformed' || claims === 'forged') {
      this.#auth.refuse(address, now, 'its session is not one of this server');
      throw expired();
    }
    if (claims === 'expired' || claims.typ !== SESSION || this.#ended.has(String(claims.jti)))
      throw expired();
    const { id, by, role, key } = claims as unknown as { id: string } & Pick<Holder, 'by' | 'role' | 'key'>;
    const holder = this.#current({ name: id, by, role, key });
    if (holder === undefined) throw expired();
    const { name } = holder;
    return { principal: { name, role: holder.role, by }, expiresAt: new Date(claims.exp * 1000) };
  }

  /** Ends a session before its time; does nothing for what is none. */
  end(token: string, address: string, now: Date): void {
    const claims = this.#auth.verify(token, now);
    if (typeof claims === 'string' || claims.typ !== SESSION) return;
    for (const [id, exp] of this.#ended) {
      if (exp <= seconds(now) || this.#ended.size >= MAX_ENDED) this.#ended.delete(id);
      else break;
    }
    this.#ended.set(String(claims.jti), claims.exp);
    const { id: name, by, role } = claims as unknown as { id: string } & Pick<Holder, 'by' | 'role'>;
    this.#auth.noteLogin('delete', { name, by, role }, address, now);
  }

  #open(holder: Holder, address: string, now: Date): OpenedSession {
    const { name, by, role, key } = holder;
    this.#auth.noteLogin('create', { name, by, role }, address, now);
    const iat = seconds(now);
    const exp = iat + SESSION_SECONDS;
    const token = this.#auth.sign({ typ: SESSION, id: name, by, role, key, jti: randomUUID(), iat, exp });
    return { token, principal: { name, role, by }, expiresAt: new Date(exp * 1000) };
  }

  /** As the credential is today, in no greater role than at the login. */
  #current(holder: Holder): Holder | undefined {
    const today = this.#auth.holder(holder);
    return today && { ...today, role: lesser(today.role, holder.role) };
  }
}

function lesser(a: Role, b: Role): Role {
  return a === 'viewer' ? a : b;
}

function seconds(now: Date): number {
  return Math.floor(now.getTime() / 1000);
}

function expired(): ApiError {
  return new ApiError(401, 'token_invalid', 'the login has expired, or was ended: log in again');
}
