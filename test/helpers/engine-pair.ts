import type { CryptoBackend } from '../../src/crypto/types.js';
import type { ConnectionConfig, EngineConfig } from '../../src/ike/config.js';
import { Engine } from '../../src/ike/engine.js';
import type { ChildSaInfo, IkeEvent, IkeSaInfo } from '../../src/ike/events.js';
import type { Input } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS, type EngineLimits } from '../../src/ike/limits.js';
import type { ChildSa, Output } from '../../src/ike/outputs.js';
import { makeIdentity } from '../../src/ike/policy/identity.js';
import { autoEspProposals, autoIkeProposals, plainProposals } from '../../src/ike/policy/matrix.js';
import { cidrSelector, sameSelectors } from '../../src/ike/policy/selectors.js';
import type { SpiSteering } from '../../src/ike/sa/esp-spi.js';
import { wipeRecord } from '../../src/ike/sa/record.js';
import { toHex, utf8 } from '../../src/util/bytes.js';
import { cidrOf } from '../../src/util/ip.js';
import { SecretKey } from '../../src/util/secret.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';
import { type NetConditions, VirtualNet } from './virtual-net.js';

export const EAST = '192.0.2.1';
export const WEST = '192.0.2.2';
export const CALM: NetConditions = { latency: [5, 5], loss: 0, duplicate: 0 };

/** Event of one kind. */
export type EventOf<K extends IkeEvent['kind']> = Extract<IkeEvent, { kind: K }>;

/** An engine with its surroundings: what it has installed, and what it has reported. */
export class SimNode {
  readonly name: string;
  readonly address: string;
  /** Another one after a restart. */
  engine: Engine;
  /** What a restarted engine is configured with. */
  config: EngineConfig = { connections: [] };
  readonly events: IkeEvent[] = [];
  readonly outputs: Output[] = [];
  /** The SAs that stand, by the events and outputs alone. */
  readonly ikes = new Map<number, IkeSaInfo>();
  readonly children = new Map<number, ChildSa>();
  readonly childInfo = new Map<number, ChildSaInfo>();
  /** Inbound SPIs that packets may come for before their SA is installed. */
  readonly expected = new Set<number>();
  /** Child SAs that were switched to after they were installed. */
  readonly activated = new Set<number>();
  /** Initiates again after each loss or failure, like the reconciler. */
  reconnect: string | undefined;
  reconnectAt: number | undefined;
  /** Whether `events` and `outputs` are kept. */
  record = true;
  /** What of the engine's outputs is carried out now; `Simulation.carryOut` follows for the others. */
  ahead: ((outputs: Output[]) => readonly Output[]) | undefined;

  constructor(name: string, address: string, engine: Engine) {
    this.name = name;
    this.address = address;
    this.engine = engine;
  }

  eventsOf<K extends IkeEvent['kind']>(kind: K): EventOf<K>[] {
    return this.events.filter((event): event is EventOf<K> => event.kind === kind);
  }

  /** Follows an output; throws where the engine contradicts itself. */
  apply(output: Output): void {
    if (this.record) this.outputs.push(output);
    switch (output.kind) {
      case 'install-child':
        if (this.children.has(output.child.id)) throw new Error(`child ${output.child.id} installed twice`);
        for (const other of this.children.values()) {
          if (other.spiIn === output.child.spiIn) throw new Error(`SPI ${other.spiIn} is in use`);
        }
        this.children.set(output.child.id, output.child);
        this.expected.delete(output.child.spiIn);
        break;
      case 'expect-esp':
        if (this.expected.has(output.spi)) throw new Error(`SPI ${output.spi} is expected twice`);
        this.expected.add(output.spi);
        break;
      case 'forget-esp':
        if (!this.expected.delete(output.spi)) throw new Error(`SPI ${output.spi} was not expected`);
        break;
      case 'remove-child':
        if (!this.children.delete(output.childId)) throw new Error(`child ${output.childId} was not there`);
        break;
      case 'activate-outbound':
        if (this.activated.has(output.childId)) throw new Error(`child ${output.childId} activated twice`);
        this.activated.add(output.childId);
        if (!this.children.has(output.childId)) throw new Error(`child ${output.childId} is not there`);
        break;
      case 'skip-outbound':
      case 'update-peer':
        if (!this.children.has(output.childId)) throw new Error(`child ${output.childId} is not there`);
        break;
      case 'event':
        this.#note(output.event);
        break;
      case 'send':
        break;
    }
  }

