import { equalConstantTime } from '../../crypto/compare.js';
import { hash1, hash2, hash3 } from '../../crypto/keymat-v1.js';
import { copyOf, readU32 } from '../../util/bytes.js';
import { err, ok, type Result } from '../../util/result.js';
import type { SecretKey } from '../../util/secret.js';
import type { Millis, Seconds } from '../../util/units.js';
import { NONCE_LENGTH } from '../../wire/ike/constants.js';
import { describeSelector } from '../../wire/ike/describe.js';
import { Dh } from '../../wire/ike/registry.js';
import type { V1Payload, V1Sealed } from '../../wire/ike/v1/payloads.js';
import { V1Exchange, V1Mode, V1Notify, V1Protocol } from '../../wire/ike/v1/registry.js';
import type { Failure } from '../events.js';
import type { DatagramInput } from '../inputs.js';
import { espForm } from '../path/carriage.js';
import { find, only } from '../payloads.js';
import type { NetworkPair } from '../policy/carried-pairs.js';
import { acceptEspAnswerV1, espOfferV1, offeredGroup, type V1EspSelection } from '../policy/proposals-v1.js';
import {
  allowsPair,
  pairMismatch,
  quickIdentity,
  samePair,
  selectorOfIdentity,
} from '../policy/quick-identities-v1.js';
import { isUdpTunnel } from '../policy/transforms-v1.js';
import { expectSpi, reserveSpi, spiBytes } from '../sa/esp-spi.js';
import { Retransmission } from '../sa/retransmission.js';
import { drop } from '../sa/world.js';
import type { V1Child } from './child-record.js';
import { announceDelete, establishChild, installChild, isCarried, isPeerSpiInUse } from './children.js';
import { dropQuick } from './close.js';
import { quickFailure } from './failures.js';
import { heard, isIn, type UpSa } from './isakmp-sa.js';
import { shortest } from './lifetimes.js';
import { askAgain } from './pair-retries.js';
import { isOpen, type QuickAbandoned, type QuickAnswered, type QuickSent } from './quick.js';
import { followSource } from './renew.js';
import { decodeLifetime } from './responder-lifetime.js';
import { freshMessageId, notify, reportOpened, sealedWithHash, sendInformational, transmit } from './send.js';
import type { Inbound, World } from './world.js';

/** How long the last message of a finished quick mode can be repeated. */
export const REPETITIONS: Millis = 60_000;
/** When a rekey that did not work is tried again. */
export const RETRY_REKEY: Millis = 15_000;

/** Message 1: HDR*, HASH(1), SA, Ni, [KE,] IDci, IDcr (RFC 2409 §5.5). */
export function startQuick(world: World, sa: UpSa, pair: NetworkPair, replaces?: V1Child): void {
  const { ctx } = world;
  const { connection } = sa;
  const { protection, session } = sa.phase;
  const group = offeredGroup(connection.espProposals);
  const spiIn = reserveSpi(world, connection.id);
  expectSpi(world, spiIn);
  const proposals = espOfferV1(connection.espProposals, {
    spi: spiBytes(spiIn),
    group,
    mode: modeOf(sa),
    seconds: connection.childLifetime,
  });
  const messageId = freshMessageId(world, sa);
  const chain = protection.exchange(messageId);
  const initiatorNonce = ctx.random.bytes(NONCE_LENGTH);
  const dh = group === Dh.NONE ? undefined : ctx.crypto.dh(group).generate(ctx.random);
  const quick = {
    state: 'sent',
    messageId,
    chain,
    pair,
    order: ctx.nextId(),
    startedAt: ctx.now,
    initiatorNonce,
    dh,
    spiIn,
    replaces: replaces?.id,
    retransmission: new Retransmission(ctx.limits.retransmit, ctx.now),
  } as const;
  if (proposals.length === 0) {
    const message = 'none of the configured ESP proposals exists in IKEv1: it has no ChaCha20-Poly1305';
    failQuick(world, sa, { ...quick, lastOut: new Uint8Array(0) }, quickFailure('unsupported', message));
    return;
  }
  const payloads: V1Payload[] = [
    { kind: 'sa', proposals },
    { kind: 'nonce', data: initiatorNonce },
    ...(dh === undefined ? [] : [{ kind: 'ke', data: dh.publicValue } as const]),
    quickIdentity(pair.local),
    quickIdentity(pair.peer),
  ];
  const exchange = { protection, type: V1Exchange.QUICK_MODE, messageId, chain };
  const lastOut = sealedWithHash(world, sa, exchange, payloads, (behind) =>
    hash1(protection.prf, protection.keys.skeyidA, messageId, behind),
  );
  session.quicks.set(messageId, { ...quick, lastOut });
  transmit(world, sa, lastOut);
}

