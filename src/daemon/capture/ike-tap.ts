import type { DatagramInput } from '../../ike/inputs.js';
import type { ChildSa, SendOutput } from '../../ike/outputs.js';
import type { Endpoint } from '../../util/ip.js';

/** Who follows what passes between the engine and its surroundings. Nothing of it is the listener's. */
export interface IkeListener {
  received(datagram: DatagramInput): void;
  sent(output: SendOutput): void;
  keepalive(remote: Endpoint): void;
  /** A child SA is about to be given to the packet path. */
  installing(child: ChildSa): void;
}

/** The place of such a listener: empty as long as no capture runs. */
export class IkeTap {
  listener: IkeListener | undefined;
}
