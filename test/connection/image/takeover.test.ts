import t from 'tap';
import type { RenewScope } from '../../../src/ike/inputs.js';
import { toHex } from '../../../src/util/bytes.js';
import { decodeMessage } from '../../../src/wire/ike/message.js';
import { Encr, ExchangeType, Prf } from '../../../src/wire/ike/registry.js';
import { type ConnectionPatch, EAST, type Pair, pair } from '../../helpers/engine-pair.js';
import { HaNode } from '../../helpers/ha-node.js';
import { SeededRandom } from '../../helpers/seeded-random.js';
import { v1, v1Faults } from '../../helpers/v1-pair.js';
import type { NetConditions, Packet } from '../../helpers/virtual-net.js';

/**
 * Lives of a pair of which one end is two hosts. At any step the standby may take over, with nothing but what has reached
 * it: no nonce, message id or sequence number is used twice, and both ends agree on their SAs in the end.
 * CULVERT_TAKEOVERS sets how many random lives, CULVERT_SEED runs one seed again, CULVERT_STRIDE 1 takes every step.
 */
const LIVES = Number(process.env.CULVERT_TAKEOVERS ?? 100);
const ONLY = process.env.CULVERT_SEED;
const ROUGH: NetConditions = { latency: [5, 400], loss: 0.2, duplicate: 0.1 };
const CALM: NetConditions = { latency: [5, 60], loss: 0, duplicate: 0 };
/** Whole lives are interrupted after every so many steps; 1 for each of them. */
const STRIDE = Number(process.env.CULVERT_STRIDE ?? 7);
const PATIENCE = 6_000_000;
const SCOPES: readonly RenewScope[] = ['children', 'ike', 'connection', 'lifetimes', 'networks'];

/** IVs that are numbers, so that they could repeat. */
const AEAD: ConnectionPatch = {
  ikeProposals: [
    {
      encryption: [{ id: Encr.AES_GCM_16, keyBits: 128 }],
      integrity: [],
      prf: [Prf.HMAC_SHA2_256],
      dh: [14],
    },
  ],
  espProposals: [{ encryption: [{ id: Encr.AES_GCM_16, keyBits: 128 }], integrity: [], dh: [14] }],
};

class Life {
  readonly pair: Pair;
  readonly ha: HaNode;
  readonly #version: 1 | 2;

  constructor(version: 1 | 2, seed: number, conditions: NetConditions) {
    this.#version = version;
    const short: ConnectionPatch = { ikeLifetime: 900, childLifetime: 300 };
    const patch = version === 1 ? v1(short) : { ...AEAD, ...short };
    this.pair = pair({ seed, conditions, east: patch, west: patch });
    for (const node of [this.pair.east, this.pair.west]) {
      node.record = false;
      node.reconnect = 'site';
    }
    this.ha = new HaNode(this.pair.sim, this.pair.east, new SeededRandom(seed + 1000));
    this.ha.pair();
  }

  /** Runs, with traffic, and lets the other host take over after the step whose number is `at`, or as soon as it can. */
  run(duration: number, step: () => void = () => undefined, done: () => boolean = () => false): boolean {
    const { sim } = this.pair;
    return sim.run(sim.now + duration, () => {
      this.ha.traffic();
      step();
      return done();
    });
  }

  #unsettled(): string | undefined {
    if (this.#version === 1) return v1Faults(this.pair, 1);
    const { east, west } = this.pair;
    for (const node of [east, west]) {
      if (node.ikes.size !== 1) return `${node.name} has ${node.ikes.size} IKE SAs`;
      if (node.childInfo.size !== 1) return `${node.name} has ${node.childInfo.size} child SAs`;
      const [installed, reported] = [node.children, node.childInfo].map((map) => [...map.keys()].join());
      if (installed !== reported) return `${node.name} reports ${reported} and has installed ${installed}`;
    }
    const [a, b] = [east, west].map((node) => [...node.ikes.values()][0]!);
    if (a!.initiatorSpi !== b!.initiatorSpi || a!.responderSpi !== b!.responderSpi)
      return 'two different IKE SAs';
    const [x, y] = [east, west].map((node) => [...node.children.values()][0]!);
    if (x!.spiIn !== y!.spiOut || x!.spiOut !== y!.spiIn) return 'two different child SAs';
    if (toHex(x!.keysOut.encryption.expose()) !== toHex(y!.keysIn.encryption.expose())) return 'keys differ';
    return undefined;
  }

