import type { EngineConfig } from '../../src/ike/config.js';
import { Engine } from '../../src/ike/engine.js';
import type { Input } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { Output, SendOutput } from '../../src/ike/outputs.js';
import { type ConnectionPatch, connection, EAST } from './engine-pair.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';
import { packetName } from './virtual-net.js';

const toy = createToyBackend();
const limits = { ...DEFAULT_LIMITS };

export type Side = 'east' | 'west';

/** A child SA as the packet path of one end has it. `order`: when it may send, in activations; 0 before. */
interface Installed {
  readonly id: number;
  readonly spiIn: number;
  readonly spiOut: number;
  readonly order: number;
}

/** What one end has, by its outputs alone. */
interface Book {
  readonly ikes: ReadonlyMap<number, string>;
  readonly children: ReadonlyMap<number, Installed>;
  readonly activations: number;
}

/** One end after a sequence of inputs. The engine is deterministic, so the sequence is its state. */
interface Node {
  readonly id: number;
  readonly parent: Node | undefined;
  readonly input: Input | undefined;
  readonly now: number;
  readonly book: Book;
  readonly deadline: number | undefined;
  /** SAs in the engine's tables. */
  readonly size: number;
  readonly next: Map<string, { readonly node: Node; readonly sent: readonly number[] }>;
  /** The live engine, held by the node that was reached last on its way. */
  engine: Engine | undefined;
}

/** A datagram on its way, known by its number. Equal octets have equal numbers. */
interface Datagram {
  readonly to: Side;
  readonly name: string;
  readonly input: Input;
}

/** What happens next. */
type Action =
  | { readonly kind: 'deliver' | 'lose' | 'duplicate'; readonly datagram: number }
  | { readonly kind: 'stimulus'; readonly index: number }
  | { readonly kind: 'timer' };

interface State {
  readonly east: Node;
  readonly west: Node;
  /** Numbers of datagrams in flight, ascending. */
  readonly flight: readonly number[];
  /** Stimuli that have not happened yet. */
  readonly pending: readonly number[];
  readonly now: number;
  readonly losses: number;
  readonly duplicates: number;
  readonly early: number;
}

export interface Stimulus {
  readonly side: Side;
  /** `traffic`: a packet that the end sends on its newest outbound child SA arrives at the other one. */
  readonly input: Input | 'traffic' | 'delete-child';
}

export interface Scenario {
  readonly east?: ConnectionPatch;
  readonly west?: ConnectionPatch;
  /** Whether the connection stands before anything else happens. */
  readonly established: boolean;
  /** What happens at some time, in any order, between any two datagrams. */
  readonly stimuli: readonly Stimulus[];
  /** Datagrams that may be lost, or arrive twice; timeouts that may come although datagrams are in flight. */
  readonly losses: number;
  readonly duplicates: number;
  readonly early: number;
  /** Time the ends are given, without further accidents, to agree. */
  readonly horizon?: number;
  /** States after which the search ends: a bound of its cost. */
  readonly mostStates?: number;
  /** Whether a break is allowed: the scenario ends the connection or a child SA on purpose. */
  readonly mayBreak?: boolean;
  /** What must be in the end: one IKE SA and one child SA (default), or nothing. */
  readonly outcome?: 'up' | 'down' | 'agree';
}

export interface Report {
  readonly states: number;
  readonly ends: number;
  readonly complete: boolean;
  /** Faults with the way to them, at most a few. */
  readonly faults: readonly { readonly fault: string; readonly trace: readonly string[] }[];
}

const MOST_FAULTS = 3;
const EMPTY: Book = { ikes: new Map(), children: new Map(), activations: 0 };

/**
 * Walks every order in which the datagrams of two ends can be delivered, with losses, duplicates and early
 * timeouts up to given numbers. After each step no end may send into a black hole, and in the end both must
 * agree and hold nothing else. States that were seen before are not walked again.
 */
export function explore(scenario: Scenario): Report {
  return new Explorer(scenario).run();
}

