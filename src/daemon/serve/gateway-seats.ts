import { mainThreadWork } from '../../linux/processes.js';
import type { PublishEvent } from '../../telemetry/events/event-document.js';
import { describeOperatorEvent } from '../../telemetry/events/operator-events.js';
import type { Millis } from '../../util/units.js';
import type { DesiredState } from '../supervised/desired-state.js';
import { HEARTBEAT_PACE, Heartbeat, type HeartbeatPace } from '../warden/heartbeat.js';
import type { TakeReason } from '../warden/leader-record.js';
import { LocalSeats, SEATS, type Seat, type SeatNews, type SeatOrder } from '../warden/local-seats.js';
import { type MemberOptions, MemberProcess } from './member-process.js';
import type { MemberTurn } from './member-turn.js';
import { SeatStarts } from './seat-starts.js';
import type { SpareStarts } from './spare-starts.js';

/** How the two processes of a gateway are launched and watched. */
export interface SeatsOptions {
  /** Of the member at a seat; its turn is decided here. */
  member(seat: Seat): Omit<MemberOptions, 'turn'>;
  /** Called when the roles may have changed. */
  readonly changed: () => void;
  /** Takes what happens to the gateway: the member says which seat it is about. */
  publish(seat: Seat, event: Parameters<PublishEvent>[0]): void;
  /** The line of standbys that are to be started; shared by all gateways. */
  readonly spares: SpareStarts;
  /** How long a member speaks before its standby is started, so that its tunnels come up first. */
  readonly settle: Millis;
  /** `HEARTBEAT_PACE` when left out. */
  readonly pace?: HeartbeatPace;
}

/** The longest time that a timer of Node takes. */
const MAX_TIMER_MS = 0x7fff_ffff;

/**
 * The two processes of a policy mode gateway on one host: one speaks, the other is ready to. It follows the wardens of
 * both, which see to it that the one that spoke is known dead before the other begins.
 */
export class GatewaySeats {
  readonly members: readonly [MemberProcess, MemberProcess];
  /** Takeovers since this server began, by reason. */
  readonly takeovers: Record<Exclude<TakeReason, 'start'>, number> = { switch: 0, ended: 0, silent: 0 };
  readonly #options: SeatsOptions;
  readonly #seats = new LocalSeats();
  readonly #starts: SeatStarts;
  /** What a ready process waits for, by seat. */
  readonly #turns: (((term: number) => void) | undefined)[] = [];
  /** What was found at each seat when this began: a process that speaks in a term, one that does not, or none. */
  #found: (Found | undefined)[] | undefined = [undefined, undefined];
  #news: (readonly [Seat, SeatNews])[] = [];
  #deadline: NodeJS.Timeout | undefined;
  #beats: NodeJS.Timeout | undefined;
  #heart:
    | { readonly pid: number; readonly heartbeat: Heartbeat; isAsking: boolean; isHung: boolean }
    | undefined;
  /** The seat that spoke last. */
  #last: Seat | undefined;
  #isEnding = false;

