import type { EngineConfig } from '../../src/ike/config.js';
import { Engine } from '../../src/ike/engine.js';
import type { Input } from '../../src/ike/inputs.js';
import { DEFAULT_LIMITS } from '../../src/ike/limits.js';
import type { SendOutput } from '../../src/ike/outputs.js';
import { type ConnectionPatch, connection, EAST } from './engine-pair.js';
import {
  type Book,
  blackHole,
  EMPTY_BOOK,
  follow,
  type Outcome,
  outboundOf,
  restFault,
  restFaultV1,
} from './explorer-book.js';
import { SeededRandom } from './seeded-random.js';
import { createToyBackend } from './toy-crypto.js';
import { v1 } from './v1-pair.js';
import { packetName } from './virtual-net.js';

const toy = createToyBackend();
const limits = { ...DEFAULT_LIMITS };

export type Side = 'east' | 'west';

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
  | { readonly kind: 'deliver' | 'duplicate'; readonly datagram: number; readonly cost: number }
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
  /** Accidents that may still happen, and whether a loss was among those that have. */
  readonly accidents: number;
  readonly lost: boolean;
}

export interface Stimulus {
  readonly side: Side;
  /** `traffic`: a packet that the end sends on its newest outbound child SA arrives at the other one. */
  readonly input: Input | 'traffic' | 'delete-child';
}

export interface Scenario {
  /** Version of IKE, 2 when left out. */
  readonly version?: 1 | 2;
  readonly east?: ConnectionPatch;
  readonly west?: ConnectionPatch;
  /** Whether the connection stands before anything else happens. */
  readonly established: boolean;
  /** What happens at some time, in any order, between any two datagrams. */
  readonly stimuli: readonly Stimulus[];
  /**
   * How deep the search goes: how many accidents there may be in one way. An accident is a datagram that is lost,
   * one that arrives twice, or a timeout that comes although datagrams are in flight.
   */
  readonly accidents: number;
  /**
   * `free` (the default): datagrams arrive in any order. `accident`: one that arrives before another one that was
   * sent earlier to the same end is an accident too, for scenarios with many datagrams in flight.
   */
  readonly overtaking?: 'free' | 'accident';
  /** Virtual time at which a way ends, by when the ends must have agreed. */
  readonly horizon?: number;
  /** Whether a break is allowed: the scenario ends the connection or a child SA on purpose. */
  readonly mayBreak?: boolean;
  /** Default `up`. */
  readonly outcome?: Outcome;
  /** Version 1: a DELETE may come too early or too late to be read, which is as good as lost. */
  readonly leftovers?: boolean;
}

export interface Report {
  readonly states: number;
  readonly ends: number;
  /** Faults with the way to them, at most a few. */
  readonly faults: readonly { readonly fault: string; readonly trace: readonly string[] }[];
}

const MAX_FAULTS = 3;
const HORIZON = 100_000;

