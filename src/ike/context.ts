import type { CryptoBackend, TransformNeed } from '../crypto/types.js';
import type { Random } from '../util/random.js';
import { NO_TERM, type Term, termFault } from '../util/term.js';
import type { Millis } from '../util/units.js';
import type { ConnectionConfig, EngineConfig, IkeProposalSpec } from './config.js';
import type { IkeEvent } from './events.js';
import type { EngineLimits } from './limits.js';
import type { Output } from './outputs.js';
import { PeerIndex } from './policy/peer-index.js';
import { supportedEspSpecs, supportedIkeSpecs } from './policy/proposals.js';
import { AdviceMemory } from './sa/advice.js';
import type { SpiSteering } from './sa/esp-spi.js';
import { PeerBudget } from './sa/peer-budget.js';

/** All that the engine takes from outside. */
export interface EngineDeps {
  readonly crypto: CryptoBackend;
  readonly random: Random;
  readonly limits: EngineLimits;
  readonly config: EngineConfig;
  /**
   * In which this engine seals, when other hosts have copies of its keys; 0 when left out. It takes over SAs of earlier
   * terms only.
   */
  readonly term?: Term;
  /** Left out: inbound ESP SPIs are random in all bits. */
  readonly spiSteering?: SpiSteering;
}

/**
 * What the parts of the engine share: the injected dependencies, the time of the input being handled, and
 * the outputs it has caused so far.
 */
export class Context {
  readonly crypto: CryptoBackend;
  readonly random: Random;
  readonly limits: EngineLimits;
  readonly spiSteering: SpiSteering | undefined;
  readonly term: Term;
  /** What authenticated peers may have and do. */
  readonly budget: PeerBudget;
  /** Time of the current input. */
  now: Millis = 0;
  /** Set by a `shutdown` command: no SA is made any more. */
  shuttingDown = false;
  #config: EngineConfig;
  #peers = new PeerIndex([]);
  #byName = new Map<string, ConnectionConfig>();
  #outputs: Output[] = [];
  #lastId = 0;
  /** The last one given by `nextId`: no SA from elsewhere may have one so low. */
  #lastOwnId = 0;
  readonly #adoptedIds = new Set<number>();
  readonly #advice = new AdviceMemory();

  /** @throws RangeError for a term that is none */
  constructor(deps: EngineDeps) {
    this.crypto = deps.crypto;
    this.random = deps.random;
    this.limits = deps.limits;
    this.spiSteering = deps.spiSteering;
    this.term = deps.term ?? NO_TERM;
    const fault = termFault(this.term);
    if (fault !== undefined) throw new RangeError(fault);
    this.budget = new PeerBudget(deps.limits);
    this.#config = this.configure(deps.config);
  }

  get config(): EngineConfig {
    return this.#config;
  }

  /** Takes over the desired connections, less the transforms that the crypto backend lacks. */
  configure(config: EngineConfig): EngineConfig {
    const supports = (need: TransformNeed): boolean => this.crypto.supports(need);
    const lists = new Map<string, readonly IkeProposalSpec[]>();
    // It shows which connections accept the same: a stranger's offer is looked at once for all.
    const oneObject = (specs: readonly IkeProposalSpec[]): readonly IkeProposalSpec[] => {
      const text = JSON.stringify(specs);
      if (!lists.has(text)) lists.set(text, specs);
      return lists.get(text)!;
    };
    const connections = config.connections.map((connection) => ({
      ...connection,
      ikeProposals: oneObject(supportedIkeSpecs(connection.ikeProposals, supports)),
      espProposals: supportedEspSpecs(connection.espProposals, supports),
    }));
    this.#peers = new PeerIndex(connections);
    this.#byName = new Map(connections.map((connection) => [connection.id, connection]));
    this.#config = { connections };
    this.budget.configure(this.#config);
    return this.#config;
  }

  /** The desired connections by the addresses of their peers. */
  get peers(): PeerIndex {
    return this.#peers;
  }

  connection(name: string): ConnectionConfig | undefined {
    return this.#byName.get(name);
  }

  /** A number for an IKE or child SA, unique for the life of the engine. */
  nextId(): number {
    this.#lastOwnId = ++this.#lastId;
    return this.#lastId;
  }

  /** Whether an SA from elsewhere may keep this id: it was never given here. */
  isFree(id: number): boolean {
    return id > this.#lastOwnId && !this.#adoptedIds.has(id);
  }

  /** An SA keeps the id that it was given elsewhere; `nextId` continues after it. */
  keepId(id: number): void {
    this.#adoptedIds.add(id);
    this.passId(id);
  }

  /** A place in the order of all ids that an SA from elsewhere has: what comes to be from now on comes after it. */
  passId(id: number): void {
    this.#lastId = Math.max(this.#lastId, id);
  }

  emit(output: Output): void {
    this.#outputs.push(output);
  }

  event(event: IkeEvent): void {
    if (this.#advice.isNews(event)) this.#outputs.push({ kind: 'event', event });
  }

  /** The outputs since the last call, in the order in which they are to be done. */
  drain(): Output[] {
    const outputs = this.#outputs;
    this.#outputs = [];
    return outputs;
  }
}