/** RFC 3947 §5.1: UDP encapsulation is a mode of its own, with other numbers in the drafts. */
function modeOf({ connection, phase }: UpSa): number {
  if (espForm(phase, connection) === 'esp') return V1Mode.TUNNEL;
  return phase.terms.dialect === 'draft' ? V1Mode.UDP_TUNNEL_DRAFT : V1Mode.UDP_TUNNEL;
}

/** Message 2: HDR*, HASH(2), SA, Nr, [KE,] IDci, IDcr. Answered by message 3: HDR*, HASH(3). */
export function quickAnswered(
  world: World,
  sa: UpSa,
  quick: QuickSent | QuickAbandoned,
  message: Inbound,
  sealed: V1Sealed,
): void {
  const { ctx } = world;
  const { datagram } = message;
  const { protection } = sa.phase;
  const opened = protection.open(quick.chain, sealed);
  const first = opened.ok ? opened.value.payloads[0] : undefined;
  if (!opened.ok || first?.kind !== 'hash') {
    drop(world, datagram, 'decryption_failed', 'message 2 of quick mode does not decrypt');
    return;
  }
  const { payloads, plaintext, nextIv } = opened.value;
  const { prf, keys } = protection;
  const behind = plaintext.subarray(4 + first.data.length);
  const expected = hash2(prf, keys.skeyidA, quick.messageId, quick.initiatorNonce, behind);
  if (!equalConstantTime(expected, first.data)) {
    drop(world, datagram, 'decryption_failed', 'HASH(2) of quick mode does not hold');
    return;
  }
  reportOpened(world, sa, message, payloads);
  quick.chain.adopt(nextIv);
  heard(sa, ctx.now);
  // HASH(2) covers our nonce of this exchange: it cannot have been recorded before.
  if (datagram.natTraversalPort) followSource(world, sa, datagram.remote);
  if (quick.state === 'abandoned') {
    announceDelete(world, sa, [quick.spiIn]);
    return;
  }
  const agreed = read(world, sa, quick, payloads);
  if (!agreed.ok) {
    sendInformational(world, sa, [
      notify(V1Notify.NO_PROPOSAL_CHOSEN, { protocol: V1Protocol.ESP, spi: spiBytes(quick.spiIn) }),
    ]);
    // A peer that takes the SAs to be made must not keep them.
    announceDelete(world, sa, [quick.spiIn]);
    failQuick(world, sa, quick, agreed.error);
    return;
  }
  conclude(world, sa, quick, datagram, agreed.value);
}

/** Message 3: HDR*, HASH(3). The SAs are there at both ends once it has arrived. */
function conclude(
  world: World,
  sa: UpSa,
  quick: QuickSent,
  datagram: DatagramInput,
  { selection, pair, nonce, shared, peerSeconds }: ReadAnswer,
): void {
  const { protection, session } = sa.phase;
  const { messageId, spiIn, chain } = quick;
  const nonces = { initiator: quick.initiatorNonce, responder: nonce };
  const child = installChild(world, sa, {
    pair,
    spiIn,
    spiOut: readU32(selection.peerSpi, 0),
    suite: selection.suite,
    udp: isUdpTunnel(selection.mode),
    nonces,
    shared,
    initiated: true,
    order: quick.order,
    kilobytes: selection.lifetimes.kilobytes,
    peerSeconds,
  });
  const exchange = { protection, type: V1Exchange.QUICK_MODE, messageId, chain };
  quick.dh?.wipe();
  const lastIn = copyOf(datagram.bytes);
  const lastOut = sealedWithHash(world, sa, exchange, [], () =>
    hash3(protection.prf, protection.keys.skeyidA, messageId, nonces),
  );
  const forgetAt = world.ctx.now + REPETITIONS;
  session.quicks.set(messageId, { state: 'done', messageId, spiIn, lastIn, lastOut, forgetAt });
  transmit(world, sa, lastOut);
  establishChild(world, sa, child);
}

interface ReadAnswer {
  readonly selection: V1EspSelection;
  readonly pair: NetworkPair;
  /** The responder's. */
  readonly nonce: Uint8Array;
  readonly shared: SecretKey | undefined;
  /** The peer's lifetime, if it told one. */
  readonly peerSeconds: Seconds | undefined;
}

