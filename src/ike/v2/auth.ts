import { type AuthInput, computePskAuth, verifyPskAuth } from '../../crypto/psk-auth.js';
import { concat } from '../../util/bytes.js';
import type { SecretKey } from '../../util/secret.js';
import type { IdPayload } from '../../wire/ike/payloads.js';
import type { Identity } from '../config.js';
import type { Role } from '../events.js';
import type { IkeSaIn } from './ike-sa.js';
import { intAuthOctets } from './int-auth.js';
import type { IntAuth, Keyed } from './phases.js';
import type { World } from './world.js';

/** The body of an ID payload as it is sent: type, three reserved octets, data (RFC 7296 §3.5). */
export function idBody(id: Identity & { readonly reserved?: number }): Uint8Array {
  const reserved = id.reserved ?? 0;
  return concat(
    Uint8Array.of(id.idType, (reserved >>> 16) & 0xff, (reserved >>> 8) & 0xff, reserved & 0xff),
    id.data,
  );
}

/** What AUTH of both ends is made from (RFC 7296 §2.15): the messages and nonces of IKE_SA_INIT, and its keys. */
export interface AuthBasis {
  /** This end's. */
  readonly role: Role;
  readonly keyed: Keyed;
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
  readonly intAuth: IntAuth | undefined;
}

/** Returns what AUTH payloads are computed from, at the end that initiated (RFC 7296 §2.15). */
export function basisOfInitiator({ phase }: IkeSaIn<'auth-sent'>): AuthBasis {
  const { keyed, init, negotiation, intAuth } = phase;
  return { role: 'initiator', keyed, intAuth, initiatorNonce: negotiation.nonce, ...init };
}

/** Returns what AUTH payloads are computed from, at the end that responded (RFC 7296 §2.15). */
export function basisOfResponder({ phase }: IkeSaIn<'init-answered'>, keyed: Keyed): AuthBasis {
  const { request, response, initiatorNonce, responderNonce } = phase.negotiation;
  const { intAuth } = phase;
  return { role: 'responder', keyed, intAuth, request, response, initiatorNonce, responderNonce };
}

function inputOf(basis: AuthBasis, signer: Role, id: Uint8Array): AuthInput {
  const intermediate = basis.intAuth === undefined ? {} : { intAuth: intAuthOctets(basis.intAuth) };
  return signer === 'initiator'
    ? {
        ...intermediate,
        realMessage: basis.request,
        peerNonce: basis.responderNonce,
        skP: basis.keyed.keys.skPi,
        idBody: id,
      }
    : {
        ...intermediate,
        realMessage: basis.response,
        peerNonce: basis.initiatorNonce,
        skP: basis.keyed.keys.skPr,
        idBody: id,
      };
}

/** This end's AUTH data under its connection's key. */
export function ownAuth(world: World, basis: AuthBasis, id: Identity, psk: SecretKey): Uint8Array {
  const prf = world.ctx.crypto.prf(basis.keyed.suite.prf);
  return computePskAuth(prf, psk, inputOf(basis, basis.role, idBody(id)));
}

/** Whether the peer's AUTH data verify under this key. Compares in constant time. */
export function verifiesPeerAuth(
  world: World,
  basis: AuthBasis,
  id: IdPayload,
  received: Uint8Array,
  psk: SecretKey,
): boolean {
  const prf = world.ctx.crypto.prf(basis.keyed.suite.prf);
  const signer: Role = basis.role === 'initiator' ? 'responder' : 'initiator';
  return verifyPskAuth(prf, psk, inputOf(basis, signer, idBody(id)), received);
}