class Explorer {
  readonly #scenario: Scenario;
  readonly #datagrams: Datagram[] = [];
  readonly #numbers = new Map<string, number>();
  readonly #seen = new Set<string>();
  readonly #faults: { fault: string; trace: string[] }[] = [];
  readonly #horizon: number;
  #nodes = 0;
  #ends = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#horizon = scenario.horizon ?? 100_000;
  }

  run(): Report {
    const { mostStates = 100_000 } = this.#scenario;
    const stack: { state: State; trace: Trace | undefined }[] = [{ state: this.#start(), trace: undefined }];
    let complete = true;
    while (stack.length > 0 && this.#faults.length < MOST_FAULTS) {
      const { state, trace } = stack.pop()!;
      const key = keyOf(state);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      if (this.#seen.size > mostStates) {
        complete = false;
        break;
      }
      const actions = this.#actions(state);
      if (actions.length === 0) {
        this.#ends++;
        this.#judge(this.#endFault(state), trace);
        continue;
      }
      // The last one pushed is walked first: deliveries before accidents.
      for (const action of actions.reverse()) {
        const way: Trace = { before: trace, action, at: state };
        let next: State;
        try {
          next = this.#apply(state, action);
        } catch (error) {
          this.#judge((error as Error).message, way);
          continue;
        }
        const fault = this.#blackHole(next);
        if (fault === undefined) stack.push({ state: next, trace: way });
        else this.#judge(fault, way);
      }
    }
    return { states: this.#seen.size, ends: this.#ends, complete, faults: this.#faults };
  }

  #start(): State {
    const { scenario } = { scenario: this.#scenario };
    const { losses, duplicates, early, stimuli } = scenario;
    const config = (side: Side): EngineConfig => ({
      connections: [
        connection(side, {
          dpd: { action: 'none', interval: 10, timeout: 40 },
          childLifetime: 80_000,
          ikeLifetime: 80_000,
          ...(side === 'east' ? scenario.east : scenario.west),
        }),
      ],
    });
    let state: State = {
      east: this.#root(config('east'), 11),
      west: this.#root(config('west'), 22),
      flight: [],
      pending: stimuli.map((_, index) => index),
      now: 0,
      losses,
      duplicates,
      early,
    };
    if (!scenario.established) return state;
    state = this.#feed(state, 'east', { kind: 'initiate', connection: 'site' });
    while (state.flight.length > 0)
      state = this.#apply(state, { kind: 'deliver', datagram: state.flight[0]! });
    if (state.east.book.children.size !== 1) throw new Error('the connection did not come up');
    return state;
  }

  #root(config: EngineConfig, seed: number): Node {
    return {
      id: this.#nodes++,
      parent: undefined,
      input: { kind: 'configure', config },
      now: seed,
      book: EMPTY,
      deadline: undefined,
      size: 0,
      next: new Map(),
      engine: undefined,
    };
  }

  /** The engine in the state of a node: the live one, or another that is given the same inputs. */
  #engineAt(node: Node): Engine {
    if (node.engine !== undefined) {
      const { engine } = node;
      node.engine = undefined;
      return engine;
    }
    const way: Node[] = [];
    let root = node;
    for (; root.parent !== undefined; root = root.parent) way.push(root);
    const start = root.input as Extract<Input, { kind: 'configure' }>;
    const random = new SeededRandom(root.now);
    const engine = new Engine({ crypto: toy, random, limits, config: start.config });
    for (const one of way.reverse()) engine.handle(one.input!, one.now);
    return engine;
  }

  #feed(state: State, side: Side, input: Input, number = -1): State {
    const node = state[side];
    const key = `${number < 0 ? JSON.stringify(input) : number}@${state.now}`;
    let edge = node.next.get(key);
    if (edge === undefined) {
      edge = this.#extend(node, side, input, state.now);
      node.next.set(key, edge);
    }
    const flight = [...state.flight, ...edge.sent].sort((a, b) => a - b);
    return { ...state, [side]: edge.node, flight };
  }

  #extend(node: Node, side: Side, input: Input, now: number) {
    const engine = this.#engineAt(node);
    const outputs = engine.handle(input, now);
    const sent = outputs.flatMap((output) => (output.kind === 'send' ? [this.#intern(side, output)] : []));
    // A datagram that was dropped, or answered from memory, has changed nothing.
    const changes = outputs.some(
      (output) =>
        output.kind !== 'send' && !(output.kind === 'event' && output.event.kind === 'datagram-dropped'),
    );
    if (!changes && input.kind === 'datagram') {
      node.engine = engine;
      return { node, sent };
    }
    const next: Node = {
      id: this.#nodes++,
      parent: node,
      input,
      now,
      book: follow(node.book, outputs),
      deadline: engine.nextDeadline(),
      size: engine.sizes.ikeSas,
      next: new Map(),
      engine,
    };
    return { node: next, sent };
  }

  #intern(from: Side, { local, remote, natTraversalPort, bytes }: SendOutput): number {
    const key = `${from}${natTraversalPort}${String.fromCharCode(...bytes)}`;
    let number = this.#numbers.get(key);
    if (number === undefined) {
      number = this.#datagrams.length;
      this.#numbers.set(key, number);
      this.#datagrams.push({
        to: remote.address === EAST ? 'east' : 'west',
        name: packetName(bytes),
        input: { kind: 'datagram', local: remote, remote: local, natTraversalPort, bytes },
      });
    }
    return number;
  }

  #actions(state: State): Action[] {
    const actions: Action[] = [];
    const different = [...new Set(state.flight)];
    for (const datagram of different) actions.push({ kind: 'deliver', datagram });
    for (const index of state.pending) actions.push({ kind: 'stimulus', index });
    if (state.losses > 0) for (const datagram of different) actions.push({ kind: 'lose', datagram });
    if (state.duplicates > 0) for (const datagram of different) actions.push({ kind: 'duplicate', datagram });
    const quiet = state.flight.length === 0 && state.pending.length === 0;
    const due = deadlineOf(state);
    if (due !== undefined && due <= this.#horizon && (quiet || state.early > 0))
      actions.push({ kind: 'timer' });
    return actions;
  }

  #apply(state: State, action: Action): State {
    switch (action.kind) {
      case 'deliver':
      case 'duplicate': {
        const { to, input } = this.#datagrams[action.datagram]!;
        const kept = action.kind === 'deliver' ? without(state.flight, action.datagram) : state.flight;
        const duplicates = action.kind === 'deliver' ? state.duplicates : state.duplicates - 1;
        return this.#feed({ ...state, flight: kept, duplicates }, to, input, action.datagram);
      }
      case 'lose':
        return { ...state, flight: without(state.flight, action.datagram), losses: state.losses - 1 };
      case 'stimulus':
        return this.#stimulate({ ...state, pending: without(state.pending, action.index) }, action.index);
      case 'timer': {
        const quiet = state.flight.length === 0 && state.pending.length === 0;
        const now = deadlineOf(state)!;
        let next: State = { ...state, now, early: quiet ? state.early : state.early - 1 };
        for (const side of ['east', 'west'] as const) {
          const { deadline } = next[side];
          if (deadline !== undefined && deadline <= now) next = this.#feed(next, side, { kind: 'timer' });
          const after = next[side].deadline;
          if (after !== undefined && after <= now) throw new Error(`${side} wants the same time again`);
        }
        return next;
      }
    }
  }

  #stimulate(state: State, index: number): State {
    const { side, input } = this.#scenario.stimuli[index]!;
    const other = side === 'east' ? 'west' : 'east';
    if (input === 'traffic') {
      const sending = outboundOf(state[side].book);
      const held = [...state[other].book.children.values()].find((child) => child.spiIn === sending?.spiOut);
      if (held === undefined) return state;
      return this.#feed(state, other, { kind: 'inbound-traffic', childId: held.id, at: state.now });
    }
    if (input === 'delete-child') {
      const sending = outboundOf(state[side].book);
      if (sending === undefined) return state;
      return this.#feed(state, side, { kind: 'install-failed', childId: sending.id, reason: 'test' });
    }
    return this.#feed(state, side, input);
  }

  /**
   * Make before break: what an end sends on, the other one holds. The only window is that of the set-up: the
   * responder of IKE_AUTH may send before its answer has arrived, while the two ends share no child SA at all.
   */
  #blackHole(state: State): string | undefined {
    if (this.#scenario.mayBreak === true) return undefined;
    for (const side of ['east', 'west'] as const) {
      const own = state[side].book;
      const other = state[side === 'east' ? 'west' : 'east'].book;
      const sending = outboundOf(own);
      if (sending === undefined) {
        if (this.#scenario.established) return `${side} has no child SA to send on`;
        continue;
      }
      const held = [...other.children.values()].some((child) => child.spiIn === sending.spiOut);
      const spis = new Set([...other.children.values()].map((child) => child.spiIn));
      const window = ![...own.children.values()].some((child) => spis.has(child.spiOut));
      if (!held && (!window || this.#scenario.established))
        return `${side} sends on a child SA that the other end does not hold`;
      if (own.ikes.size > 4 || own.children.size > 5) return `${side} piles up SAs`;
    }
    return undefined;
  }

  #endFault(state: State): string | undefined {
    const { outcome = 'up' } = this.#scenario;
    const [e, w] = [state.east.book, state.west.book];
    const ikes = (book: Book): string => [...book.ikes.values()].sort().join(' ');
    if (ikes(e) !== ikes(w)) return `the IKE SAs differ: "${ikes(e)}" and "${ikes(w)}"`;
    const mine = [...e.children.values()].map((child) => `${child.spiIn}/${child.spiOut}`).sort();
    const theirs = [...w.children.values()].map((child) => `${child.spiOut}/${child.spiIn}`).sort();
    if (mine.join(' ') !== theirs.join(' ')) return `the child SAs differ: "${mine}" and "${theirs}"`;
    for (const side of ['east', 'west'] as const) {
      const { size, book } = state[side];
      if (size !== book.ikes.size) return `${side} holds ${size} IKE SAs and reports ${book.ikes.size}`;
    }
    const wanted = { up: [1, 1], down: [0, 0], agree: [e.ikes.size, e.children.size] }[outcome];
    if (e.ikes.size !== wanted[0]) return `${e.ikes.size} IKE SAs in the end`;
    if (e.children.size !== wanted[1]) return `${e.children.size} child SAs in the end`;
    if (e.children.size === 0) return undefined;
    const out = outboundOf(e);
    const back = outboundOf(w);
    return out === undefined || back === undefined ? 'an end has no child SA to send on' : undefined;
  }

  #judge(fault: string | undefined, trace: Trace | undefined): void {
    if (fault === undefined) return;
    const steps: string[] = [];
    for (let one = trace; one !== undefined; one = one.before) steps.unshift(this.#describe(one));
    this.#faults.push({ fault, trace: steps });
  }

  #describe({ action, at }: Trace): string {
    switch (action.kind) {
      case 'stimulus': {
        const { side, input } = this.#scenario.stimuli[action.index]!;
        return `${side}: ${typeof input === 'string' ? input : input.kind}`;
      }
      case 'timer':
        return `time passes from ${at.now} to ${deadlineOf(at)}`;
      default: {
        const { name, to } = this.#datagrams[action.datagram]!;
        return `${action.kind} #${action.datagram} ${name} to ${to}`;
      }
    }
  }
}