function read(
  world: World,
  sa: UpSa,
  quick: QuickSent,
  payloads: readonly V1Payload[],
): Result<ReadAnswer, Failure> {
  const { connection } = sa;
  const [answered, nonce] = [only(payloads, 'sa'), only(payloads, 'nonce')];
  if (answered === undefined || nonce === undefined) {
    return err(
      quickFailure('invalid_syntax', 'message 2 of quick mode has not exactly one SA and nonce payload'),
    );
  }
  const selection = acceptEspAnswerV1(connection.espProposals, answered.proposals);
  if (!selection.ok) return selection;
  if (isPeerSpiInUse(world, connection.id, readU32(selection.value.peerSpi, 0)))
    return err(quickFailure('invalid_syntax', 'the peer answered with the SPI of an ESP SA that stands'));
  const pair = answeredPair(quick.pair, payloads);
  if (pair === undefined || !(samePair(pair, quick.pair) || allowsPair(connection, pair))) {
    const message = 'the peer answered with networks that we did not propose';
    const received =
      pair === undefined
        ? undefined
        : { local: describeSelector(pair.local), peer: describeSelector(pair.peer) };
    return err(pairMismatch(connection, received, message));
  }
  const group = quick.dh?.group ?? Dh.NONE;
  if (selection.value.suite.dh !== group) {
    return err(quickFailure('pfs_mismatch', 'the peer answered with another PFS group than we offered'));
  }
  const read = {
    selection: selection.value,
    pair,
    nonce: copyOf(nonce.data),
    peerSeconds: shortest(selection.value.lifetimes.seconds, responderLifetime(payloads)),
  };
  if (quick.dh === undefined) return ok({ ...read, shared: undefined });
  const ke = find(payloads, 'ke');
  if (ke?.data.length !== quick.dh.publicValue.length) {
    return err(
      quickFailure('invalid_syntax', 'message 2 of quick mode lacks a public value of the PFS group'),
    );
  }
  const shared = quick.dh.agree(ke.data);
  if (!shared.ok) {
    return err(
      quickFailure('invalid_syntax', `the peer's public value is not valid: ${shared.error.message}`),
    );
  }
  return ok({ ...read, shared: shared.value });
}

/** The identities as answered; a peer that leaves them out means ours. */
function answeredPair(asked: NetworkPair, payloads: readonly V1Payload[]): NetworkPair | undefined {
  const ids = payloads.flatMap((one) => (one.kind === 'id' ? [one] : []));
  if (ids.length === 0) return asked;
  const [local, peer] = ids.map(selectorOfIdentity);
  if (ids.length !== 2 || !local?.ok || !peer?.ok) return undefined;
  return { local: local.value, peer: peer.value };
}

function responderLifetime(payloads: readonly V1Payload[]): number | undefined {
  const notice = payloads.find((one) => one.kind === 'notify' && one.type === V1Notify.RESPONDER_LIFETIME);
  return notice?.kind === 'notify' ? decodeLifetime('ipsec', notice.data).seconds : undefined;
}

/** Our quick mode did not succeed; a rekey is tried again while the old SAs last. */
export function failQuick(world: World, sa: UpSa, quick: QuickSent | QuickAnswered, failure: Failure): void {
  const { ctx } = world;
  dropQuick(world, sa, quick);
  const ours = quick.state === 'sent';
  const old = ours && quick.replaces !== undefined ? world.children.get(quick.replaces) : undefined;
  const asked = ours && old === undefined ? quick.pair : undefined;
  const retryAt = asked === undefined ? undefined : askAgain(world, sa, asked);
  ctx.event({
    kind: 'child-failed',
    connection: sa.connection.id,
    ikeId: sa.id,
    role: ours ? 'initiator' : 'responder',
    failure,
    ...(asked === undefined ? {} : { pair: asked }),
    ...(retryAt === undefined ? {} : { retryAt }),
    ...(old === undefined ? {} : { rekeys: old.id }),
  });
  if (old !== undefined) old.rekeyAt = ctx.now + RETRY_REKEY;
}

/** Begins the next quick mode that is wanted, one at a time. */
export function workOffWanted(world: World, sa: UpSa): void {
  const { session } = sa.phase;
  if (!isIn(sa, 'established')) {
    session.wanted = [];
    return;
  }
  for (;;) {
    const quicks = [...session.quicks.values()];
    if (quicks.some((quick) => quick.state === 'sent' && quick.replaces === undefined)) return;
    const pair = session.wanted.shift();
    if (pair === undefined) return;
    const pending = quicks.some((quick) => isOpen(quick) && samePair(quick.pair, pair));
    if (!pending && !isCarried(world, sa.connection.id, pair)) startQuick(world, sa, pair);
  }
}
