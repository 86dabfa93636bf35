import { equalConstantTime } from '../../crypto/compare.js';
import { hash1, hash2, hash3 } from '../../crypto/keymat-v1.js';
import type { DhError } from '../../crypto/types.js';
import { compareBytes, copyOf, readU32 } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import { describeSelector } from '../../wire/ike/describe.js';
import { Dh } from '../../wire/ike/registry.js';
import type { V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, V1Notify, V1Protocol } from '../../wire/ike/v1/registry.js';
import { type ConnectionConfig, connectionName } from '../config.js';
import type { Failure } from '../events.js';
import { natTraversalUnsupported } from '../path/carriage.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import { sameIdentity } from '../policy/identity.js';
import { selectEspV1, type V1EspSelection } from '../policy/proposals-v1.js';
import {
  allowsPair,
  hostSelector,
  pairMismatch,
  samePair,
  selectorOfIdentity,
} from '../policy/quick-identities-v1.js';
import { isUdpTunnel, lacksKeyLength } from '../policy/transforms-v1.js';
import { noteQuirk } from '../quirks.js';
import { tooManyChildren } from '../sa/child-limit.js';
import { releaseSpi, reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { Retransmission } from '../sa/retransmission.js';
import { establishChild, installChild, isPeerSpiInUse } from './children.js';
import { quickFailure } from './failures.js';
import { heard, type UpSa } from './isakmp-sa.js';
import type { IvChain } from './protect.js';
import { done, noncesOf, type QuickAnswered, type QuickSent } from './quick.js';
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
import { childrenOf, drop, find, type Inbound, only, type World } from './world.js';

/** Quick modes of one ISAKMP SA that are remembered at once. */
const MAX_QUICKS = 256;
/** How long our own quick mode for a pair goes before one that the peer began at the same time. */
const OWN_FIRST: Millis = 5_000;

interface Refusal {
  readonly type: number;
  readonly failure: Failure;
}

interface Granted {
  readonly pair: NetworkPair;
  readonly selection: V1EspSelection;
  /** The peer's. */
  readonly nonce: Uint8Array;
  /** The peer's public value, with PFS. */
  readonly ke: Uint8Array | undefined;
}

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
    // Both ends began at once: the one with the higher nonce goes on, the other one is not answered.
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

function grant(world: World, sa: UpSa, payloads: readonly V1Payload[]): Result<Granted, Refusal> {
  const { connection } = sa;
  const [offered, nonce] = [only(payloads, 'sa'), only(payloads, 'nonce')];
  if (offered === undefined || nonce === undefined) {
    const failure = quickFailure(
      'invalid_syntax',
      'message 1 of quick mode has not exactly one SA and nonce payload',
    );
    return err({ type: V1Notify.PAYLOAD_MALFORMED, failure });
  }
  const { budget } = world.ctx;
  if (!budget.hasPlace(connection.id)) {
    // No notification of IKEv1 says that there are too many; this one ends the attempt.
    const failure = tooManyChildren(budget.childLimit(connection.id));
    return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure });
  }
  const pair = proposedPair(sa, payloads);
  if (!pair.ok) return err({ type: V1Notify.INVALID_ID_INFORMATION, failure: pair.error });
  if (!allowsPair(connection, pair.value)) {
    const [local, peer] = [describeSelector(pair.value.local), describeSelector(pair.value.peer)];
    const asked = `the peer asks for ${peer} at its side and ${local} at ours`;
    const meant = twinWith(world, connection, pair.value);
    const message =
      meant === undefined
        ? `${asked}, which is not configured here: its local and remote CIDRs must mirror ours`
        : `${asked}, which connection ${connectionName(meant)} has; but its IKE identities are those of connection ${connectionName(connection)}, to which an ISAKMP SA belongs as a whole (RFC 2409 §5.4): let the peer use IKEv2, put all networks into one connection, or give one of the two other IKE identities`;
    const failure = pairMismatch(connection, { local, peer }, message);
    return err({ type: V1Notify.INVALID_ID_INFORMATION, failure });
  }
  const selection = selectEspV1(connection.espProposals, offered.proposals);
  if (!selection.ok) return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure: selection.error });
  if (connection.encapsulation === 'always' && !isUdpTunnel(selection.value.mode)) {
    return err({ type: V1Notify.NO_PROPOSAL_CHOSEN, failure: natTraversalUnsupported('QUICK_MODE') });
  }
  if (isPeerSpiInUse(world, connection.id, readU32(selection.value.peerSpi, 0))) {
    const failure = quickFailure('invalid_syntax', 'the peer offers the SPI of an ESP SA that stands');
    return err({ type: V1Notify.INVALID_SPI, failure });
  }
  const { dh } = selection.value.suite;
  const granted = { pair: pair.value, selection: selection.value, nonce: copyOf(nonce.data) };
  if (dh === Dh.NONE) return ok({ ...granted, ke: undefined });
  const ke = find(payloads, 'ke')?.data;
  if (ke?.length !== world.ctx.crypto.dh(dh).publicLength) {
    const failure = quickFailure(
      'invalid_syntax',
      'the peer offers PFS without a public value of that group',
    );
    return err({ type: V1Notify.INVALID_KEY_INFORMATION, failure });
  }
  return ok({ ...granted, ke });
}

