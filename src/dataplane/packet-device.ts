/** Where inner packets come from and go to: a TUN device, or the other end of a test. */
export interface PacketDevice {
  /**
   * Sets who gets the packets that the host sends into the tunnel, undefined for none. The receiver does
   * not keep the array: the device may fill it again.
   */
  onPacket(receiver: ((packet: Uint8Array) => void) | undefined): void;
  /** Hands a packet to the host. False when the host refused it. The device copies what it keeps. */
  write(packet: Uint8Array): boolean;
}
