import type { EspForm } from '../esp/params.js';

/**
 * Whether an authentic packet says where the peer is (RFC 7296 §2.23). Only the newest does: an older one may have been
 * held back and sent again from elsewhere. And only in UDP, on an SA that sends in UDP: nothing else has a port.
 * @param newest its sequence number is the highest so far
 * @param came form of the packet
 * @param sends form in which the SA sends
 */
export function showsPeer(newest: boolean, came: EspForm, sends: EspForm): boolean {
  return newest && came === 'udp' && sends === 'udp';
}

/**
 * Which addresses of an SA's peer are reported: each new one once, until the peer is back or has been updated. How an
 * address is kept and compared is the data plane's own.
 */
export class PeerReports {
  #reported = false;

  /**
   * Whether an address that a packet showed is to be reported; the data plane then keeps it as the one reported last.
   * @param known it is the peer's
   * @param same it is the one reported last, if there was one
   */
  isNews(known: boolean, same: boolean): boolean {
    if (known) this.#reported = false;
    else if (!this.#reported || !same) {
      this.#reported = true;
      return true;
    }
    return false;
  }

  /** The peer has another address from now on. */
  forget(): void {
    this.#reported = false;
  }
}
