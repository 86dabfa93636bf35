/** Where a member of a gateway runs: a host, or one of two processes on the same host. */
export type PlaceId = string;

/** Why a place became the one that speaks. */
export type TakeReason =
  /** The gateway began, or no place spoke for it. */
  | 'start'
  /** An operator, or an upgrade, asked for it. */
  | 'switch'
  /** The process that spoke has ended by itself. */
  | 'ended'
  /** The process that spoke did not answer any more. */
  | 'silent';

/**
 * Which place speaks for a gateway. Each time a place begins to, it is written with a higher term, by compare-and-set:
 * of two that want to begin, one loses.
 */
export interface LeaderRecord {
  readonly term: number;
  readonly holder: PlaceId;
  /** `pair`: the other place is ready to take over. `store`: the holder is alone. */
  readonly guard: 'pair' | 'store';
  readonly reason: TakeReason;
}

/** A record as it is stored. */
export interface StoredRecord {
  /** Another one after every write; 0 before the first. */
  readonly revision: number;
  /** Undefined before the first write. */
  readonly record: LeaderRecord | undefined;
}
