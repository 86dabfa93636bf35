import t from 'tap';
import { Engine } from '../../src/ike/engine.js';
import type { DatagramInput, Input } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { SendOutput } from '../../src/ike/outputs.js';
import { findNotify, notify } from '../../src/ike/v2/payloads.js';
import { createProtection, type Protection } from '../../src/ike/v2/protect.js';
import { isV2Record, type V2SaRecord } from '../../src/ike/v2/record.js';
import { headerOf } from '../../src/ike/v2/send.js';
import { copyOfPlain } from '../../src/util/secret.js';
import { decodeMessageIdSync, encodeMessageIdSync, type MessageIdSync } from '../../src/wire/ike/cluster.js';
import { decodeMessage } from '../../src/wire/ike/message.js';
import { ExchangeType, NotifyType } from '../../src/wire/ike/registry.js';
import { establishedPair, faults, type Pair, type SimNode } from '../helpers/engine-pair.js';
import { SeededRandom } from '../helpers/seeded-random.js';
import { createToyBackend } from '../helpers/toy-crypto.js';
import type { NetConditions, Packet } from '../helpers/virtual-net.js';

/**
 * Lives of a pair of which one end is a cluster: its standby has an image that is some time old, takes over, and has to
 * agree on message ids with the other end (RFC 6311), which is ours. CULVERT_SEED runs one seed again.
 */
const LIVES = Number(process.env.CULVERT_CLUSTERS ?? 150);
const ONLY = process.env.CULVERT_SEED;
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
const DEAD: NetConditions = { latency: [5, 5], loss: 1, duplicate: 0 };
/** More requests than the member before can have made since the image. */
const MARGIN = 20;

const crypto = createToyBackend();

function imageOf(node: SimNode): V2SaRecord {
  const [record] = node.engine.export();
  if (record === undefined || !isV2Record(record)) throw new Error(`${node.name} has no IKE SA`);
  return record;
}

/** A member that hears only what it needs to take over. */
class Member {
  readonly #protection: Protection;
  readonly #record: V2SaRecord;
  readonly request: SendOutput;
  agreed: MessageIdSync | undefined;

  constructor(record: V2SaRecord, term: number, nonce: Uint8Array) {
    const { ike } = record;
    this.#record = record;
    const deps = { crypto, random: new SeededRandom(5), term };
    this.#protection = createProtection(deps, ike.suite, copyOfPlain(ike.keys), ike.role);
    const sync = { nonce, nextSent: ike.nextMessageId + MARGIN, nextReceived: ike.inbound.next };
    const payloads = [notify(NotifyType.IKEV2_MESSAGE_ID_SYNC, encodeMessageIdSync(sync))];
    const bytes = this.#protection.seal(headerOf(ike, ExchangeType.INFORMATIONAL, 0, false), payloads);
    const { local, remote, natTraversalPort } = ike;
    this.request = { kind: 'send', local, remote, natTraversalPort, bytes };
  }

  /** In the place of an engine. */
  get ears(): Engine {
    const handle = (input: Input) => {
      if (input.kind === 'datagram') this.#hear(input);
      return [];
    };
    return { handle, nextDeadline: () => undefined } as unknown as Engine;
  }

  #hear({ bytes }: DatagramInput): void {
    const message = decodeMessage(bytes);
    const sealed = message.ok ? message.value.payloads.at(-1) : undefined;
    if (!message.ok || sealed?.kind !== 'sk') return;
    const { messageId, response } = message.value.header;
    if (messageId !== 0 || !response) return;
    const opened = this.#protection.open(bytes, sealed);
    const answer = opened.ok ? findNotify(opened.value, NotifyType.IKEV2_MESSAGE_ID_SYNC) : undefined;
    this.agreed ??= answer && decodeMessageIdSync(answer.data);
  }

  /** The SA as it goes on: ids that both ends have agreed on, and nothing under way. */
  recordAt(now: number): V2SaRecord {
    const { agreed } = this;
    if (agreed === undefined) throw new Error('no answer');
    const inbound = { next: agreed.nextSent, request: undefined, answer: undefined };
    const ike = {
      ...this.#record.ike,
      nextMessageId: agreed.nextReceived,
      active: undefined,
      lastInbound: now,
      tasks: [],
      inbound,
    };
    return { ...this.#record, ike };
  }
}

