import { copyOf, toHex } from '../../util/bytes.js';
import type { Payload } from '../../wire/ike/payloads.js';
import { NotifyType } from '../../wire/ike/registry.js';
import type { ConnectionConfig } from '../config.js';
import type { Failure } from '../events.js';
import { detectNat, natDetectionNotifies } from '../nat-detection.js';
import { candidatesByAddress, isConfiguredPeer, versionMismatch } from '../policy/lookup.js';
import { type IkeSelection, selectIke } from '../policy/proposals.js';
import { failSa } from './close.js';
import { failure } from './failures.js';
import { IkeSa } from './ike-sa.js';
import { freshIkeSpi } from './init-initiator.js';
import { keyFirstSa } from './keys.js';
import { find, findNotify, hasExactlyOne, invalidKe, notify } from './payloads.js';
import { reply, replyStateless, respond } from './send.js';
import { vendorNames } from './vendors.js';
import { drop, type Inbound, type World } from './world.js';

const NONCE_LENGTH = 32;

/** A request for a new IKE SA: from anyone, so the cheap checks come first and the DH value last (RFC 7296 §2.6). */
export function initRequested(world: World, message: Inbound): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const source = datagram.remote.address;
  const key = `${toHex(header.initiatorSpi)}@${source}`;
  const known = world.byFirstRequest.get(key);
  if (known !== undefined) {
    world.table.touch(known);
    // Its answer is as long as the request: no more of them than cookies.
    if (!world.crowded || world.crowdedCookies.take(ctx.now)) repeat(world, known, message);
    return;
  }
  if (ctx.shuttingDown) {
    drop(world, datagram, 'unexpected', 'the engine is shutting down');
    return;
  }
  if (header.messageId !== 0 || header.initiatorSpi.every((octet) => octet === 0)) {
    drop(world, datagram, 'malformed', 'IKE_SA_INIT with a wrong message id or without initiator SPI');
    return;
  }
  if (!hasExactlyOne(payloads, 'sa', 'ke', 'nonce')) {
    refuse(world, message, notify(NotifyType.INVALID_SYNTAX), {
      cause: 'invalid_syntax',
      message: 'the peer sent IKE_SA_INIT without exactly one SA, KE and nonce payload',
    });
    return;
  }
  if (!admit(world, message, find(payloads, 'nonce')!.data)) return;
  const candidates = candidatesByAddress(ctx.config, datagram.local.address, source, 2, 'responder');
  const mismatch = versionMismatch(ctx.config, datagram.local.address, source, 2);
  if (candidates.length === 0 && mismatch !== undefined) {
    const why = notify(NotifyType.INVALID_MAJOR_VERSION);
    refuse(world, message, why, mismatch.failure, mismatch.connection);
    return;
  }
  const selection = select(candidates, find(payloads, 'sa')!.proposals);
  if (!selection.ok) {
    refuse(world, message, notify(NotifyType.NO_PROPOSAL_CHOSEN), selection.error, selection.connection);
    return;
  }
  const { suite } = selection.value;
  const ke = find(payloads, 'ke')!;
  if (ke.group !== suite.dh) {
    replyStateless(world, message, [invalidKe(suite.dh)]);
    return;
  }
  const group = ctx.crypto.dh(suite.dh);
  if (ke.data.length !== group.publicLength) {
    refuse(world, message, notify(NotifyType.INVALID_SYNTAX), {
      cause: 'invalid_syntax',
      message: `the peer's public value has ${ke.data.length} octets, group ${suite.dh} takes ${group.publicLength}`,
    });
    return;
  }
  answer(world, message, key, candidates, selection.value);
}

/** The answer was lost, or the request was copied on its way. */
function repeat(world: World, sa: IkeSa, message: Inbound): void {
  const bytes = sa.inbound.answerTo(message.datagram.bytes);
  if (bytes !== undefined) {
    sa.firstRepeats++;
    reply(world, message.datagram, bytes);
    return;
  }
  drop(world, message.datagram, 'outside_window', 'an IKE_SA_INIT request of an SA that has gone on');
}

function admit(world: World, message: Inbound, nonce: Uint8Array): boolean {
  const { ctx, halfOpen } = world;
  const { datagram } = message;
  const valid = hasValidCookie(world, message);
  if (world.crowded && !(valid && world.proven.take(datagram.remote.address, ctx.now))) {
    if (!valid && world.crowdedCookies.take(ctx.now)) demandCookie(world, message, nonce);
    else drop(world, datagram, 'rate_limited', 'too many requests for new IKE SAs from this address');
    return false;
  }
  const source = datagram.remote.address;
  const admission = halfOpen.admission(source, valid, () => isConfiguredPeer(ctx.config, source));
  if (admission === 'refuse' || world.table.size - halfOpen.total >= ctx.limits.ikeSas) {
    drop(
      world,
      datagram,
      'half_open_limit',
      `${halfOpen.total} half-open and ${world.table.size} IKE SAs in all`,
    );
    return false;
  }
  if (admission === 'admit') return !isCrowded(world, datagram);
  demandCookie(world, message, nonce);
  return false;
}

/** Whether the request carries a cookie of ours for just this request (RFC 7296 §2.6). */
function hasValidCookie({ cookies, ctx }: World, { payloads, header, datagram }: Inbound): boolean {
  const cookie = findNotify(payloads, NotifyType.COOKIE);
  const nonce = find(payloads, 'nonce')!.data;
  const subject = { nonce, sourceAddress: datagram.remote.address, initiatorSpi: header.initiatorSpi };
  return cookie !== undefined && cookies.verify(cookie.data, subject, ctx.now);
}

