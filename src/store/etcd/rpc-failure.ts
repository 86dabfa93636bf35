import { type ServiceError, status } from '@grpc/grpc-js';
import { OperatorError } from '../../util/operator-error.js';
import { StoreError } from '../store.js';

/**
 * What a failed call means: `unreachable` when it had no effect and another endpoint may do it, `unknown` when it may have
 * had its effect or may still have it, `login` when the token has expired, `final` when every endpoint would refuse it.
 */
export type RpcFailureKind = 'unreachable' | 'unknown' | 'login' | 'final';

/** A call that failed at one endpoint. Never leaves the client, which makes a StoreError of it. */
export class RpcFailure extends OperatorError {
  override readonly name = 'RpcFailure';
  readonly kind: RpcFailureKind;
  /** For `final`. */
  readonly refusal: StoreError | undefined;

  constructor(kind: RpcFailureKind, message: string, refusal?: StoreError) {
    super({ what: message });
    this.kind = kind;
    this.refusal = refusal;
  }
}

/** Refused before anything was done, whatever the text says. */
const REFUSED: ReadonlySet<number> = new Set([
  ...[status.INVALID_ARGUMENT, status.NOT_FOUND, status.PERMISSION_DENIED, status.FAILED_PRECONDITION],
  ...[status.OUT_OF_RANGE, status.UNIMPLEMENTED, status.UNAUTHENTICATED],
]);

/** What the answer of an endpoint means. Texts are those of etcd 3.4 to 3.6 (`rpctypes/error.go`). */
export function failureOf({ code, details }: ServiceError, endpoint: string): RpcFailure {
  const said = `${endpoint}: ${details}`;
  if (code === status.UNAUTHENTICATED || details.includes('revision of auth store is old')) {
    return new RpcFailure('login', said);
  }
  // Checked before a request is proposed to the others, because the call carries `hasleader`.
  if (details.includes('no leader')) return new RpcFailure('unreachable', said);
  if (details.includes('future revision')) return new RpcFailure('unreachable', said);
  if (code === status.RESOURCE_EXHAUSTED && details.startsWith('etcdserver:')) {
    if (!details.includes('space exceeded')) return new RpcFailure('unreachable', said);
    return new RpcFailure('final', said, spaceExceeded(said));
  }
  if (!REFUSED.has(code)) return new RpcFailure('unknown', said);
  return new RpcFailure('final', said, refusal(code, details, said));
}

function spaceExceeded(said: string): StoreError {
  return new StoreError(
    'full',
    `etcd has reached its quota (${said})`,
    'compact and defragment it, raise --quota-backend-bytes where needed, then "etcdctl alarm disarm"',
  );
}

function refusal(code: number, details: string, said: string): StoreError {
  if (details.includes('compacted')) {
    return new StoreError('compacted', `etcd no longer has that revision (${said})`, 'read the newest state');
  }
  return new StoreError('refused', `etcd refuses the request (${said})`, remedyOf(code, details));
}

function remedyOf(code: number, details: string): string {
  if (details.includes('authentication is not enabled')) {
    return 'run "etcdctl auth enable", or leave "store.etcd.user" out';
  }
  if (details.includes('invalid user ID or password') || details.includes('user name is empty')) {
    return 'correct "store.etcd.user" and the password in its file, or name a client certificate';
  }
  if (code === status.PERMISSION_DENIED) {
    return "give the user a role that may read and write all keys of the cluster's prefix";
  }
  if (details.includes('too large') || details.includes('too many operations')) {
    return 'leave --max-request-bytes and --max-txn-ops of etcd at their defaults or above';
  }
  return 'check the log of etcd';
}