  #reschedule(ikeId: number, childId: number | undefined, rekeyAt: number): void {
    const ike = this.ikes.get(ikeId);
    const child = childId === undefined ? undefined : this.childInfo.get(childId);
    if (child !== undefined) this.childInfo.set(child.childId, { ...child, rekeyAt });
    else if (ike !== undefined && childId === undefined) this.ikes.set(ikeId, { ...ike, rekeyAt });
  }

  #note(event: IkeEvent): void {
    if (this.record) this.events.push(event);
    switch (event.kind) {
      case 'ike-established':
        if (this.ikes.has(event.ike.ikeId)) throw new Error(`IKE SA ${event.ike.ikeId} established twice`);
        this.ikes.set(event.ike.ikeId, event.ike);
        break;
      case 'ike-closed':
        if (!this.ikes.delete(event.ikeId))
          throw new Error(`IKE SA ${event.ikeId} closed, but did not stand`);
        break;
      case 'rescheduled':
        this.#reschedule(event.ikeId, event.childId, event.rekeyAt);
        break;
      case 'peer-moved': {
        const ike = this.ikes.get(event.ikeId);
        if (ike !== undefined) this.ikes.set(event.ikeId, { ...ike, peer: event.to });
        break;
      }
      case 'child-established':
        if (this.childInfo.has(event.child.childId)) throw new Error('child established twice');
        this.childInfo.set(event.child.childId, event.child);
        break;
      case 'child-closed':
        if (!this.childInfo.delete(event.childId)) throw new Error('child closed, but did not stand');
        break;
    }
  }
}

export interface SimOptions {
  readonly seed?: number;
  readonly crypto?: CryptoBackend;
  readonly conditions?: NetConditions;
  readonly limits?: Partial<EngineLimits>;
  readonly spiSteering?: SpiSteering;
}

const toy = createToyBackend();

/** Engines on a virtual network in virtual time. */
export class Simulation {
  now = 0;
  readonly net: VirtualNet;
  readonly nodes: SimNode[] = [];
  readonly #options: SimOptions;
  readonly #alarms: { readonly time: number; readonly act: () => void }[] = [];
  readonly #random: SeededRandom;

