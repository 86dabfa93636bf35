import type { ConnectionConfig, DpdAction } from '../ike/config.js';
import { subjectOf } from '../ike/event-subject.js';
import type { IkeEvent } from '../ike/events.js';
import type { ConnectionId } from '../util/ids.js';
import type { Random } from '../util/random.js';
import type { Millis } from '../util/units.js';
import { backoffDelay, fraction } from './backoff.js';
import type { SaChange, SaView } from './ledger.js';
import { lossOf, noOutcome, note, type Outcome } from './outcome.js';
import type { EventConsumer } from './projection.js';
import {
  type Command,
  type ConnectionView,
  DEFAULT_POLICY,
  type ReconcileInput,
  type ReconcilePolicy,
  type State,
  type Stimulus,
} from './reconcile-types.js';

interface Entry {
  config: ConnectionConfig;
  state: State;
  failures: number;
  deadline: Millis | undefined;
  upSince: Millis | undefined;
  /** Whether a child SA was established after the last step. */
  standing: boolean;
  /** Its stagger slot was granted, now or at `deadline`. */
  hasTurn: boolean;
  /** Failed attempts to replace the established SAs; undefined when they are not to be replaced. */
  renewals: number | undefined;
  heardAt: Millis;
}

/** What a row of the table may use. */
interface Step {
  readonly entry: Entry;
  /** What the entry was to do next, and when: rows set another deadline, or none. */
  readonly deadline: Millis | undefined;
  readonly now: Millis;
  readonly commands: Command[];
}

type Action = (step: Step) => State;

/**
 * Keeps every connection in its desired state, for ever: there is no last try. A table of state
 * and stimulus decides; a pair that is not in the table changes nothing.
 */
export class Reconciler implements EventConsumer {
  readonly #entries = new Map<ConnectionId, Entry>();
  readonly #ledger: SaView;
  readonly #random: Random;
  /** What the events of this step mean so far. */
  readonly #outcomes = new Map<ConnectionId, Outcome>();
  readonly #policy: ReconcilePolicy;
  /** From when on the next attempt may begin. */
  #nextTurn: Millis = 0;
  readonly #table: Readonly<Record<State, Readonly<Partial<Record<Stimulus, Action>>>>>;

  /** @param ledger has taken every event before it comes here */
  constructor(random: Random, ledger: SaView, policy: ReconcilePolicy = DEFAULT_POLICY) {
    this.#ledger = ledger;
    this.#random = random;
    this.#policy = policy;
    this.#table = this.#makeTable();
  }

  /** Takes an event; `handle` draws the conclusions from all of a step. */
  on(event: IkeEvent, now: Millis, change: SaChange): void {
    if (event.kind === 'ike-responding') this.#heard(event.peer.address, now);
    const { connection } = subjectOf(event);
    const entry = connection === undefined ? undefined : this.#entries.get(connection);
    if (connection === undefined || entry === undefined) return;
    const outcome = this.#outcomes.get(connection) ?? noOutcome();
    this.#outcomes.set(connection, outcome);
    note(
      { event, change, sas: this.#ledger.of(connection), connecting: entry.state === 'connecting' },
      outcome,
    );
  }

  handle(input: ReconcileInput, now: Millis): Command[] {
    const commands: Command[] = [];
    switch (input.kind) {
      case 'configure':
        this.#configure(input.connections, now, commands);
        break;
      case 'step':
        this.#conclude(now, commands);
        break;
      case 'timer':
        for (const entry of this.#entries.values()) {
          if (entry.deadline !== undefined && entry.deadline <= now)
            this.#apply(entry, 'deadline', now, commands);
        }
        break;
      default: {
        const entry = this.#entries.get(input.connection);
        if (entry !== undefined) this.#apply(entry, input.kind, now, commands);
      }
    }
    return commands;
  }

  /** When `timer` is due next, undefined when nothing waits. */
  nextDeadline(): Millis | undefined {
    let next: Millis | undefined;
    for (const { deadline } of this.#entries.values()) {
      if (deadline !== undefined && (next === undefined || deadline < next)) next = deadline;
    }
    return next;
  }

  view(connection: ConnectionId): ConnectionView | undefined {
    const entry = this.#entries.get(connection);
    if (entry === undefined) return undefined;
    return {
      state: entry.state,
      failures: entry.failures,
      nextAttemptAt: entry.state === 'due' ? entry.deadline : undefined,
      renewing: entry.renewals !== undefined,
    };
  }

  #makeTable(): Readonly<Record<State, Readonly<Partial<Record<Stimulus, Action>>>>> {
    const { disable, down, up, again, start, now, afresh, renew, wake } = this.#actions();
    return {
      disabled: { enable: start, established: again },
      stopped: { up: wake, disable, established: again },
      passive: { up: now, retry: afresh, down, disable, established: up },
      trapped: { up: now, acquire: start, down, disable, established: up },
      due: {
        up: now,
        retry: afresh,
        deadline: start,
        down,
        disable,
        established: up,
        // Its child SAs went first, and now the IKE SA: the whole connection has to be re-established.
        'lost-deleted': (step) => this.#later(step),
      },
      connecting: {
        retry: ({ entry, now: at }) => {
          entry.failures = 0;
          entry.deadline = at + this.#policy.watchdog;
          return 'connecting';
        },
        renegotiate: (step) => this.#renegotiate(step),
        established: up,
        failed: (step) => this.#retry(step),
        deadline: start,
        down,
        disable,
      },
      up: {
        'lost-dead': (step) => this.#afterDpd(step),
        'lost-deleted': (step) => this.#soon(step),
        'lost-child': (step) => this.#soon(step, this.#policy.afterChildDelete),
        lost: (step) => this.#retry(step),
        renew: (step) => {
          step.entry.renewals = 0;
          return this.#renew(step);
        },
        renegotiate: (step) => this.#renegotiate(step),
        failed: (step) => this.#renewalFailed(step),
        deadline: renew,
        down,
        disable,
      },
    };
  }

