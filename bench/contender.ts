import type { NetworkLab } from '#culvert/linux/namespaces.js';

/** A pair of gateways to be measured, in the network of `createSiteNetwork`. */
export interface Contender {
  readonly lab: NetworkLab;
  /** Processes that carry packets, of both gateways; none when the kernel does it. */
  readonly pids: readonly number[];
  /** What only our own gateways know how to do under load. */
  command?(line: string): void;
  /** Packets that our own gateways have dropped since the start. */
  drops?(): Promise<number>;
  stop(): Promise<unknown>;
}