  constructor(desired: DesiredState, options: SeatsOptions) {
    this.#options = options;
    this.#starts = new SeatStarts(options);
    this.members = [this.#member(0, desired), this.#member(1, desired)];
  }

  /** The seat whose process speaks, or is about to. */
  get active(): Seat | undefined {
    return this.#seats.active;
  }

  /** The number of the last takeover; 0 before any process spoke. */
  get term(): number {
    return this.#seats.term;
  }

  /** The member that speaks for the gateway, else the one that is to. */
  get speaker(): MemberProcess {
    return this.members[this.active ?? 0];
  }

  /** The other one. */
  get standby(): MemberProcess {
    return this.members[this.active === 1 ? 0 : 1];
  }

  start(): void {
    for (const member of this.members) member.start();
    const { beat } = this.#options.pace ?? HEARTBEAT_PACE;
    this.#beats = setInterval(() => this.#beat(), beat).unref();
  }

  /** Both get it: the standby becomes what it is to take over. */
  async patch(desired: DesiredState): Promise<void> {
    await Promise.all(this.members.map((member) => member.patch(desired)));
  }

  /** Lets the standby take over. @returns false when none is ready */
  switch(): boolean {
    if (this.#isEnding || !this.#seats.canSwitch()) return false;
    this.#obey(this.#seats.switch(performance.now()));
    return true;
  }

  /** Resolves when nothing is left of it. */
  async stop(): Promise<void> {
    this.#end();
    // The one that speaks undoes what it did to the host; the device goes with the last.
    await this.speaker.stop();
    await this.standby.stop();
  }

  /** Follows its processes no longer and leaves them running. */
  async release(): Promise<void> {
    this.#end();
    await Promise.all(this.members.map((member) => member.release()));
  }

  #end(): void {
    this.#isEnding = true;
    this.#starts.end();
    clearInterval(this.#beats);
    clearTimeout(this.#deadline);
  }

  #member(seat: Seat, desired: DesiredState): MemberProcess {
    const turn: MemberTurn = {
      found: (process) => this.#look(seat, process === undefined ? 'none' : (process.term ?? 'idle')),
      mayStart: () => this.#starts.wait(seat),
      ready: () =>
        new Promise((resolve) => {
          this.#turns[seat] = resolve;
          this.#starts.ready(seat);
          this.#hear(seat, 'ready');
          this.#replaceOutdated();
        }),
      live: () => this.#live(seat),
      ended: () => {
        this.#turns[seat] = undefined;
        if (this.#found === undefined) this.#hear(seat, 'ended');
        else this.#forget(seat);
        this.#starts.ended(seat);
      },
    };
    return new MemberProcess(desired, { ...this.#options.member(seat), turn });
  }

  /** Its process is gone before it is known who speaks: nothing that was found or heard of it is true any more. */
  #forget(seat: Seat): void {
    this.#news = this.#news.filter(([from]) => from !== seat);
    if (this.#found?.[seat] !== undefined) this.#found[seat] = 'none';
    else this.#look(seat, 'none');
  }

  /** When both seats have been looked at it is known who speaks already. */
  #look(seat: Seat, found: Found): void {
    const all = this.#found;
    if (all === undefined || all[seat] !== undefined) return;
    all[seat] = found;
    if (all.includes(undefined)) return;
    this.#found = undefined;
    const speaking = SEATS.filter((one) => typeof all[one] === 'number').sort(
      (a, b) => Number(all[b]) - Number(all[a]),
    );
    const [speaker, second] = speaking;
    // No server of ours leaves two behind: whatever happened, the one of the earlier term goes.
    if (second !== undefined) this.members[second].process?.kill('SIGKILL');
    this.#last = speaker;
    const known = speaker === undefined ? undefined : { seat: speaker, term: Number(all[speaker]) };
    // Of two that do not speak, one that is there already is ready sooner.
    const first = all[0] === 'none' && all[1] === 'idle' ? 1 : 0;
    this.#obey(
      this.#seats.place({ first, ...(known === undefined ? {} : { speaks: known }) }, performance.now()),
    );
    for (const [from, news] of this.#news.splice(0)) this.#hear(from, news);
    this.#starts.begin(all.map((one) => (one === 'none' ? 'gone' : one === 'idle' ? 'coming' : 'live')));
  }

  #live(seat: Seat): void {
    this.#starts.live(seat);
    this.#hear(seat, 'live');
    const { reason, term } = this.#seats;
    const isOther = this.#last !== undefined && this.#last !== seat;
    this.#last = seat;
    if (this.#isEnding || !isOther || reason === 'start') return;
    this.takeovers[reason]++;
    this.#options.publish(seat, describeOperatorEvent({ kind: 'gateway-took-over', reason, term }));
  }

  /** One of another version, which a server before this one has left, speaks until the other is ready. */
  #replaceOutdated(): void {
    if (this.active !== undefined && this.members[this.active].process?.isOutdated === true) this.switch();
  }

  #hear(seat: Seat, news: SeatNews): void {
    if (this.#isEnding) return;
    if (this.#found !== undefined) this.#news.push([seat, news]);
    else this.#obey(this.#seats.news(seat, news, performance.now()));
  }

  #obey(orders: readonly SeatOrder[]): void {
    for (const order of orders) {
      const member = this.members[order.seat];
      // Its loop begins with the next process by itself, and waits for its start.
      if (order.kind === 'take') {
        this.#starts.taking(order.seat);
        this.#turns[order.seat]?.(order.term);
      } else if (order.kind === 'release') void member.handOver();
      else if (order.kind === 'kill') member.process?.kill('SIGKILL');
    }
    this.#arm();
    this.#options.changed();
  }

  #arm(): void {
    clearTimeout(this.#deadline);
    const due = this.#seats.nextDeadline();
    if (this.#isEnding || due === Number.POSITIVE_INFINITY) return;
    const wait = Math.min(MAX_TIMER_MS, Math.max(0, due - performance.now()));
    this.#deadline = setTimeout(() => this.#obey(this.#seats.timer(performance.now())), wait).unref();
  }

  /** Whether the process that speaks is alive: asked often, since another one could take over at once. */
  #beat(): void {
    const { active } = this;
    const process = active === undefined ? undefined : this.members[active].process;
    if (active === undefined || process === undefined) {
      this.#heart = undefined;
      return;
    }
    const { pid, client } = process;
    const now = performance.now();
    if (this.#heart?.pid !== pid) {
      const heartbeat = new Heartbeat(now, this.#options.pace);
      this.#heart = { pid, heartbeat, isAsking: false, isHung: false };
    }
    const heart = this.#heart;
    const isHung = heart.heartbeat.beat(now, mainThreadWork(pid));
    if (isHung !== heart.isHung) {
      heart.isHung = isHung;
      this.#hear(active, isHung ? 'silent' : 'answers');
    }
    if (heart.isAsking) return;
    heart.isAsking = true;
    client.ping().then(
      () => {
        heart.isAsking = false;
        heart.heartbeat.answered();
      },
      () => {
        heart.isAsking = false;
      },
    );
  }
}

/** The term in which a process speaks, or that it does not speak, or that there is none. */
type Found = number | 'idle' | 'none';