  constructor(options: SimOptions = {}) {
    this.#options = options;
    this.#random = new SeededRandom(options.seed ?? 1);
    this.net = new VirtualNet(new SeededRandom(this.#random.u32()), options.conditions ?? CALM);
  }

  addNode(name: string, address: string, config: EngineConfig): SimNode {
    const node = new SimNode(name, address, this.makeEngine(config));
    node.config = config;
    this.nodes.push(node);
    return node;
  }

  /** The end loses its memory, as after a crash, and begins again. */
  restart(node: SimNode): void {
    node.engine = this.makeEngine(node.config);
    node.ikes.clear();
    node.expected.clear();
    node.children.clear();
    node.childInfo.clear();
    node.activated.clear();
    node.reconnectAt = undefined;
    if (node.reconnect !== undefined) this.initiate(node, node.reconnect);
  }

  /**
   * Another engine carries on the SAs of this end, by the records of the old one; the data plane keeps its SAs. Throws
   * unless exactly the SAs that were reported before are reported again.
   */
  handOver(node: SimNode): void {
    const before = standing(node);
    const records = node.engine.export();
    node.engine = this.makeEngine(node.config);
    node.ikes.clear();
    node.childInfo.clear();
    // Another engine knows no ids of SAs that are gone, and may give one again.
    for (const id of node.activated) if (!node.children.has(id)) node.activated.delete(id);
    const { outputs, refused } = node.engine.adopt(records, this.now);
    for (const record of records) wipeRecord(record);
    if (refused[0] !== undefined) throw new Error(`${node.name}: ${refused[0].reason}`);
    const adoption = outputs.filter((one) => one.kind === 'event' && 'adopted' in one.event);
    for (const output of adoption) node.apply(output);
    const after = standing(node);
    if (after !== before) throw new Error(`${node.name} had\n${before}\nand has adopted\n${after}`);
    this.carryOut(
      node,
      outputs.filter((one) => !adoption.includes(one)),
    );
    // What was on its way had no SA yet, and begins again.
    if (node.reconnect !== undefined && node.childInfo.size === 0) node.reconnectAt ??= this.now;
  }

  /** An engine of the same kind as the others, with random octets of its own. */
  makeEngine(config: EngineConfig, term = 0): Engine {
    return new Engine({
      term,
      crypto: this.#options.crypto ?? toy,
      random: new SeededRandom(this.#random.u32()),
      limits: { ...DEFAULT_LIMITS, ...this.#options.limits },
      config,
      ...(this.#options.spiSteering === undefined ? {} : { spiSteering: this.#options.spiSteering }),
    });
  }

  /** Gives an engine one input now. */
  input(node: SimNode, input: Input): Output[] {
    return this.take(node, node.engine.handle(input, this.now));
  }

  /** Does what an engine asks for, as far as that is done at once. */
  take(node: SimNode, outputs: Output[]): Output[] {
    return this.carryOut(node, node.ahead === undefined ? outputs : [...node.ahead(outputs)]);
  }

  /** Does something at a later time. */
  at(time: number, act: () => void): void {
    this.#alarms.push({ time, act });
  }

  carryOut(node: SimNode, outputs: Output[]): Output[] {
    for (const output of outputs) {
      node.apply(output);
      if (output.kind === 'send') this.net.send(output, this.now);
    }
    if (node.reconnect !== undefined) {
      const up = node.ikes.size > 0 && node.childInfo.size > 0;
      const lost = outputs.some(
        (o) =>
          o.kind === 'event' &&
          (o.event.kind === 'ike-failed' || o.event.kind === 'ike-closed' || o.event.kind === 'child-closed'),
      );
      if (up) node.reconnectAt = undefined;
      else if (lost && node.reconnectAt === undefined) {
        node.reconnectAt = this.now + 500 + this.#random.below(1500);
      }
    }
    return outputs;
  }

  initiate(node: SimNode, connection = 'site'): Output[] {
    return this.input(node, { kind: 'initiate', connection });
  }

  /** Runs until nothing is to do, the condition holds, or `until` is reached. False when it is by `until`. */
  run(until: number, condition?: () => boolean): boolean {
    for (;;) {
      if (condition?.() === true) return true;
      const next = this.#nextAt();
      if (next === undefined || next > until) {
        this.now = Math.max(this.now, until);
        return condition === undefined;
      }
      this.now = Math.max(this.now, next);
      this.step();
    }
  }

  /** Does what is due at the present time. */
  step(): void {
    for (const alarm of this.#alarms.filter(({ time }) => time <= this.now)) {
      this.#alarms.splice(this.#alarms.indexOf(alarm), 1);
      alarm.act();
    }
    for (let arrival = this.net.take(this.now); arrival !== undefined; arrival = this.net.take(this.now)) {
      const node = this.nodes.find((one) => one.address === arrival!.to);
      if (node !== undefined) this.input(node, arrival.input);
    }
    for (const node of this.nodes) {
      const deadline = node.engine.nextDeadline();
      if (deadline !== undefined && deadline <= this.now) {
        this.input(node, { kind: 'timer' });
        const after = node.engine.nextDeadline();
        if (after !== undefined && after <= this.now)
          throw new Error(`${node.name} wants the same time again`);
      }
      if (node.reconnectAt !== undefined && node.reconnectAt <= this.now) {
        node.reconnectAt = undefined;
        this.initiate(node, node.reconnect);
      }
    }
  }

  #nextAt(): number | undefined {
    let next = this.net.nextAt();
    for (const { time } of this.#alarms) if (next === undefined || time < next) next = time;
    for (const node of this.nodes) {
      for (const at of [node.engine.nextDeadline(), node.reconnectAt]) {
        if (at !== undefined && (next === undefined || at < next)) next = at;
      }
    }
    return next;
  }
}

/** The SAs that an end has reported, but for what a record leaves out: what they once replaced. */
function standing(node: SimNode): string {
  const plain = (info: IkeSaInfo | ChildSaInfo): string => JSON.stringify({ ...info, replaces: undefined });
  return [...node.ikes.values(), ...node.childInfo.values()].map(plain).sort().join('\n');
}

/** Part of a connection that a test wants other than usual. */
export type ConnectionPatch = Partial<Omit<ConnectionConfig, 'local' | 'peer' | 'psk'>> & {
  readonly psk?: string;
  readonly local?: { address?: string; identity?: string; cidrs?: readonly string[] };
  readonly peer?: {
    addresses?: readonly string[];
    port?: 500 | 4500;
    identity?: string;
    cidrs?: readonly string[];
  };
};

/** A connection as one end has it. */
export function connection(side: 'east' | 'west', patch: ConnectionPatch = {}): ConnectionConfig {
  const own = side === 'east' ? EAST : WEST;
  const other = side === 'east' ? WEST : EAST;
  const { psk, local, peer, ...rest } = patch;
  return {
    id: 'site',
    psk: new SecretKey(utf8(psk ?? 'correct-horse-battery')),
    initiateVersion: 2,
    acceptVersions: [2],
    establishMode: 'bidirectional',
    adminUp: true,
    ikeProposals: plainProposals(autoIkeProposals('compatible'))!,
    espProposals: autoEspProposals('compatible').slice(-1),
    ikeLifetime: 28_800,
    childLifetime: 3600,
    dpd: { action: 'restart', interval: 10, timeout: 40 },
    encapsulation: 'auto',
    ...rest,
    local: {
      address: local?.address ?? own,
      identity: identity(local?.identity ?? `${side}.example`),
      selectors: selectors(local?.cidrs ?? [side === 'east' ? '10.1.0.0/24' : '10.2.0.0/24']),
    },
    peer: {
      addresses: peer?.addresses ?? [other],
      port: peer?.port ?? 500,
      identity: identity(peer?.identity ?? `${side === 'east' ? 'west' : 'east'}.example`),
      selectors: selectors(peer?.cidrs ?? [side === 'east' ? '10.2.0.0/24' : '10.1.0.0/24']),
    },
  };
}

export function identity(text: string): ConnectionConfig['local']['identity'] {
  const made = /^[0-9.]+$/.test(text) ? makeIdentity('ipv4_address', text) : makeIdentity('fqdn', text);
  if (!made.ok) throw new Error(made.error);
  return made.value;
}

export function selectors(cidrs: readonly string[]): ConnectionConfig['local']['selectors'] {
  return cidrs.map((text) => {
    return cidrSelector(cidrOf(text));
  });
}

export interface Pair {
  readonly sim: Simulation;
  readonly east: SimNode;
  readonly west: SimNode;
}

/** Two gateways with one connection between them. */
export function pair(
  options: SimOptions & { readonly east?: ConnectionPatch; readonly west?: ConnectionPatch } = {},
): Pair {
  const sim = new Simulation(options);
  const east = sim.addNode('east', EAST, { connections: [connection('east', options.east)] });
  const west = sim.addNode('west', WEST, { connections: [connection('west', options.west)] });
  return { sim, east, west };
}

/** A pair whose connection is up. */
export function establishedPair(options: Parameters<typeof pair>[0] = {}): Pair {
  const made = pair(options);
  made.sim.initiate(made.east);
  made.sim.run(made.sim.now + 1000);
  const reason = faults(made);
  if (reason !== undefined) throw new Error(reason);
  return made;
}

/**
 * What is wrong between the two, undefined when all is as it must be: one IKE SA and one child SA at each end,
 * the same ones, with the same keys crosswise and mirrored selectors.
 */
export function faults({ east, west }: Pair): string | undefined {
  for (const node of [east, west]) {
    if (node.ikes.size !== 1) return `${node.name} has ${node.ikes.size} IKE SAs`;
    if (node.children.size !== 1) return `${node.name} has ${node.children.size} child SAs installed`;
    if (node.childInfo.size !== 1) return `${node.name} reports ${node.childInfo.size} child SAs`;
  }
  const [a] = east.ikes.values();
  const [b] = west.ikes.values();
  if (a!.initiatorSpi !== b!.initiatorSpi || a!.responderSpi !== b!.responderSpi)
    return 'two different IKE SAs';
  if (a!.role === b!.role) return 'both have the same role';
  const [x] = east.children.values();
  const [y] = west.children.values();
  if (x!.spiIn !== y!.spiOut || x!.spiOut !== y!.spiIn) return 'two different child SAs';
  for (const [one, other] of [
    [x!.keysIn, y!.keysOut],
    [x!.keysOut, y!.keysIn],
  ] as const) {
    if (toHex(one.encryption.expose()) !== toHex(other.encryption.expose())) return 'encryption keys differ';
    if ((one.integrity === undefined) !== (other.integrity === undefined)) return 'integrity keys differ';
    if (one.integrity !== undefined && toHex(one.integrity.expose()) !== toHex(other.integrity!.expose())) {
      return 'integrity keys differ';
    }
  }
  if (!sameSelectors(x!.localTs, y!.peerTs) || !sameSelectors(x!.peerTs, y!.localTs))
    return 'selectors differ';
  if (x!.encapsulation !== y!.encapsulation) return 'encapsulations differ';
  return undefined;
}
