import { randomBytes, randomUUID } from 'node:crypto';
import { SecretKey } from '../../util/secret.js';
import type { AuditTrail } from '../audit/trail.js';
import { ApiError } from '../errors.js';
import { type Credential, findCredential } from './credentials.js';
import { type Claims, signToken, verifyToken } from './jwt.js';
import { LoginLimit, networkOf } from './login-limit.js';
import type { Principal } from './principal.js';
import type { RefusalLog } from './refusal-log.js';

/** Who may authenticate, and what signs the tokens that are issued. */
export interface AuthOptions {
  /** Taken as they are in `Authorization: Bearer`. */
  readonly tokens: readonly Credential[];
  /** Exchanged for signed tokens at `/identity/token`. */
  readonly apiKeys: readonly Credential[];
  /** Signs tokens, 32 octets; random when left out, so that tokens end with the server. */
  readonly signingKey?: SecretKey;
  /** Account in the claims. */
  readonly account: string;
}

/** The answer of `/identity/token`, with the field names of OAuth 2.0 (RFC 6749 §5.1). */
export interface IssuedToken {
  readonly access_token: string;
  readonly refresh_token: string;
  readonly token_type: 'Bearer';
  /** Seconds. */
  readonly expires_in: number;
  /** Seconds since 1970. */
  readonly expiration: number;
  readonly scope: string;
}

/** Who has a credential; `key` distinguishes it from an earlier one of the same name. */
export interface Holder extends Principal {
  readonly key: string;
}

/** Kinds of credentials, in the order in which a secret is looked for. */
const KINDS = ['token', 'iam'] as const;

const ACCESS_SECONDS = 3600;
const REFRESH_SECONDS = 30 * 86_400;

/** Finds out who is asking, and hands out signed tokens for API keys. */
export class Authenticator {
  #options: AuthOptions;
  readonly #key: SecretKey;
  readonly #limit = new LoginLimit();
  readonly #log: RefusalLog;
  readonly #audit: AuditTrail;

  constructor(options: AuthOptions, log: RefusalLog, audit: AuditTrail) {
    this.#audit = audit;
    this.#options = options;
    this.#log = log;
    this.#key = options.signingKey ?? new SecretKey(Uint8Array.from(randomBytes(32)));
  }

  /**
   * Takes other tokens, API keys and account. The key that signs tokens stays, and so do tokens whose API key does.
   */
  replace(options: Omit<AuthOptions, 'signingKey'>): void {
    this.#options = options;
  }

  /**
   * The holder of the token in an `Authorization` header.
   * @throws ApiError 401 token_missing or token_invalid; 429 for a wrong token after too many of this address
   */
  authenticate(header: string | undefined, address: string, now: Date): Principal {
    if (header === undefined || header.trim() === '') {
      throw new ApiError(401, 'token_missing', 'the request has no token: send Authorization: Bearer TOKEN', {
        name: 'Authorization',
        type: 'header',
      });
    }
    const token = /^bearer +(\S+)$/i.exec(header.trim())?.[1];
    const principal = token === undefined ? undefined : this.#principalOf(token, now);
    if (principal !== undefined) return principal;
    this.refuse(address, now, 'its token is not valid here, or has expired');
    throw new ApiError(401, 'token_invalid', 'the token is not valid here, or has expired: get a new one', {
      name: 'Authorization',
      type: 'header',
    });
  }