function demandCookie(world: World, message: Inbound, nonce: Uint8Array): void {
  const { ctx, cookies, halfOpen } = world;
  const { datagram, header } = message;
  const subject = { nonce, sourceAddress: datagram.remote.address, initiatorSpi: header.initiatorSpi };
  ctx.event({ kind: 'cookie-demanded', peer: datagram.remote, halfOpen: halfOpen.total });
  replyStateless(world, message, [notify(NotifyType.COOKIE, cookies.issue(subject, ctx.now))]);
}

/** Whether this peer address has as many IKE SAs as it may have. */
function isCrowded(world: World, datagram: Inbound['datagram']): boolean {
  const { ikeSasPerPeer } = world.ctx.limits;
  let count = 0;
  for (const sa of world.table.values()) if (sa.remote.address === datagram.remote.address) count++;
  if (count < ikeSasPerPeer) return false;
  drop(world, datagram, 'half_open_limit', `${count} IKE SAs with this peer, which is the limit`);
  return true;
}

type Selected =
  | { readonly ok: true; readonly value: IkeSelection }
  | { readonly ok: false; readonly error: Failure; readonly connection?: string };

/** The first candidate with a proposal in common decides the suite; IKE_AUTH then tells which one is meant. */
function select(candidates: readonly ConnectionConfig[], offered: Parameters<typeof selectIke>[1]): Selected {
  let firstMiss: { readonly error: Failure; readonly connection: string } | undefined;
  for (const connection of candidates) {
    const selection = selectIke(connection.ikeProposals, offered);
    if (selection.ok) return selection;
    firstMiss ??= { error: selection.error, connection: connection.name };
  }
  if (firstMiss !== undefined) return { ok: false, ...firstMiss };
  return {
    ok: false,
    error: failure(
      'no_matching_connection',
      'no connection is configured for this peer address and IKEv2',
      'IKE_SA_INIT',
    ),
  };
}

/** An answer to someone who has proved nothing: given and reported only so often. */
function refuse(world: World, message: Inbound, why: Payload, reason: Failure, connection?: string): void {
  const { datagram } = message;
  if (!world.unauthenticated.take(world.ctx.now)) {
    drop(world, datagram, 'rate_limited', reason.message);
    return;
  }
  world.ctx.event({
    kind: 'ike-failed',
    ...(connection === undefined ? {} : { connection }),
    role: 'responder',
    peer: datagram.remote,
    failure: reason,
  });
  replyStateless(world, message, [why]);
}

function answer(
  world: World,
  message: Inbound,
  key: string,
  candidates: readonly ConnectionConfig[],
  selection: IkeSelection,
): void {
  const { ctx } = world;
  const { header, payloads, datagram } = message;
  const sa = new IkeSa({
    id: ctx.nextId(),
    role: 'responder',
    state: 'init-answered',
    initiatorSpi: copyOf(header.initiatorSpi),
    responderSpi: freshIkeSpi(world),
    local: datagram.local,
    remote: datagram.remote,
    natTraversalPort: datagram.natTraversalPort,
    createdAt: ctx.now,
  });
  ctx.event({ kind: 'ike-responding', ikeId: sa.id, version: 2, peer: sa.remote });
  const finding = detectNat(ctx.crypto, header, payloads, datagram);
  sa.natTraversal = finding.supported;
  sa.nat = { local: finding.local, peer: finding.peer };
  // RFC 7383 §2.3: said only to those who said it.
  sa.fragmentation = findNotify(payloads, NotifyType.IKEV2_FRAGMENTATION_SUPPORTED) !== undefined;
  sa.peerVendors = vendorNames(payloads);
  sa.suite = selection.suite;
  sa.forgetAt = ctx.now + ctx.limits.halfOpenTimeout;
  sa.firstRequestKey = key;
  const dh = ctx.crypto.dh(selection.suite.dh).generate(ctx.random);
  const responderNonce = ctx.random.bytes(NONCE_LENGTH);
  const nat = !finding.supported
    ? []
    : natDetectionNotifies(ctx.crypto, ctx.random, sa, {
        local: datagram.local,
        remote: datagram.remote,
        force: candidates.some((connection) => connection.encapsulation === 'always'),
      });
  world.table.add(sa);
  world.byFirstRequest.set(key, sa);
  const proven = hasValidCookie(world, message);
  world.halfOpen.opened(datagram.remote.address, proven);
  const response = respond(world, sa, message, [
    { kind: 'sa', proposals: [selection.answer] },
    { kind: 'ke', group: dh.group, data: dh.publicValue },
    { kind: 'nonce', data: responderNonce },
    ...nat,
    ...(sa.fragmentation ? [notify(NotifyType.IKEV2_FRAGMENTATION_SUPPORTED)] : []),
  ]);
  sa.responding = {
    dh,
    peerPublic: copyOf(find(payloads, 'ke')!.data),
    initiatorNonce: copyOf(find(payloads, 'nonce')!.data),
    responderNonce,
    request: copyOf(datagram.bytes),
    response,
    candidates,
    source: datagram.remote.address,
    proven,
  };
}

/**
 * Completes the Diffie-Hellman exchange of a half-open SA, once, when the first protected message arrives:
 * whoever only sends first requests costs half of the arithmetic. False when the SA is given up.
 */
export function completeKeys(world: World, sa: IkeSa): boolean {
  if (sa.protection !== undefined) return true;
  const negotiation = sa.responding!;
  const shared = negotiation.dh.agree(negotiation.peerPublic);
  if (!shared.ok) {
    failSa(
      world,
      sa,
      failure(
        'invalid_syntax',
        `the peer's public value is not valid: ${shared.error.message}`,
        'IKE_SA_INIT',
      ),
    );
    return false;
  }
  const nonces = { initiator: negotiation.initiatorNonce, responder: negotiation.responderNonce };
  keyFirstSa(world, sa, sa.suite!, nonces, shared.value);
  return true;
}