/**
 * Walks every order in which the datagrams of two ends can be delivered, with up to a number of accidents
 * anywhere. After each step no end may send into a black hole, and in the end both must agree and hold nothing
 * else.
 *
 * Two things make that cheap. The state of an end is known by the datagrams it has got, so that what happens at
 * one end and what happens at the other lead to the same state in either order: states that were seen before are
 * not walked again. And a datagram that is lost at some time is lost when it is sent: nothing can tell the
 * difference, so no other times are tried.
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
  /** Datagrams of the present step. */
  #sent: number[] = [];
  #nodes = 0;
  #ends = 0;

  constructor(scenario: Scenario) {
    this.#scenario = scenario;
    this.#horizon = scenario.horizon ?? HORIZON;
  }

  run(): Report {
    const stack: { state: State; trace: Trace | undefined }[] = [{ state: this.#start(), trace: undefined }];
    while (stack.length > 0 && this.#faults.length < MAX_FAULTS) {
      const { state, trace } = stack.pop()!;
      const key = keyOf(state);
      if (this.#seen.has(key)) continue;
      this.#seen.add(key);
      const actions = this.#actions(state);
      if (actions.length === 0) {
        this.#ends++;
        this.#judge(this.#endFault(state), trace);
        continue;
      }
      // The last one pushed is walked first: deliveries before accidents.
      for (const action of actions.reverse()) {
        const way: Trace = { before: trace, action, at: state, lost: [] };
        let next: State;
        this.#sent = [];
        try {
          next = this.#apply(state, action);
        } catch (error) {
          this.#judge((error as Error).message, way);
          continue;
        }
        const fault = this.#blackHole(next);
        if (fault !== undefined) {
          this.#judge(fault, way);
          continue;
        }
        for (const lost of sublists(this.#sent, next.accidents).reverse()) {
          const flight = lost.reduce(without, next.flight);
          const left = { accidents: next.accidents - lost.length, lost: next.lost || lost.length > 0 };
          stack.push({ state: { ...next, flight, ...left }, trace: { ...way, lost } });
        }
      }
    }
    return { states: this.#seen.size, ends: this.#ends, faults: this.#faults };
  }

  #start(): State {
    const { established, accidents, stimuli, version = 2, ...scenario } = this.#scenario;
    const config = (side: Side): EngineConfig => {
      const patch: ConnectionPatch = {
        dpd: { action: 'none', interval: 10, timeout: 40 },
        childLifetime: 80_000,
        ikeLifetime: 80_000,
        ...scenario[side],
      };
      return { connections: [connection(side, version === 1 ? v1(patch) : patch)] };
    };
    let state: State = {
      east: this.#root(config('east'), 11),
      west: this.#root(config('west'), 22),
      flight: [],
      pending: stimuli.map((_, index) => index),
      now: 0,
      accidents,
      lost: false,
    };
    if (!established) return state;
    state = this.#feed(state, 'east', { kind: 'initiate', connection: 'site' });
    while (state.flight.length > 0)
      state = this.#apply(state, { kind: 'deliver', datagram: state.flight[0]!, cost: 0 });
    if (state.east.book.children.size !== 1) throw new Error('the connection did not come up');
    return state;
  }

  #root(config: EngineConfig, seed: number): Node {
    return {
      id: this.#nodes++,
      parent: undefined,
      input: { kind: 'configure', config },
      now: seed,
      book: EMPTY_BOOK,
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
    this.#sent.push(...edge.sent);
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
    const costs = different.map((datagram) => this.#overtakingCost(state, datagram));
    const take = (kind: 'deliver' | 'duplicate', extra: number): void => {
      different.forEach((datagram, n) => {
        const cost = costs[n]! + extra;
        if (cost <= state.accidents) actions.push({ kind, datagram, cost });
      });
    };
    take('deliver', 0);
    for (const index of state.pending) actions.push({ kind: 'stimulus', index });
    take('duplicate', 1);
    const quiet = state.flight.length === 0 && state.pending.length === 0;
    const due = deadlineOf(state);
    if (due !== undefined && due <= this.#horizon && (quiet || state.accidents > 0))
      actions.push({ kind: 'timer' });
    return actions;
  }

  #overtakingCost({ flight }: State, datagram: number): number {
    if (this.#scenario.overtaking !== 'accident') return 0;
    const { to } = this.#datagrams[datagram]!;
    return flight.some((one) => one < datagram && this.#datagrams[one]!.to === to) ? 1 : 0;
  }

  #apply(state: State, action: Action): State {
    switch (action.kind) {
      case 'deliver':
      case 'duplicate': {
        const { to, input } = this.#datagrams[action.datagram]!;
        const flight = action.kind === 'duplicate' ? state.flight : without(state.flight, action.datagram);
        const accidents = state.accidents - action.cost;
        return this.#feed({ ...state, flight, accidents }, to, input, action.datagram);
      }
      case 'stimulus':
        return this.#stimulate({ ...state, pending: without(state.pending, action.index) }, action.index);
      case 'timer': {
        const quiet = state.flight.length === 0 && state.pending.length === 0;
        const now = deadlineOf(state)!;
        let next: State = { ...state, now, accidents: state.accidents - (quiet ? 0 : 1) };
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

  #blackHole({ east, west }: State): string | undefined {
    const { mayBreak = false, established } = this.#scenario;
    if (mayBreak) return undefined;
    return (
      blackHole('east', east.book, west.book, established) ??
      blackHole('west', west.book, east.book, established)
    );
  }

  #endFault({ east, west, lost }: State): string | undefined {
    const { version = 2, outcome = 'up', leftovers = false, ...ends } = this.#scenario;
    for (const [side, { size, book }] of [
      ['east', east],
      ['west', west],
    ] as const)
      if (size !== book.ikes.size) return `${side} holds ${size} IKE SAs and reports ${book.ikes.size}`;
    if (version === 2) return restFault(east.book, west.book, outcome);
    const watched = [ends.east, ends.west].every((end) => (end?.dpd?.action ?? 'none') !== 'none');
    const excused = !lost && !leftovers ? 'nothing' : watched ? 'children' : 'all';
    return restFaultV1(east.book, west.book, outcome, excused);
  }

  #judge(fault: string | undefined, trace: Trace | undefined): void {
    if (fault === undefined) return;
    const steps: string[] = [];
    for (let one = trace; one !== undefined; one = one.before) steps.unshift(this.#describe(one));
    this.#faults.push({ fault, trace: steps });
  }

  #describe({ action, at, lost }: Trace): string {
    const names = lost.map((one) => ` and lose #${one} ${this.#datagrams[one]!.name}`);
    return `${this.#describeAction(action, at)}${names.join('')}`;
  }

  #describeAction(action: Action, at: State): string {
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
  /** Datagrams that were sent in the step and get lost. */
  readonly lost: readonly number[];
}

function keyOf(state: State): string {
  const { east, west, flight, pending, now, accidents, lost } = state;
  return `${east.id},${west.id},${now},${accidents}${lost}|${flight}|${pending}`;
}

function deadlineOf({ east, west, now }: State): number | undefined {
  const due = [east.deadline, west.deadline].filter((at) => at !== undefined);
  return due.length === 0 ? undefined : Math.max(now, Math.min(...due));
}

/** All lists of at most so many of these, the empty one first. */
function sublists(all: readonly number[], most: number): number[][] {
  let lists: number[][] = [[]];
  for (const one of all) lists = [...lists, ...lists.map((list) => [...list, one])];
  return lists.filter((list) => list.length <= most);
}

function without(list: readonly number[], one: number): number[] {
  const out = [...list];
  out.splice(out.indexOf(one), 1);
  return out;
}