function takeOver({ sim, east }: Pair, image: V2SaRecord, term: number): Packet {
  const member = new Member(image, term, Uint8Array.of(1, 2, 3, term));
  east.engine = member.ears;
  for (let tries = 0; member.agreed === undefined; tries++) {
    if (tries === 60) throw new Error('the peer does not answer');
    sim.net.send(member.request, sim.now);
    sim.run(sim.now + 500, () => member.agreed !== undefined);
  }
  const random = new SeededRandom(term);
  const engine = new Engine({ crypto, random, limits: DEFAULT_LIMITS, config: east.config, term });
  east.engine = engine;
  east.ikes.clear();
  east.childInfo.clear();
  const { outputs, refused } = engine.adopt([member.recordAt(sim.now)], sim.now);
  if (refused[0] !== undefined) throw new Error(refused[0].reason);
  for (const output of outputs) {
    east.apply(output);
    if (output.kind === 'send') sim.net.send(output, sim.now);
  }
  const { local, remote, natTraversalPort, bytes } = member.request;
  return { from: local, to: remote, natTraversalPort, bytes, name: 'recorded' };
}

/** What is wrong in the end; undefined when nothing is. */
function life(seed: number): string | undefined {
  const random = new SeededRandom(seed);
  const made = establishedPair({ seed });
  const { sim, east, west } = made;
  sim.net.conditions = ROUGH;
  const recorded: Packet[] = [];
  const times = 1 + random.below(3);
  for (let term = 1; term <= times; term++) {
    // What is rekeyed comes to the standby at once; it lags behind only in what liveness uses up.
    sim.run(sim.now + 60_000 + random.below(30_000));
    if (!sim.run(sim.now + 300_000, () => faults(made) === undefined))
      return `never settled: ${faults(made)}`;
    const image = imageOf(east);
    sim.run(sim.now + random.below(60_000));
    if (random.below(2) === 0) {
      // Asked for when no member is there any more.
      sim.net.conditions = DEAD;
      const scope = random.below(2) === 0 ? 'children' : 'ike';
      sim.input(west, { kind: 'renew', connection: 'site', scope });
      sim.run(sim.now + random.below(1000));
      sim.net.conditions = ROUGH;
    }
    recorded.push(takeOver(made, image, term));
    // Whoever has recorded a request sends it again, then and later.
    for (const packet of recorded) if (random.below(2) === 0) sim.net.inject(packet, sim.now);
  }
  sim.run(sim.now + 100_000);
  for (const packet of recorded) sim.net.inject(packet, sim.now);
  sim.run(sim.now + 100_000);
  const lost = west
    .eventsOf('ike-closed')
    .find(({ reason }) => reason !== 'rekeyed' && reason !== 'replaced');
  if (lost !== undefined) return `the IKE SA was lost: ${lost.reason}`;
  const taken = west.eventsOf('peer-took-over').length;
  if (taken !== times) return `${taken} takeovers of ${times}`;
  return faults(made);
}

t.test('a peer that is a cluster takes over, with loss, reordering and replays', async (t) => {
  const failed: string[] = [];
  const seeds = ONLY === undefined ? Array.from({ length: LIVES }, (_, n) => n + 1) : [Number(ONLY)];
  for (const seed of seeds) {
    let reason: string | undefined;
    try {
      reason = life(seed);
    } catch (error) {
      reason = (error as Error).stack;
    }
    if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
  }
  t.strictSame(failed, [], `${seeds.length} lives`);
});
