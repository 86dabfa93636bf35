import type { ChildSa, Output, SendOutput } from '../../ike/outputs.js';
import type { ChildId, Spi } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';

/** What the core does to its surroundings. One method per output of the engine, and what the daemon adds to them. */
export interface Effects {
  /** Sends one IKE message. */
  send(output: SendOutput): void;
  /** Sends a NAT keepalive (RFC 3948 §4). */
  sendKeepalive(remote: Endpoint): void;
  /** The peer may send with this inbound SPI before its SA is agreed on: until `installChild` or `forgetEsp`. */
  expectEsp(spi: Spi): void;
  forgetEsp(spi: Spi): void;
  /** Takes ownership of the keys. @returns why the child SA could not be installed */
  installChild(child: ChildSa): string | undefined;
  /** Outbound traffic of its selectors uses the child SA from now on (RFC 7296 §2.8). */
  activateOutbound(childId: ChildId): void;
  /** `rekeyed`: another child SA carries its traffic, and what the peer sent before may still be on its way. */
  removeChild(childId: ChildId, rekeyed: boolean): void;
  updatePeer(childId: ChildId, peer: Endpoint): void;
  /** Leaves out as many outbound sequence numbers (RFC 6311 §5.2). */
  skipOutbound(childId: ChildId, packets: number): void;
  /** A peer's host name was resolved: its routes may have to change before it is spoken to. */
  peerResolved(addresses: readonly string[]): void;
  /** Does now what was postponed: nothing follows. */
  end(): void;
}

/** All outputs of the engine but its events, which change nothing outside. */
export type ActiveOutput = Exclude<Output, { kind: 'event' }>;

/** Carries one output out. @returns why a child SA could not be installed */
export function perform(output: ActiveOutput, effects: Effects): string | undefined {
  switch (output.kind) {
    case 'send':
      effects.send(output);
      return undefined;
    case 'install-child':
      return effects.installChild(output.child);
    case 'expect-esp':
      effects.expectEsp(output.spi);
      return undefined;
    case 'forget-esp':
      effects.forgetEsp(output.spi);
      return undefined;
    case 'activate-outbound':
      effects.activateOutbound(output.childId);
      return undefined;
    case 'remove-child':
      effects.removeChild(output.childId, output.rekeyed);
      return undefined;
    case 'skip-outbound':
      effects.skipOutbound(output.childId, output.packets);
      return undefined;
    case 'update-peer':
      effects.updatePeer(output.childId, output.peer);
      return undefined;
  }
}