  /** What is wrong in the end; undefined when nothing is. */
  settle(): string | undefined {
    const { sim } = this.pair;
    const settled = (): boolean => this.#unsettled() === undefined;
    if (!this.run(PATIENCE, undefined, settled)) return `${this.#unsettled()} after ${sim.now} ms`;
    this.run(30_000);
    if (!this.run(PATIENCE, undefined, settled)) return `${this.#unsettled()} in the end`;
    return this.ha.faults[0] ?? this.ha.overlaps[0] ?? repeated(sim.net.sent);
  }
}

/** A message of the end with two hosts under a message id or an IV that another one had. */
function repeated(sent: readonly Packet[]): string | undefined {
  const seen = new Map<string, string>();
  for (const { from, bytes } of sent) {
    if (from.address !== EAST) continue;
    const message = decodeMessage(bytes);
    // The first exchange has no keys, and its id is always 0.
    if (!message.ok || message.value.header.majorVersion !== 2) continue;
    const { header, payloads } = message.value;
    if (header.exchangeType === ExchangeType.IKE_SA_INIT) continue;
    const sealed = payloads.at(-1);
    if (sealed?.kind !== 'sk' && sealed?.kind !== 'skf') continue;
    const sa = `${toHex(header.initiatorSpi)} ${toHex(header.responderSpi)} ${header.fromInitiator}`;
    const part = sealed.kind === 'skf' ? sealed.fragment : 0;
    const octets = toHex(bytes);
    for (const key of [
      `message ${header.messageId}.${part} ${header.response ? 'response' : 'request'} of ${sa}`,
      `IV ${toHex(sealed.body.subarray(0, 8))} of ${sa}`,
    ]) {
      const before = seen.get(key);
      if (before !== undefined && before !== octets) return `${key} with other octets`;
      seen.set(key, octets);
    }
  }
  return undefined;
}

/** Brings the pair up and lets both ends rekey all they have, find the peer alive, and begin anew. */
function wholeLife(life: Life, step: () => void): void {
  const { sim, east, west } = life.pair;
  sim.initiate(east);
  life.run(30_000, step);
  for (const [node, scope] of [
    [east, 'children'],
    [west, 'children'],
    [east, 'ike'],
    [west, 'ike'],
    [west, 'connection'],
  ] as const) {
    sim.input(node, { kind: 'renew', connection: 'site', scope });
    life.run(8000, step);
  }
}

for (const version of [2, 1] as const) {
  t.test(`version ${version}: another host takes over after a step of a whole life`, async (t) => {
    const failed: string[] = [];
    let [takeovers, sent, steps] = [0, 0, 0];
    for (let at = 1; ; at += STRIDE) {
      const life = new Life(version, 1, CALM);
      let left = at;
      let passed = false;
      let reason: string | undefined;
      try {
        wholeLife(life, () => {
          if (--left > 0 || passed || !life.ha.inSync) return;
          passed = true;
          life.ha.takeOver();
        });
        if (left > 0) break;
        reason = life.settle();
      } catch (error) {
        reason = (error as Error).stack;
      }
      steps++;
      takeovers += life.ha.takeovers;
      sent += life.ha.sent;
      if (reason !== undefined) failed.push(`after step ${at}: ${reason}`);
    }
    t.strictSame(failed, [], `${steps} lives`);
    t.ok(takeovers > 200 / STRIDE, `${takeovers} takeovers`);
    t.ok(sent > 1e6, `${sent} packets`);
  });

  t.test(`version ${version}: again and again in random lives, with loss and reordering`, async (t) => {
    const failed: string[] = [];
    const seeds = ONLY === undefined ? Array.from({ length: LIVES / 2 }, (_, n) => n + 1) : [Number(ONLY)];
    let takeovers = 0;
    for (const seed of seeds) {
      const random = new SeededRandom(seed);
      const life = new Life(version, seed, ROUGH);
      const { sim, east, west } = life.pair;
      let left = 1 + random.below(60);
      const step = (): void => {
        if (--left > 0 || !life.ha.inSync) return;
        left = 1 + random.below(200);
        life.ha.takeOver();
      };
      let reason: string | undefined;
      try {
        sim.initiate(random.below(2) === 0 ? east : west);
        for (let rounds = 1 + random.below(6); rounds > 0; rounds--) {
          life.run(random.below(60_000), step);
          const node = random.below(2) === 0 ? east : west;
          sim.input(node, { kind: 'renew', connection: 'site', scope: SCOPES[random.below(SCOPES.length)]! });
        }
        reason = life.settle();
      } catch (error) {
        reason = (error as Error).stack;
      }
      takeovers += life.ha.takeovers;
      if (reason !== undefined) failed.push(`seed ${seed}: ${reason}`);
    }
    t.strictSame(failed, [], `${seeds.length} lives`);
    if (ONLY === undefined) t.ok(takeovers > seeds.length, `${takeovers} takeovers`);
  });
}
