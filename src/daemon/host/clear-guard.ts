import type { ClearPacketStatus } from '../../connection/status.js';
import { discardedByGuard, type GuardPlan, installGuard, removeGuard } from '../../linux/nft-guard.js';
import { hasNftTable } from '../../linux/nftables.js';
import type { Logger } from '../../telemetry/log.js';
import { oneLine } from '../../util/operator-error.js';

/** The packet filter of the host, as far as the guard needs it. */
export interface PacketFilter {
  install(table: string, plan: GuardPlan, reversePath: boolean): void;
  remove(table: string): void;
  standing(table: string): boolean;
  discarded(table: string): number;
}

/** Rules of nftables in this network namespace. */
export const linuxFilter: PacketFilter = {
  install: installGuard,
  remove: removeGuard,
  standing: hasNftTable,
  discarded: discardedByGuard,
};

/** What the guard contributes to the status. */
export type GuardStatus = Omit<ClearPacketStatus, 'outbound'>;

/** Between two looks at whether the table is still there: a firewall that is loaded again flushes those of others. */
const LOOK_MS = 5000;

/** The name of the table of the gateway with this TUN device. */
export function guardTable(device: string): string {
  return `culvert-${device}`;
}

/**
 * Discards clear packets that match a connection's networks and come from anywhere but its TUN device. The rules apply
 * from before the first route to the end that an operator asks for, beyond a crash, too.
 */
export class ClearGuard {
  readonly #filter: PacketFilter;
  readonly #table: string;
  readonly #logger: Logger;
  /** Whether a process before this one has left rules. */
  readonly #adopted: boolean;
  #plan: GuardPlan | undefined;
  /** What is installed, as text to compare with. */
  #installed = '';
  #reason: string | undefined;
  #timer: NodeJS.Timeout | undefined;

  constructor(filter: PacketFilter, device: string, logger: Logger) {
    this.#filter = filter;
    this.#table = guardTable(device);
    this.#logger = logger;
    this.#adopted = this.#isInstalled();
  }

  /** Puts this plan in force in place of the one before. A refusal is logged and shown by `status`. */
  update(plan: GuardPlan): void {
    this.#plan = plan;
    const text = JSON.stringify(plan, (_, value) => (value instanceof Uint8Array ? [...value] : value));
    if (text !== this.#installed) this.#install(text);
    this.#timer ??= setInterval(() => this.#look(), LOOK_MS).unref();
  }

  status(): GuardStatus {
    if (this.#installed === '') {
      return { inbound: 'not_filtered', ...(this.#reason === undefined ? {} : { reason: this.#reason }) };
    }
    return { inbound: 'discarded', table: this.#table, discarded: this.#discarded() };
  }

  /** No more looks; the rules stay. */
  stop(): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  /** After a start that failed: rules that were there before stay. @throws LinuxError */
  undoStart(): void {
    this.stop();
    if (!this.#adopted) this.remove();
  }

  /** Takes the rules away. @throws LinuxError */
  remove(): void {
    this.stop();
    if (this.#installed === '' && !this.#adopted) return;
    this.#installed = '';
    this.#filter.remove(this.#table);
  }

  #install(text: string): void {
    const plan = this.#plan!;
    try {
      try {
        this.#filter.install(this.#table, plan, true);
      } catch (error) {
        // A kernel without nft_fib: our own networks are left out of the sources in any case.
        if (!MISSING.has((error as { code?: string }).code ?? '')) throw error;
        this.#filter.install(this.#table, plan, false);
      }
      this.#installed = text;
      this.#reason = undefined;
    } catch (error) {
      const reason = oneLine(error);
      if (reason !== this.#reason) {
        this.#logger.error(
          `clear packets for the tunnels' networks are not discarded: ${reason}; ` +
            'set net.ipv4.conf.DEVICE.rp_filter=1 on every device but the TUN device, or filter them yourself',
        );
      }
      this.#installed = '';
      this.#reason = reason;
    }
  }

  #look(): void {
    const text = this.#installed;
    if (text !== '' && this.#isInstalled()) return;
    if (text !== '') {
      this.#logger.warn(
        { table: this.#table },
        `the nftables table ${this.#table} was removed: it is created again`,
      );
    }
    const plan = this.#plan;
    this.#installed = '';
    if (plan !== undefined) this.update(plan);
  }

  #isInstalled(): boolean {
    try {
      return this.#filter.standing(this.#table);
    } catch {
      return false;
    }
  }

  #discarded(): number {
    try {
      return this.#filter.discarded(this.#table);
    } catch {
      return 0;
    }
  }
}

const MISSING: ReadonlySet<string> = new Set(['ENOENT', 'EOPNOTSUPP', 'EPROTONOSUPPORT']);
