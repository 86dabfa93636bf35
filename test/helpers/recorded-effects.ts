import type { Effects } from '../../src/daemon/core/effects.js';

/** Effects that only write down what was asked of them, one line each. */
export class RecordedEffects implements Effects {
  readonly done: string[] = [];
  /** Why the next child SA is refused. */
  refusal: string | undefined;

  send({ remote }: Parameters<Effects['send']>[0]): void {
    this.done.push(`send ${remote.address}`);
  }
  sendKeepalive({ address }: Parameters<Effects['sendKeepalive']>[0]): void {
    this.done.push(`keepalive ${address}`);
  }
  expectEsp(spi: number): void {
    this.done.push(`expect ${spi}`);
  }
  forgetEsp(spi: number): void {
    this.done.push(`forget ${spi}`);
  }
  installChild({ id, connection }: Parameters<Effects['installChild']>[0]): string | undefined {
    this.done.push(`install ${id} of ${connection}`);
    return this.refusal;
  }
  activateOutbound(id: number): void {
    this.done.push(`activate ${id}`);
  }
  removeChild(id: number, rekeyed: boolean): void {
    this.done.push(`remove ${id}${rekeyed ? ', rekeyed' : ''}`);
  }
  updatePeer(id: number, peer: Parameters<Effects['updatePeer']>[1]): void {
    if (peer.port === 0) throw new RangeError('no port');
    this.done.push(`peer of ${id} at ${peer.address}`);
  }
  skipOutbound(id: number, packets: number): void {
    this.done.push(`skip ${packets} of ${id}`);
  }
  peerResolved(addresses: readonly string[]): void {
    this.done.push(`resolved ${addresses.join(' ')}`);
  }
  end(): void {
    this.done.push('end');
  }
}
