import { equalConstantTime } from '../../crypto/compare.js';
import { hash1, hash2, hash3 } from '../../crypto/keymat-v1.js';
import type { DhError } from '../../crypto/types.js';
import { compareBytes, copyOf, readU32 } from '../../util/bytes.js';
import { ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import type { V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, V1Notify, V1Protocol } from '../../wire/ike/v1/registry.js';
import type { ConnectionConfig } from '../config.js';
import { find } from '../payloads.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import type { V1EspSelection } from '../policy/proposals-v1.js';
import { samePair } from '../policy/quick-identities-v1.js';
import { isUdpTunnel, lacksKeyLength } from '../policy/transforms-v1.js';
import { noteQuirk } from '../quirks.js';
import { releaseSpi, reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { Retransmission } from '../sa/retransmission.js';
import { drop } from '../sa/world.js';
import { establishChild, installChild } from './children.js';
import { quickFailure } from './failures.js';
import { heard, type UpSa } from './isakmp-sa.js';
import type { IvChain } from './protect.js';
import { done, noncesOf, type QuickAnswered, type QuickSent } from './quick.js';
import { type Granted, grant, proposedPair, type QuickRefusal } from './quick-grant.js';
import { REPETITIONS } from './quick-initiator.js';
import { followSource } from './renew.js';
import { encodeLifetime } from './responder-lifetime.js';
import {
  noteExchange,
  notify,
  reportOpened,
  routeOf,
  sealedWithHash,
  sendInformational,
  transmit,
} from './send.js';
import { childrenOf, type Inbound, type World } from './world.js';

/** Quick modes of one ISAKMP SA that are remembered at once. */
const MAX_QUICKS = 256;
/** How long our own quick mode for a pair has priority over one that the peer began at the same time. */
const OWN_FIRST: Millis = 5_000;

/** Message 1: HDR*, HASH(1), SA, Ni, [KE,] [IDci, IDcr] (RFC 2409 §5.5). */
export function quickOffered(world: World, sa: UpSa, message: Inbound, sealed: V1Sealed): void {
  const { ctx } = world;
  const { header, datagram } = message;
  const { messageId } = header;
  if (messageId === 0) {
    drop(world, datagram, 'malformed', 'quick mode without a message id');
    return;
  }
  const { protection, session } = sa.phase;
  const chain = protection.exchange(messageId);
  const opened = protection.open(chain, sealed);
  const first = opened.ok ? opened.value.payloads[0] : undefined;
  if (!opened.ok || first?.kind !== 'hash') {
    drop(world, datagram, 'decryption_failed', 'message 1 of quick mode does not decrypt');
    return;
  }
  const { payloads, plaintext, nextIv } = opened.value;
  const { prf, keys } = protection;
  const expected = hash1(prf, keys.skeyidA, messageId, plaintext.subarray(4 + first.data.length));
  if (!equalConstantTime(expected, first.data)) {
    drop(world, datagram, 'decryption_failed', 'HASH(1) of quick mode does not hold');
    return;
  }
  reportOpened(world, sa, message, payloads);
  if (ctx.shuttingDown) {
    drop(world, datagram, 'unexpected', 'the engine is shutting down');
    return;
  }
  if (ctx.budget.request(sa.connection.id, ctx.now) !== 'serve') {
    drop(world, datagram, 'rate_limited', 'more requests than the peer of one connection may make');
    return;
  }
  if (session.quicks.size >= MAX_QUICKS) {
    drop(world, datagram, 'rate_limited', `${session.quicks.size} quick modes on one ISAKMP SA`);
    return;
  }
  const granted = grant(world, sa, payloads);
  if (!granted.ok) {
    begin(world, sa, messageId);
    refuse(world, sa, message, payloads, granted.error);
    return;
  }
  const { nonce } = granted.value;
  const own = ownFor(sa, granted.value.pair);
  if (own !== undefined) {
    // Both ends began at once: the one with the higher nonce continues, the other one is not answered.
    if (compareBytes(own.initiatorNonce, nonce) > 0 && ctx.now < own.startedAt + OWN_FIRST) {
      drop(world, datagram, 'unexpected', 'our own quick mode for these networks goes first');
      return;
    }
    abandon(world, sa, own);
  }
  begin(world, sa, messageId);
  chain.adopt(nextIv);
  answer(world, sa, message, { ...granted.value, chain, payloads });
}

/** The peer's exchange is taken up: a sign of life, and its message id is used for good. */
function begin(world: World, sa: UpSa, messageId: number): void {
  noteExchange(world, sa, messageId);
  heard(sa, world.ctx.now);
}

/** A copy of our message may still be on its way, and the peer may answer it. */
function abandon(world: World, sa: UpSa, own: QuickSent): void {
  const { messageId, chain, pair, initiatorNonce, spiIn, lastOut } = own;
  own.dh?.wipe();
  const forgetAt = world.ctx.now + REPETITIONS;
  const kept = { messageId, chain, pair, initiatorNonce, spiIn, lastOut };
  sa.phase.session.quicks.set(messageId, { state: 'abandoned', ...kept, forgetAt });
}

/** Our own quick mode for the same networks that is not answered yet. */
function ownFor(sa: UpSa, pair: NetworkPair): QuickSent | undefined {
  for (const one of sa.phase.session.quicks.values())
    if (one.state === 'sent' && samePair(one.pair, pair)) return one;
  return undefined;
}

/** A request that is granted, with what its answer continues. */
interface Taken extends Granted {
  readonly chain: IvChain;
  readonly payloads: readonly V1Payload[];
}

/** Message 2: HDR*, HASH(2), SA, Nr, [KE,] IDci, IDcr. The SAs receive from now on. */
function answer(world: World, sa: UpSa, message: Inbound, taken: Taken): void {
  const { ctx } = world;
  const { pair, selection, ke, nonce, chain } = taken;
  const { messageId } = message.header;
  const { connection } = sa;
  const { protection, session } = sa.phase;
  const agreed = ke === undefined ? ok(undefined) : agree(world, selection.suite.dh, ke);
  if (!agreed.ok) {
    const failure = quickFailure(
      'invalid_syntax',
      `the peer's public value is not valid: ${agreed.error.message}`,
    );
    refuse(world, sa, message, taken.payloads, { type: V1Notify.INVALID_KEY_INFORMATION, failure });
    return;
  }
  if (selection.answer.transforms.some((one) => lacksKeyLength(one, 2)))
    noteQuirk(ctx, sa, 'aes_without_key_length');
  const responderNonce = ctx.random.bytes(NONCE_LENGTH);
  const spiIn = reserveSpi(world, connection.id);
  const order = ctx.nextId();
  const child = installChild(world, sa, {
    pair,
    spiIn,
    spiOut: readU32(selection.peerSpi, 0),
    suite: selection.suite,
    udp: isUdpTunnel(selection.mode),
    nonces: { initiator: nonce, responder: responderNonce },
    shared: agreed.value?.shared,
    initiated: false,
    order,
    kilobytes: selection.lifetimes.kilobytes,
    peerSeconds: selection.lifetimes.seconds,
  });
  const ours = { spiIn, nonce: responderNonce, publicValue: agreed.value?.publicValue };
  const payloads = secondPayloads(connection, taken, ours);
  const { prf, keys } = protection;
  const exchange = { protection, type: V1Exchange.QUICK_MODE, messageId, chain };
  const lastOut = sealedWithHash(world, sa, exchange, payloads, (behind) =>
    hash2(prf, keys.skeyidA, messageId, nonce, behind),
  );
  session.quicks.set(messageId, {
    state: 'answered',
    messageId,
    chain,
    pair,
    initiatorNonce: nonce,
    responderNonce,
    spiIn,
    child,
    lastIn: copyOf(message.datagram.bytes),
    lastOut,
    retransmission: new Retransmission(ctx.limits.retransmit, ctx.now),
  });
  transmit(world, sa, lastOut, routeOf(message.datagram));
}

function secondPayloads(
  connection: ConnectionConfig,
  { selection, payloads }: Taken,
  ours: {
    readonly spiIn: number;
    readonly nonce: Uint8Array;
    readonly publicValue: Uint8Array | undefined;
  },
): V1Payload[] {
  const { spiIn, nonce, publicValue } = ours;
  return [
    { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
    { kind: 'nonce', data: nonce },
    ...(publicValue === undefined ? [] : [{ kind: 'ke', data: publicValue } as const]),
    ...payloads.filter((one) => one.kind === 'id'),
    ...shorterLifetime(connection, selection, spiIn),
  ];
}

/** RESPONDER-LIFETIME, where ours is the shorter one (RFC 2407 §4.6.3.1). */
function shorterLifetime(
  { childLifetime }: ConnectionConfig,
  { lifetimes }: V1EspSelection,
  spiIn: number,
): V1Payload[] {
  if ((lifetimes.seconds ?? Number.POSITIVE_INFINITY) <= childLifetime) return [];
  const data = encodeLifetime('ipsec', childLifetime);
  return [notify(V1Notify.RESPONDER_LIFETIME, { protocol: V1Protocol.ESP, spi: spiBytes(spiIn), data })];
}

interface Agreed {
  readonly publicValue: Uint8Array;
  /** g^xy. */
  readonly shared: SecretKey;
}

/** g^xy of the peer's public value and one of ours. */
function agree({ ctx }: World, group: number, theirs: Uint8Array): Result<Agreed, DhError> {
  const dh = ctx.crypto.dh(group).generate(ctx.random);
  const publicValue = copyOf(dh.publicValue);
  const shared = dh.agree(theirs);
  dh.wipe();
  return shared.ok ? ok({ publicValue, shared: shared.value }) : shared;
}

/** Notifies the peer, protected, and keeps the refusal for repetitions of the request. */
function refuse(
  world: World,
  sa: UpSa,
  message: Inbound,
  payloads: readonly V1Payload[],
  { type, failure }: QuickRefusal,
): void {
  const { ctx } = world;
  const { messageId } = message.header;
  const spi = find(payloads, 'sa')?.proposals[0]?.spi ?? new Uint8Array(0);
  const lastOut = sendInformational(world, sa, [notify(type, { protocol: V1Protocol.ESP, spi })]);
  const pair = proposedPair(sa, payloads);
  // Version 1 does not say what is rekeyed: a quick mode for networks that an ESP SA carries is to replace that one.
  const old = childrenOf(world, sa.connection.id).find(
    (child) => child.state === 'current' && pair.ok && samePair(child.pair, pair.value),
  );
  const lastIn = copyOf(message.datagram.bytes);
  const forgetAt = ctx.now + REPETITIONS;
  sa.phase.session.quicks.set(messageId, {
    state: 'done',
    messageId,
    spiIn: undefined,
    lastIn,
    lastOut,
    forgetAt,
  });
  ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: 'responder',
    failure,
    ...(old === undefined ? {} : { rekeys: old.id }),
  });
}

/** Message 3: HDR*, HASH(3). */
export function quickConfirmed(
  world: World,
  sa: UpSa,
  quick: QuickAnswered,
  message: Inbound,
  sealed: V1Sealed,
): void {
  const { datagram } = message;
  const { protection } = sa.phase;
  const opened = protection.open(quick.chain, sealed);
  const first = opened.ok ? opened.value.payloads[0] : undefined;
  if (!opened.ok || first?.kind !== 'hash') {
    drop(world, datagram, 'decryption_failed', 'message 3 of quick mode does not decrypt');
    return;
  }
  const expected = hash3(protection.prf, protection.keys.skeyidA, quick.messageId, noncesOf(quick));
  if (!equalConstantTime(expected, first.data)) {
    drop(world, datagram, 'decryption_failed', 'HASH(3) of quick mode does not hold');
    return;
  }
  reportOpened(world, sa, message, opened.value.payloads);
  quick.chain.adopt(opened.value.nextIv);
  heard(sa, world.ctx.now);
  // HASH(3) covers the nonce of this exchange that this end chose: it cannot have been recorded before.
  if (datagram.natTraversalPort) followSource(world, sa, datagram.remote);
  confirm(world, sa, quick);
}

/** The initiator has the SAs: by message 3, or shown by ESP traffic on them. */
export function confirm(world: World, sa: UpSa, quick: QuickAnswered): void {
  const { child } = quick;
  sa.phase.session.quicks.set(quick.messageId, done(quick, world.ctx.now + REPETITIONS));
  if (world.children.has(child.id)) establishChild(world, sa, child);
  else releaseSpi(world, child.spiIn);
}