/** The way to a state, backwards. */
interface Trace {
  readonly before: Trace | undefined;
  readonly action: Action;
  readonly at: State;
}

function keyOf(state: State): string {
  const { east, west, flight, pending, now, losses, duplicates, early } = state;
  return `${east.id},${west.id},${now},${losses}${duplicates}${early}|${flight}|${pending}`;
}

function deadlineOf({ east, west, now }: State): number | undefined {
  const due = [east.deadline, west.deadline].filter((at) => at !== undefined);
  return due.length === 0 ? undefined : Math.max(now, Math.min(...due));
}

function without(list: readonly number[], one: number): number[] {
  const out = [...list];
  out.splice(out.indexOf(one), 1);
  return out;
}

/** Among equal selectors the child SA that was activated last sends (RFC 7296 §2.8). */
function outboundOf({ children }: Book): Installed | undefined {
  let best: Installed | undefined;
  for (const child of children.values()) {
    if (child.order > 0 && (best === undefined || child.order > best.order)) best = child;
  }
  return best;
}

function follow(book: Book, outputs: readonly Output[]): Book {
  const ikes = new Map(book.ikes);
  const children = new Map(book.children);
  let { activations } = book;
  for (const output of outputs) {
    switch (output.kind) {
      case 'install-child': {
        const { id, spiIn, spiOut, outbound } = output.child;
        if (children.has(id)) throw new Error(`child SA ${id} is installed twice`);
        children.set(id, { id, spiIn, spiOut, order: outbound ? ++activations : 0 });
        break;
      }
      case 'activate-outbound': {
        const child = children.get(output.childId);
        if (child === undefined || child.order > 0) throw new Error('an activation that has no place');
        children.set(child.id, { ...child, order: ++activations });
        break;
      }
      case 'remove-child':
        if (!children.delete(output.childId)) throw new Error('a child SA is removed that is not there');
        break;
      case 'event':
        if (output.event.kind === 'ike-established') {
          const { ikeId, initiatorSpi, responderSpi } = output.event.ike;
          ikes.set(ikeId, `${initiatorSpi}-${responderSpi}`);
        } else if (output.event.kind === 'ike-closed') ikes.delete(output.event.ikeId);
        break;
      default:
    }
  }
  return { ikes, children, activations };
}
