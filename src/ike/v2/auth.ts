import { computePskAuth, verifyPskAuth } from '../../crypto/psk-auth.js';
import { concat } from '../../util/bytes.js';
import type { IdPayload } from '../../wire/ike/payloads.js';
import type { Identity } from '../config.js';
import type { Role } from '../events.js';
import type { IkeSa } from './ike-sa.js';
import type { World } from './world.js';

/** The body of an ID payload as it is sent: type, three reserved octets, data (RFC 7296 §3.5). */
export function idBody(id: Identity & { readonly reserved?: number }): Uint8Array {
  const reserved = id.reserved ?? 0;
  return concat(
    Uint8Array.of(id.idType, (reserved >>> 16) & 0xff, (reserved >>> 8) & 0xff, reserved & 0xff),
    id.data,
  );
}

/** The messages and nonces of IKE_SA_INIT, which both ends' AUTH cover (RFC 7296 §2.15). */
interface InitTranscript {
  readonly request: Uint8Array;
  readonly response: Uint8Array;
  readonly initiatorNonce: Uint8Array;
  readonly responderNonce: Uint8Array;
}

function transcriptOf(sa: IkeSa): InitTranscript {
  const { init, initiating, responding } = sa;
  if (responding !== undefined) return responding;
  if (initiating === undefined || init === undefined) throw new Error('AUTH needs both IKE_SA_INIT messages');
  return { ...init, initiatorNonce: initiating.nonce };
}

function inputOf(sa: IkeSa, signer: Role, id: Uint8Array) {
  const transcript = transcriptOf(sa);
  return signer === 'initiator'
    ? {
        realMessage: transcript.request,
        peerNonce: transcript.responderNonce,
        skP: sa.keys!.skPi,
        idBody: id,
      }
    : {
        realMessage: transcript.response,
        peerNonce: transcript.initiatorNonce,
        skP: sa.keys!.skPr,
        idBody: id,
      };
}

/** This end's AUTH data under its connection's key. */
export function ownAuth(world: World, sa: IkeSa, id: Identity): Uint8Array {
  const prf = world.ctx.crypto.prf(sa.suite!.prf);
  return computePskAuth(prf, sa.connection!.psk, inputOf(sa, sa.role, idBody(id)));
}

/** Whether the peer's AUTH data hold under the key, the connection's as a rule. Compares in constant time. */
export function peerAuthHolds(
  world: World,
  sa: IkeSa,
  id: IdPayload,
  received: Uint8Array,
  psk = sa.connection!.psk,
): boolean {
  const prf = world.ctx.crypto.prf(sa.suite!.prf);
  const signer: Role = sa.role === 'initiator' ? 'responder' : 'initiator';
  return verifyPskAuth(prf, psk, inputOf(sa, signer, idBody(id)), received);
}