  /** What more than one row does. */
  #actions() {
    return {
      disable: (step) => this.#end(step, 'disabled'),
      down: (step) => this.#end(step, 'stopped'),
      up: () => 'up',
      // The SA came up before we refused it.
      again: ({ entry, commands }) => {
        commands.push({ kind: 'terminate', connection: entry.config.id });
        return entry.state;
      },
      start: (step) => this.#start(step),
      now: (step) => this.#start(step, true),
      afresh: (step) => {
        step.entry.failures = 0;
        return this.#start(step);
      },
      renew: (step) => this.#renew(step),
      wake: (step) => this.#wake(step),
    } satisfies Record<string, Action>;
  }

  #apply(entry: Entry, stimulus: Stimulus, now: Millis, commands: Command[]): void {
    const action = this.#table[entry.state][stimulus];
    if (action === undefined) {
      // A deadline that this state ignores is consumed all the same.
      if (stimulus === 'deadline') entry.deadline = undefined;
      return;
    }
    const { deadline } = entry;
    entry.deadline = undefined;
    const wasUp = entry.state === 'up';
    if (entry.upSince !== undefined && now - entry.upSince >= this.#policy.settled) entry.failures = 0;
    entry.state = action({ entry, deadline, now, commands });
    if (entry.state !== 'up') {
      entry.upSince = undefined;
      entry.renewals = undefined;
    } else if (!wasUp) {
      entry.upSince = now;
    }
  }

  /**
   * Initiates, or waits for the peer where we never initiate, or for its turn among many connections.
   * @param atOnce an operator waits for it
   */
  #start({ entry, now, commands }: Step, atOnce = false): State {
    if (entry.config.establishMode === 'peer_only') return 'passive';
    if (!atOnce && !entry.hasTurn && this.#nextTurn > now) {
      entry.hasTurn = true;
      entry.deadline = this.#nextTurn;
      this.#nextTurn += this.#policy.stagger;
      return 'due';
    }
    if (!entry.hasTurn) this.#nextTurn = Math.max(this.#nextTurn, now) + this.#policy.stagger;
    entry.hasTurn = false;
    commands.push({ kind: 'initiate', connection: entry.config.id });
    entry.deadline = now + this.#policy.watchdog;
    return 'connecting';
  }

  #wake(step: Step): State {
    step.entry.failures = 0;
    step.commands.push({ kind: 'admit', connection: step.entry.config.id });
    return this.#start(step);
  }

  #end({ entry, commands }: Step, state: 'disabled' | 'stopped'): State {
    entry.failures = 0;
    if (entry.state === 'stopped') {
      commands.push({ kind: 'admit', connection: entry.config.id });
      return state;
    }
    commands.push({ kind: 'terminate', connection: entry.config.id });
    if (state === 'stopped') commands.push({ kind: 'refuse', connection: entry.config.id });
    return state;
  }

  /** Tries to replace the established SAs. They keep working whether that succeeds or not. */
  #renew({ entry, commands }: Step): State {
    if (entry.renewals !== undefined && entry.config.establishMode === 'bidirectional') {
      commands.push({ kind: 'renew', connection: entry.config.id });
    }
    return 'up';
  }

  #renewalFailed({ entry, now }: Step): State {
    if (entry.renewals === undefined) return 'up';
    entry.renewals++;
    entry.deadline = now + backoffDelay(entry.renewals, this.#random, this.#policy.backoff);
    return 'up';
  }

  /** The engine ends what is there; it comes back soon, or when the peer wants it. */
  #renegotiate(step: Step): State {
    const { entry, commands } = step;
    commands.push({ kind: 'terminate', connection: entry.config.id });
    entry.failures = 0;
    return this.#soon(step);
  }

  #retry({ entry, now }: Step): State {
    if (entry.config.establishMode === 'peer_only') return 'passive';
    entry.failures++;
    entry.deadline = now + backoffDelay(entry.failures, this.#random, this.#policy.backoff);
    return 'due';
  }

  /** The peer deleted what we want: again, but let a new attempt of its own come first. */
  #soon(step: Step, delay?: Millis): State {
    const { entry, now } = step;
    if (entry.failures > 0) return this.#retry(step);
    if (entry.config.establishMode === 'peer_only') return 'passive';
    entry.failures = 1;
    entry.deadline = now + (delay ?? this.#courtesy());
    return 'due';
  }

  #later({ entry, deadline, now }: Step): State {
    entry.deadline = Math.max(deadline ?? now, now + this.#courtesy());
    return 'due';
  }

  #courtesy(): Millis {
    return Math.ceil(this.#policy.afterDelete * fraction(this.#random));
  }

  /** "At once" applies to a connection that has proven itself; one that flaps waits longer each time. */
  #restart(step: Step): State {
    if (step.entry.failures > 0) return this.#retry(step);
    step.entry.failures = 1;
    return this.#start(step);
  }

  #afterDpd(step: Step): State {
    const { entry } = step;
    const next: Readonly<Record<DpdAction, () => State>> = {
      restart: () => this.#restart(step),
      clear: () => 'passive',
      hold: () => (entry.config.establishMode === 'peer_only' ? 'passive' : 'trapped'),
      none: () => this.#retry(step),
    };
    return next[entry.config.dpd.action]();
  }

  #configure(connections: readonly ConnectionConfig[], now: Millis, commands: Command[]): void {
    const wanted = new Set(connections.map((one) => one.id));
    // The engine ends the SAs of a connection that left the configuration by itself.
    for (const id of this.#entries.keys()) if (!wanted.has(id)) this.#entries.delete(id);
    for (const config of connections) {
      let entry = this.#entries.get(config.id);
      if (entry === undefined) {
        entry = {
          config,
          state: 'disabled',
          failures: 0,
          deadline: undefined,
          upSince: undefined,
          standing: false,
          hasTurn: false,
          renewals: undefined,
          heardAt: Number.NEGATIVE_INFINITY,
        };
        this.#entries.set(config.id, entry);
      }
      entry.config = config;
      if (!config.adminUp) this.#apply(entry, 'disable', now, commands);
      else this.#apply(entry, 'enable', now, commands);
    }
  }

  #conclude(now: Millis, commands: Command[]): void {
    const outcomes = [...this.#outcomes];
    this.#outcomes.clear();
    for (const [connection, outcome] of outcomes) {
      const entry = this.#entries.get(connection);
      if (entry === undefined) continue;
      const sas = this.#ledger.of(connection);
      const standing = sas.children.size > 0;
      const before = entry.standing;
      entry.standing = standing;
      if (standing && before && outcome.negotiated) entry.renewals = undefined;
      if (standing && !before) this.#apply(entry, 'established', now, commands);
      else if (!standing && before && entry.state === 'up')
        this.#apply(entry, lossOf(sas, outcome.reason), now, commands);
      else if (entry.state === 'due' && outcome.ikeDeleted) this.#apply(entry, 'lost-deleted', now, commands);
      else if (outcome.failed && (!standing || entry.renewals !== undefined)) {
        this.#apply(entry, 'failed', now, commands);
      }
    }
  }

  /** The peer is alive: there is no point in waiting for the rest of a long backoff. */
  #heard(address: string, now: Millis): void {
    for (const entry of this.#entries.values()) {
      if (entry.state !== 'due' && entry.state !== 'connecting') continue;
      if (now - entry.heardAt < this.#policy.heardAgain) continue;
      if (!entry.config.peer.addresses.includes(address)) continue;
      entry.heardAt = now;
      entry.failures = 0;
      if (entry.state !== 'due' || entry.deadline === undefined) continue;
      entry.deadline = Math.min(entry.deadline, now + backoffDelay(1, this.#random, this.#policy.backoff));
    }
  }
}