/**
 * Another connection that allows the pair and that main mode could not tell from this one. IKEv2 learns the
 * networks together with the identities and chooses by them; version 1 learns them when the choice is made.
 */
function twinWith(
  world: World,
  { id, local, peer }: ConnectionConfig,
  pair: NetworkPair,
): ConnectionConfig | undefined {
  return world.ctx.config.connections.find(
    (one) =>
      one.id !== id &&
      one.adminUp &&
      one.acceptVersions.includes(1) &&
      sameIdentity(one.local.identity, local.identity) &&
      sameIdentity(one.peer.identity, peer.identity) &&
      allowsPair(one, pair),
  );
}

/** IDci is the initiator's network, IDcr ours; without them the two gateways are meant (RFC 2409 §5.5). */
function proposedPair(sa: UpSa, payloads: readonly V1Payload[]): Result<NetworkPair, Failure> {
  const ids = payloads.flatMap((one) => (one.kind === 'id' ? [one] : []));
  if (ids.length === 0) {
    return ok({ local: hostSelector(sa.local.address), peer: hostSelector(sa.remote.address) });
  }
  const [peer, local] = ids.map(selectorOfIdentity);
  if (ids.length === 2 && typeof peer === 'object' && typeof local === 'object') return ok({ local, peer });
  const words = [peer, local].find((one) => typeof one === 'string') ?? `${ids.length} identities`;
  return err(pairMismatch(sa.connection, undefined, `the peer proposes ${words} for quick mode`));
}

/** Message 2: HDR*, HASH(2), SA, Nr, [KE,] IDci, IDcr. The SAs receive from now on. */
function answer(
  world: World,
  sa: UpSa,
  message: Inbound,
  taken: Granted & {
    readonly chain: IvChain;
    readonly payloads: readonly V1Payload[];
  },
): void {
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
  const { seconds } = selection.lifetimes;
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
    peerSeconds: seconds,
  });
  const ids = taken.payloads.filter((one) => one.kind === 'id');
  const ourShorter = (seconds ?? Number.POSITIVE_INFINITY) > connection.childLifetime;
  const payloads: V1Payload[] = [
    { kind: 'sa', proposals: [{ ...selection.answer, spi: spiBytes(spiIn) }] },
    { kind: 'nonce', data: responderNonce },
    ...(agreed.value === undefined ? [] : [{ kind: 'ke', data: agreed.value.publicValue } as const]),
    ...ids,
    ...(ourShorter
      ? [
          notify(V1Notify.RESPONDER_LIFETIME, {
            protocol: V1Protocol.ESP,
            spi: spiBytes(spiIn),
            data: encodeLifetime('ipsec', connection.childLifetime),
          }),
        ]
      : []),
  ];
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

/** Tells the peer, protected, and keeps the refusal for repetitions of the request. */
function refuse(
  world: World,
  sa: UpSa,
  message: Inbound,
  payloads: readonly V1Payload[],
  { type, failure }: Refusal,
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