  /** @throws ApiError 400 for a wrong key, 429 after too many failures of this address */
  exchange(apiKey: string, address: string, issuer: string, now: Date): IssuedToken {
    const credential = findCredential(this.#options.apiKeys, apiKey);
    if (credential !== undefined) return this.#issue(credential, address, issuer, now);
    this.refuse(address, now, 'its API key is not known');
    throw new ApiError(400, 'token_invalid', 'the API key is not known');
  }

  /** A new token for a refresh token. @throws ApiError as `exchange` */
  refresh(token: string, address: string, issuer: string, now: Date): IssuedToken {
    const claims = this.verify(token, now);
    const credential =
      typeof claims === 'object' && claims.typ === 'refresh'
        ? this.#withKey('iam', claims.id, claims.key)
        : undefined;
    if (credential !== undefined) return this.#issue(credential, address, issuer, now);
    this.refuse(address, now, 'its refresh token is not valid');
    throw new ApiError(400, 'token_invalid', 'the refresh token is not valid');
  }

  /**
   * The holder of a token or API key, as a person enters it at a login.
   * @throws ApiError 401 token_invalid; 429 for a wrong one after too many of this address
   */
  identify(secret: string, address: string, now: Date): Holder {
    for (const by of KINDS) {
      const found = findCredential(this.#credentialsOf(by), secret);
      if (found !== undefined) return holderOf(found, by);
    }
    this.refuse(address, now, 'its token or API key is not known');
    const message = 'this is no token or API key of the server: "culvert token" makes one for its file';
    throw new ApiError(401, 'token_invalid', message, { name: 'secret', type: 'field' });
  }

  /** The same holder as the configuration has it now; undefined when the credential is gone, or another one. */
  holder({ name, by, key, role }: Holder): Holder | undefined {
    if (by === 'console') return { name, by, key, role };
    const found = this.#withKey(by, name, key);
    return found && holderOf(found, by);
  }

  /** The holder that a principal is; one who may open the Unix socket needs no credential. */
  holderOf({ name, by, role }: Principal): Holder | undefined {
    if (by === 'socket' || by === 'console') return { name, by: 'console', role, key: '' };
    const found = this.#credentialsOf(by).find((one) => one.name === name);
    return found && { ...holderOf(found, by), role };
  }

  /** Names and roles of all that may log in. */
  credentials(): readonly Pick<Holder, 'name' | 'role' | 'by'>[] {
    return KINDS.flatMap((by) => this.#credentialsOf(by).map(({ name, role }) => ({ name, role, by })));
  }

  /** Signs claims as those of tokens are. */
  sign(claims: Claims): string {
    return signToken(claims, this.#key);
  }

  /** The claims that `sign` signed; else why not. */
  verify(token: string, now: Date): ReturnType<typeof verifyToken> {
    return verifyToken(token, this.#key, seconds(now));
  }

  /** Notes in the audit trail that a login began or was ended. */
  noteLogin(verb: 'create' | 'delete', { name, role, by }: Principal, address: string, now: Date): void {
    const action = `culvert.login.${verb}`;
    this.#audit.login({
      ...{ at: now.toISOString(), action, outcome: 'success' },
      initiator: { name, role, by, address },
    });
  }

  /** The credentials of a kind; none for those who are known without one. */
  #credentialsOf(by: Principal['by']): readonly Credential[] {
    const { tokens, apiKeys } = this.#options;
    return by === 'token' ? tokens : by === 'iam' ? apiKeys : [];
  }

  #principalOf(token: string, now: Date): Principal | undefined {
    const fixed = findCredential(this.#options.tokens, token);
    if (fixed !== undefined) return { name: fixed.name, role: fixed.role, by: 'token' };
    const claims = this.verify(token, now);
    // Refresh tokens and sessions have a type, and are for other doors.
    if (typeof claims !== 'object' || claims.typ !== undefined) return undefined;
    // The role is that of the key today: a key that was withdrawn takes its tokens with it.
    const holder = this.#withKey('iam', claims.id, claims.key);
    return holder && { name: holder.name, role: holder.role, by: 'iam' };
  }

  /** That of a name, as long as it is the very one that `key` is the fingerprint of. */
  #withKey(by: Principal['by'], name: unknown, key: unknown): Credential | undefined {
    return this.#credentialsOf(by).find((one) => one.name === name && fingerprint(one.hash) === key);
  }

  #issue(credential: Credential, address: string, issuer: string, now: Date): IssuedToken {
    const { name, role } = credential;
    this.noteLogin('create', { name, role, by: 'iam' }, address, now);
    const iat = seconds(now);
    const exp = iat + ACCESS_SECONDS;
    // `id`, `account.bss`, `iss` and the times are what SDKs and Terraform read.
    const common = {
      iam_id: credential.name,
      id: credential.name,
      realmid: 'culvert',
      identifier: credential.name,
      sub: credential.name,
      sub_type: 'ServiceId',
      account: { valid: true, bss: this.#options.account },
      iss: issuer,
      key: fingerprint(credential.hash),
      iat,
      jti: randomUUID(),
    };
    const grant = 'urn:ibm:params:oauth:grant-type:apikey';
    const scope = 'ibm openid';
    const access = { ...common, exp, grant_type: grant, scope, client_id: 'default' };
    const refresh = { ...common, exp: iat + REFRESH_SECONDS, typ: 'refresh' };
    return {
      access_token: this.sign(access),
      refresh_token: this.sign(refresh),
      token_type: 'Bearer',
      expires_in: ACCESS_SECONDS,
      expiration: exp,
      scope,
    };
  }

  /** Counts and logs a failed login. @throws ApiError 429 after too many of this address */
  refuse(address: string, now: Date, why: string): void {
    this.#log.login(networkOf(address), why, now.getTime());
    const wait = this.#limit.failed(address, now.getTime());
    if (wait === 0) return;
    const message = `too many failed logins from this address: try again in ${wait} s`;
    throw new ApiError(429, 'too_many_requests', message, undefined, { 'retry-after': String(wait) });
  }
}

function holderOf({ name, role, hash }: Credential, by: Principal['by']): Holder {
  return { name, role, by, key: fingerprint(hash) };
}

function seconds(now: Date): number {
  return Math.floor(now.getTime() / 1000);
}

/** Binds a token to the very key it was given for, not only to the key's name. */
function fingerprint(hash: string): string {
  return hash.slice(-16);
}
