import type { SaView } from '../../connection/ledger.js';
import type { TappedPacket } from '../../dataplane/packet-tap.js';
import type { GatewayConnection } from '../../store/model.js';
import { readU32, toHex } from '../../util/bytes.js';
import type { ConnectionId } from '../../util/ids.js';
import type { Endpoint } from '../../util/ip.js';
import { createPacketView, destinationOf, readBeginning } from '../../wire/ip.js';
import { connectionTo } from '../host/network.js';

/** What is known of connections and their SAs. */
export interface FilterSources {
  readonly sas: SaView;
  connections(): readonly GatewayConnection[];
  /** Addresses that the peer of a connection is configured or resolved with. */
  peerAddresses(connection: ConnectionId): readonly string[];
}

/** Octets of an IKE SPI, or cookie. */
const SPI_LENGTH = 8;

/** Which packets that no child SA has taken, and which IKE messages, are about one connection. */
export class CaptureFilter {
  readonly #connection: ConnectionId;
  readonly #sources: FilterSources;
  readonly #view = createPacketView();
  #addresses: ReadonlySet<string> = new Set();

  constructor(connection: ConnectionId, sources: FilterSources) {
    this.#connection = connection;
    this.#sources = sources;
    this.refresh();
  }

  /** Looks again where the peer is. */
  refresh(): void {
    const { sas, peerAddresses } = this.#sources;
    const ikes = [...sas.of(this.#connection).ikes.values()];
    this.#addresses = new Set([...peerAddresses(this.#connection), ...ikes.map(({ peer }) => peer.address)]);
  }

  takesAddress(address: string): boolean {
    return this.#addresses.has(address);
  }

  /**
   * An IKE message is the connection's by its SPI, or by the address of the peer as long as no connection has an SA of
   * this SPI: several may have the same peer.
   */
  takesIke(remote: Endpoint, message: Uint8Array): boolean {
    this.refresh();
    const spi = toHex(message.subarray(0, SPI_LENGTH));
    const has = (connection: ConnectionId): boolean =>
      [...this.#sources.sas.of(connection).ikes.values()].some(({ initiatorSpi }) => initiatorSpi === spi);
    if (has(this.#connection)) return true;
    if (!this.takesAddress(remote.address)) return false;
    return !this.#sources.connections().some(({ id }) => has(id));
  }

  /** A packet that no child SA has taken: by its SPI or its sender, and from the host by where it goes. */
  takesStray(packet: TappedPacket): boolean {
    const { bytes } = packet;
    if (packet.layer === 'inner') {
      if (!readBeginning(bytes, 0, bytes.length, this.#view)) return false;
      const owner = connectionTo(destinationOf(this.#view), this.#sources.connections());
      return owner?.id === this.#connection;
    }
    const spi = bytes.length < 4 ? 0 : readU32(bytes, 0);
    const children = [...this.#sources.sas.of(this.#connection).children.values()];
    if (children.some(({ spiIn }) => spiIn === spi)) return true;
    return packet.remote !== undefined && this.takesAddress(packet.remote.address);
  }

  /** Where the peer of a child SA is, if that is known. */
  peerOf(childId: number | undefined): Endpoint | undefined {
    if (childId === undefined) return undefined;
    const { sas } = this.#sources;
    const child = sas.child(childId);
    return child === undefined ? undefined : sas.ike(child.ikeId)?.peer;
  }
}
